"""A table of decisions: one row for each fact that is known of how IAM decides, with where it is from.

[D] documented by Google, [S] read in published data, [C] reported, [I] concluded.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from doorward import PlainRequest, Principal
from doorward.policy.iam import InvokerPolicy
from doorward.policy.request import ANYWHERE
from doorward.tokens.principal import ANONYMOUS
from support.conditions import Conditions
from support.policies import INVOKER, deny, principal
from support.tokens import CALLER, MEMBER, SUBJECT

NOW = 1_790_000_000.0
NUMBER = "project_numbers"
ROBOT = principal()
NAMELESS = principal(email=None, email_verified=None)
JANE = principal(email="jane@example.com", sub="1", hd="example.com")
GUEST = principal(email="guest@example.com", sub="2")
WORKFORCE = "iam.googleapis.com/locations/global/workforcePools/p"
WORKLOAD = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p"
ALL_ROBOTS = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount"
HOOK = "request.path == '/hook'"
YES, NO = True, False


class Row(NamedTuple):
    """One fact."""

    source: str
    member: str
    caller: Principal
    expected: bool
    role: str = INVOKER
    condition: str | None = None
    request: PlainRequest = ANYWHERE
    settings: Any = MappingProxyType({})
    deny: tuple[str, ...] = ()


YES, NO = True, False
TABLE = {
    # Who may come without a credential, and with one (the status matrix).
    "no credential: not granted": Row("1.2 [D]", MEMBER, ANONYMOUS, NO),
    "valid token without the permission: not granted": Row("1.2 [D]", MEMBER, JANE, NO),
    "allUsers: no credential needed": Row("1.2 [D]", "allUsers", ANONYMOUS, YES),
    # Roles.
    "run.invoker holds it": Row("5.1 [S]", MEMBER, ROBOT, YES),
    "run.servicesInvoker holds it": Row("5.1 [S]", MEMBER, ROBOT, YES, "roles/run.servicesInvoker"),
    "owners may call by default": Row("5.1 [D]", MEMBER, ROBOT, YES, "roles/owner"),
    "editors may call by default": Row("5.1 [D]", MEMBER, ROBOT, YES, "roles/editor"),
    "run.admin may call by default": Row("5.1 [D]", MEMBER, ROBOT, YES, "roles/run.admin"),
    "run.developer holds it": Row("5.1 [S]", MEMBER, ROBOT, YES, "roles/run.developer"),
    "cloudfunctions.invoker does not": Row("5.1 [S]", MEMBER, ROBOT, NO, "roles/cloudfunctions.invoker"),
    "run.viewer does not": Row("5.1 [S]", MEMBER, ROBOT, NO, "roles/run.viewer"),
    "viewer does not": Row("5.1 [S]", MEMBER, ROBOT, NO, "roles/viewer"),
    "run.jobsExecutor does not": Row("5.1 [S]", MEMBER, ROBOT, NO, "roles/run.jobsExecutor"),
    "run.builder does not": Row("5.1 [S]", MEMBER, ROBOT, NO, "roles/run.builder"),
    "iap.httpsResourceAccessor does not": Row(
        "5.1 [S]", MEMBER, ROBOT, NO, "roles/iap.httpsResourceAccessor"
    ),
    "servicesInvoker does not invoke instances": Row(
        "5.1 [S]", MEMBER, ROBOT, NO, "roles/run.servicesInvoker",
        settings={"permission": "run.instances.invoke"},
    ),
    "invoker invokes instances": Row(
        "5.1 [S]", MEMBER, ROBOT, YES, settings={"permission": "run.instances.invoke"}
    ),
    "cloudfunctions.invoker invokes functions of the first generation": Row(
        "2 [D]", MEMBER, ROBOT, YES, "roles/cloudfunctions.invoker",
        settings={"permission": "cloudfunctions.functions.invoke"},
    ),
    # Members.
    "serviceAccount:EMAIL": Row("5.3 [D]", MEMBER, ROBOT, YES),
    "user:EMAIL": Row("5.3 [D]", "user:jane@example.com", JANE, YES),
    "another user": Row("5.3 [D]", "user:john@example.com", JANE, NO),
    "a user is no service account": Row("5.3 [D]", f"user:{CALLER}x", ROBOT, NO),
    "an address is compared without case": Row("5.3 [C]", "user:Jane@EXAMPLE.com", JANE, YES),
    "a domain is compared without case": Row("5.3 [C]", "domain:EXAMPLE.com", JANE, YES),
    "allAuthenticatedUsers: a service account": Row("5.3 [D]", "allAuthenticatedUsers", ROBOT, YES),
    "allAuthenticatedUsers: a user": Row("5.3 [D]", "allAuthenticatedUsers", GUEST, YES),
    "allAuthenticatedUsers: not the anonymous caller": Row("5.3 [D]", "allAuthenticatedUsers", ANONYMOUS, NO),
    "domain: by hd": Row("5.3 [I]", "domain:example.com", JANE, YES),
    "domain: not by the address": Row("5.3 [I]", "domain:example.com", GUEST, NO),
    "group: by a function that resolves it": Row(
        "5.3 [D]", "group:g@x.com", ROBOT, YES, settings={"groups": {"g@x.com": [CALLER]}}
    ),
    "group: not in it": Row(
        "5.3 [D]", "group:g@x.com", JANE, NO, settings={"groups": {"g@x.com": [CALLER]}}
    ),
    "group: its address is compared without case": Row(
        "5.3 [C]", "group:G@X.com", ROBOT, YES, settings={"groups": {"g@x.com": [CALLER]}}
    ),
    "a Kubernetes workload": Row("5.3 [D]", "serviceAccount:p.svc.id.goog[ns/ksa]", ROBOT, NO),
    "a workforce identity": Row("5.3 [D]", f"principal://{WORKFORCE}/subject/{SUBJECT}", ROBOT, NO),
    "a workforce group": Row("5.3 [D]", f"principalSet://{WORKFORCE}/group/g", ROBOT, NO),
    "a workforce attribute": Row("5.3 [D]", f"principalSet://{WORKFORCE}/attribute.a/v", ROBOT, NO),
    "a whole workforce pool": Row("5.3 [D]", f"principalSet://{WORKFORCE}/*", ROBOT, NO),
    "a workload identity": Row("5.3 [D]", f"principal://{WORKLOAD}/subject/{SUBJECT}", ROBOT, NO),
    "a workload group": Row("5.3 [D]", f"principalSet://{WORKLOAD}/group/g", ROBOT, NO),
    "a workload attribute": Row("5.3 [D]", f"principalSet://{WORKLOAD}/attribute.a/v", ROBOT, NO),
    "a whole workload pool": Row("5.3 [D]", f"principalSet://{WORKLOAD}/*", ROBOT, NO),
    "all accounts of a project, by its number": Row(
        "5.3 [D]", ALL_ROBOTS, ROBOT, YES, settings={NUMBER: {"doorward-test": "123"}}
    ),
    "all accounts of another project": Row(
        "5.3 [D]", ALL_ROBOTS, ROBOT, NO, settings={NUMBER: {"other": "123"}}
    ),
    "all accounts of a project whose number is not known": Row("5.3 [D]", ALL_ROBOTS, ROBOT, NO),
    "all accounts of a project: users are none": Row(
        "5.3 [D]", ALL_ROBOTS, JANE, NO, settings={NUMBER: {"doorward-test": "123"}}
    ),
    "all accounts of a folder": Row("5.3 [D]", ALL_ROBOTS.replace("projects", "folders"), ROBOT, NO),
    "all accounts of an organisation": Row(
        "5.3 [D]", ALL_ROBOTS.replace("projects", "organizations"), ROBOT, NO
    ),
    "a deleted service account": Row("5.3 [D]", f"deleted:{MEMBER}?uid={SUBJECT}", ROBOT, NO),
    "a deleted account, by its unique id": Row("5.3 [D]", f"deleted:{MEMBER}?uid={SUBJECT}", NAMELESS, NO),
    "a deleted user": Row("5.3 [D]", "deleted:user:jane@example.com?uid=1", JANE, NO),
    "a deleted group": Row("5.3 [D]", "deleted:group:g@x.com?uid=1", ROBOT, NO),
    "a deleted federated one": Row("5.3 [D]", f"deleted:principal://{WORKFORCE}/subject/s", ROBOT, NO),
    "a token without e-mail": Row("3 [I]", MEMBER, NAMELESS, NO),
    "a token without e-mail, by its unique id": Row(
        "3 [I]", MEMBER, NAMELESS, YES, settings={"unique_ids": {MEMBER: SUBJECT}}
    ),
    "a token without e-mail is authenticated": Row("3 [I]", "allAuthenticatedUsers", NAMELESS, YES),
    "an e-mail that is not verified": Row("3 [D]", MEMBER, principal(email_verified=False), NO),
    # Conditions.
    "request.path that holds": Row(
        "5.4 [D]", MEMBER, ROBOT, YES, condition=HOOK, request=PlainRequest("/hook")
    ),
    "request.path that does not": Row(
        "5.4 [D]", MEMBER, ROBOT, NO, condition=HOOK, request=PlainRequest("/")
    ),
    "allUsers on one path": Row(
        "5.4 [C]", "allUsers", ANONYMOUS, YES, condition=HOOK, request=PlainRequest("/hook")
    ),
    "request.time before": Row("5.4 [D]", MEMBER, ROBOT, YES, condition=f"request.time < {int(NOW) + 1}"),
    "request.time after": Row("5.4 [D]", MEMBER, ROBOT, NO, condition=f"request.time < {int(NOW)}"),
    "an attribute that is not there never grants": Row("5.4 [D]", MEMBER, ROBOT, NO, condition="error"),
    "a condition does not grant another caller": Row("5.4 [D]", MEMBER, JANE, NO, condition="true"),
    # Deny policies.
    "deny comes before allow": Row(
        "5.5 [C]", MEMBER, ROBOT, NO,
        deny=(f"principal://iam.googleapis.com/projects/-/serviceAccounts/{CALLER}",),
    ),
    "deny of a Google account": Row(
        "5.5 [D]", "user:jane@example.com", JANE, NO, deny=("principal://goog/subject/jane@example.com",)
    ),
    "deny of another account": Row(
        "5.5 [D]", MEMBER, ROBOT, YES, deny=("principal://goog/subject/jane@example.com",)
    ),
    "deny of a group": Row(
        "5.5 [D]", MEMBER, ROBOT, NO, settings={"groups": {"g@x.com": [CALLER]}},
        deny=("principalSet://goog/group/g@x.com",),
    ),
    "deny of everyone": Row("5.5 [D]", "allUsers", ANONYMOUS, NO, deny=("principalSet://goog/public:all",)),
    "deny of a federated identity": Row(
        "5.5 [D]", MEMBER, ROBOT, YES, deny=(f"principalSet://{WORKFORCE}/*",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_a_fact_decides_as_it_says(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    Conditions.install(monkeypatch)
    binding: dict[str, Any] = {"role": row.role, "members": [row.member]}
    if row.condition is not None:
        binding["condition"] = {"expression": row.condition, "title": "t"}
    text = json.dumps({"bindings": [binding], "version": 3})
    policy = InvokerPolicy.from_json(text, **row.settings)
    if row.deny:
        policy = policy.with_deny(deny(*row.deny))

    assert row.expected == policy.decide(row.caller, row.request, NOW).granted
    assert row.expected == policy.explain(row.caller, row.request, NOW).decision.granted


@pytest.mark.parametrize("version", [0, 1, 3])
def test_each_version_of_the_format_is_read(version: int) -> None:
    """5.2 [D]."""
    document = {"bindings": [{"role": INVOKER, "members": [MEMBER]}], "version": version}

    assert InvokerPolicy.from_dict(document).decide(ROBOT).granted


def test_what_is_inherited_is_united() -> None:
    """5.2: service, project, folders and organisation."""
    parts = [InvokerPolicy([]), InvokerPolicy.from_members(["allUsers"]), InvokerPolicy([])]

    assert InvokerPolicy.join(*parts).decide(ANONYMOUS).granted


def test_a_check_that_is_switched_off_admits_everyone_without_a_binding() -> None:
    """5.5 [D]."""
    service = {"metadata": {"annotations": {"run.googleapis.com/invoker-iam-disabled": "true"}}}

    assert InvokerPolicy.from_service(service).decide(ANONYMOUS).granted
