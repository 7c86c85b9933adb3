"""A table of decisions: one row for each fact that is known of how IAM decides, with where it is from.

[D] documented by Google, [S] read in published data, [C] reported, [I] concluded.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, PlainRequest, Principal
from doorward.policy.bindings import Binding
from doorward.policy.decision import Decision
from doorward.policy.deny.policy import DenyPolicy
from doorward.policy.groups import Unresolved
from doorward.policy.iam import InvokerPolicy
from doorward.policy.request import ANYWHERE
from doorward.tokens.principal import ANONYMOUS
from support.conditions import Conditions, StubCondition
from support.tokens import CALLER, MEMBER, SUBJECT, claims

NOW = 1_790_000_000.0
INVOKER = "roles/run.invoker"
NUMBER = "project_numbers"


def principal(**changed: Any) -> Principal:
    return Principal(MappingProxyType(claims(NOW, **changed)), GOOGLE)


ROBOT = principal()
NAMELESS = principal(email=None, email_verified=None)
JANE = principal(email="jane@example.com", sub="1", hd="example.com")
GUEST = principal(email="guest@example.com", sub="2")
WORKFORCE = "iam.googleapis.com/locations/global/workforcePools/p"
WORKLOAD = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p"
ALL_ROBOTS = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount"
HOOK = "request.path == '/hook'"


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


def rule(*denied: str) -> dict[str, Any]:
    return {"deniedPrincipals": [*denied], "deniedPermissions": ["run.googleapis.com/routes.invoke"]}


def deny(*denied: str) -> DenyPolicy:
    return DenyPolicy.from_dict({"rules": [{"denyRule": rule(*denied)}]})


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


# The explanation.


def lines(policy: InvokerPolicy, caller: Principal = ROBOT, path: str = "/") -> list[str]:
    return list(policy.explain(caller, PlainRequest(path), NOW).lines())


def test_an_explanation_names_what_grants() -> None:
    policy = InvokerPolicy([("roles/run.viewer", ["allUsers"]), (INVOKER, ["user:jane@example.com", MEMBER])])

    assert [
        f"{MEMBER}: may use run.routes.invoke by roles/run.invoker of {MEMBER}",
        "  bindings[1] roles/run.invoker: grants yes",
        f"    {MEMBER}: the caller is this member",
        "    and 1 more, which do not match",
    ] == lines(policy)


def test_an_explanation_says_why_nothing_grants() -> None:
    policy = InvokerPolicy.from_members(["user:jane@example.com", f"principal://{WORKFORCE}/subject/s"])
    never = "a workforce identity presents no Google ID token but that of an account it impersonates"

    assert [
        f"{MEMBER}: may not use run.routes.invoke",
        "  bindings[0] roles/run.invoker: grants no",
        "    user:jane@example.com: the caller is not this member",
        f"    principal://{WORKFORCE}/subject/s: never: {never}",
    ] == lines(policy)


def test_an_explanation_has_the_outcome_of_a_condition() -> None:
    policy = InvokerPolicy([Binding(INVOKER, [MEMBER], StubCondition(HOOK, "hook only"))])

    assert "    condition hook only: it is False" in lines(policy)
    assert "    condition hook only: it is True" in lines(policy, path="/hook")
    (binding,) = policy.explain(ROBOT, PlainRequest("/"), NOW).bindings
    assert (MEMBER, False, False) == (binding.matched, binding.condition_holds, binding.grants)


def test_an_explanation_begins_with_what_denies() -> None:
    policy = InvokerPolicy.all_users().with_deny(deny("principalSet://goog/public:all"))

    assert [
        f"{MEMBER}: is denied run.routes.invoke by rules[0]",
        "  deny rules[0]: yes, denies principalSet://goog/public:all: everyone",
    ] == lines(policy)[:2]


def test_an_explanation_says_what_is_undecided_now() -> None:
    policy = InvokerPolicy.from_members(["group:g@x.com"], groups=lambda *_: Unresolved("away"))

    assert [
        f"{MEMBER}: undecided now whether it may use run.routes.invoke: away",
        "  bindings[0] roles/run.invoker: grants unknown",
        "    group:g@x.com: away",
    ] == lines(policy)


def test_an_explanation_says_that_the_check_is_off_or_that_nothing_holds_the_permission() -> None:
    off = InvokerPolicy.check_disabled()

    assert [
        "anonymous: may use run.routes.invoke",
        "  the invoker check is switched off: nothing else is evaluated",
    ] == lines(off, ANONYMOUS)
    assert off.explain(ANONYMOUS).check_disabled
    assert ["  no binding has a role that holds run.routes.invoke"] == lines(InvokerPolicy([]))[1:]


def test_an_explanation_of_many_members_is_short() -> None:
    policy = InvokerPolicy.from_members([f"user:u{number}@example.com" for number in range(1500)])

    assert 13 == len(lines(policy))
    assert "    and 1490 more, which do not match" == lines(policy)[-1]


def test_an_explanation_is_plain_data() -> None:
    policy = InvokerPolicy.from_members([MEMBER, "group:g@x.com"], groups={"g@x.com": []})
    explained = policy.with_deny(deny("principal://goog/subject/a@x.com")).explain(ROBOT)

    found: Any = json.loads(json.dumps(explained.as_dict()))
    assert (True, MEMBER) == (found["decision"]["granted"], found["bindings"][0]["matched"])
    assert "\n".join(explained.lines()) == str(explained)


def test_an_explanation_names_the_file(tmp_path: Any) -> None:
    path = tmp_path / "project.json"
    path.write_text(json.dumps({"bindings": [{"role": INVOKER, "members": [MEMBER]}]}))

    assert "project.json bindings[0]" == InvokerPolicy.from_file(path).explain(ROBOT).bindings[0].binding


# In general.

AWAY = "away@x.com"
GROUPS: dict[str, bool | Unresolved] = {"in@x.com": True, "out@x.com": False, AWAY: Unresolved("away")}
members = st.sampled_from(
    [
        MEMBER,
        "user:jane@example.com",
        "domain:example.com",
        "allUsers",
        "allAuthenticatedUsers",
        ALL_ROBOTS,
        f"deleted:{MEMBER}?uid=1",
        f"principalSet://{WORKFORCE}/*",
        *(f"group:{group}" for group in GROUPS),
    ]
)
conditions = st.sampled_from([None, "true", "false", "error", HOOK, f"request.time < {int(NOW)}"]).map(
    lambda text: None if text is None else StubCondition(text)
)
bindings = st.builds(
    Binding,
    st.sampled_from([INVOKER, "roles/editor", "roles/run.viewer"]),
    st.lists(members, max_size=3),
    conditions,
)
denied = st.sampled_from(
    [
        "principalSet://goog/public:all",
        f"principal://iam.googleapis.com/projects/-/serviceAccounts/{CALLER}",
        "principal://goog/subject/jane@example.com",
        *(f"principalSet://goog/group/{group}" for group in GROUPS),
    ]
)
rules = st.builds(
    lambda who, but: {**rule(*who), "exceptionPrincipals": but},
    st.lists(denied, max_size=2),
    st.lists(denied, max_size=2),
)
callers = st.sampled_from([ANONYMOUS, ROBOT, NAMELESS, JANE, GUEST])
requests = st.sampled_from([PlainRequest("/"), PlainRequest("/hook")])


def in_group(group: str, _: Principal) -> bool | Unresolved:
    return GROUPS[group]


def build(some: list[Binding], denials: list[dict[str, Any]]) -> InvokerPolicy:
    made = InvokerPolicy(some, groups=in_group, project_numbers={"doorward-test": "123"})
    return made.with_deny(DenyPolicy.from_dict({"rules": [{"denyRule": one} for one in denials]}))


@given(st.lists(bindings, max_size=4), st.lists(rules, max_size=2), callers, requests)
@settings(deadline=None, max_examples=300)
def test_a_decision_and_its_explanation_agree(
    some: list[Binding], denials: list[dict[str, Any]], caller: Principal, request: PlainRequest
) -> None:
    policy = build(some, denials)
    explained = policy.explain(caller, request, NOW)
    applies = [one.applies for one in explained.deny]
    grants = [one.grants for one in explained.bindings]

    assert explained.decision == policy.decide(caller, request, NOW)
    assert explained.decision.granted == (True in grants and not {True, None} & {*applies})
    assert (explained.decision.denied_by is not None) == (True in applies)
    assert (explained.decision.unknown is not None) == (
        True not in applies and (None in applies or (None in grants and True not in grants))
    )


@given(st.lists(bindings, max_size=4), bindings, st.lists(rules, max_size=1), callers, requests)
@settings(deadline=None, max_examples=200)
def test_a_binding_more_never_takes_a_grant_away(
    some: list[Binding],
    more: Binding,
    denials: list[dict[str, Any]],
    caller: Principal,
    request: PlainRequest,
) -> None:
    before = build(some, denials).decide(caller, request, NOW)
    after = build([*some, more], denials).decide(caller, request, NOW)

    assert before.granted <= after.granted


@given(st.lists(bindings, max_size=4), st.lists(rules, max_size=2), rules, callers, requests)
@settings(deadline=None, max_examples=200)
def test_a_deny_rule_more_never_adds_a_grant(
    some: list[Binding],
    denials: list[dict[str, Any]],
    more: dict[str, Any],
    caller: Principal,
    request: PlainRequest,
) -> None:
    before = build(some, denials).decide(caller, request, NOW)
    after = build(some, [*denials, more]).decide(caller, request, NOW)

    assert after.granted <= before.granted


@given(st.lists(bindings, max_size=4), st.lists(rules, max_size=1), callers, requests)
@settings(deadline=None, max_examples=200)
def test_a_condition_that_errs_is_one_that_does_not_hold(
    some: list[Binding], denials: list[dict[str, Any]], caller: Principal, request: PlainRequest
) -> None:
    def with_condition(text: str) -> Decision:
        changed = [one._replace(condition=one.condition and StubCondition(text)) for one in some]
        return build(changed, denials).decide(caller, request, NOW)._replace(same_for_every_request=False)

    assert with_condition("false") == with_condition("error")


@given(st.lists(bindings, max_size=4), st.lists(rules, max_size=2), callers)
@settings(deadline=None, max_examples=300)
def test_a_lasting_decision_is_the_same_for_every_request_at_any_time(
    some: list[Binding], denials: list[dict[str, Any]], caller: Principal
) -> None:
    policy = build(some, denials)
    decisions = [
        policy.decide(caller, PlainRequest(path), now) for path in ("/", "/hook") for now in (0.0, NOW)
    ]

    if any(decision.same_for_every_request for decision in decisions):
        assert 1 == len({decision.granted for decision in decisions})
        assert all(decision.unknown is None for decision in decisions)
