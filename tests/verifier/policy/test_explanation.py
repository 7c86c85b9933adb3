from __future__ import annotations

import json
from typing import Any

import pytest

from doorward import PlainRequest, Principal
from doorward.policy.documents.bindings import Binding
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.groups import Unresolved
from doorward.tokens.principal import ANONYMOUS
from support.conditions import StubCondition
from support.policies import INVOKER, deny, principal
from support.tokens import MEMBER

NOW = 1_790_000_000.0
ROBOT = principal()
WORKFORCE = "iam.googleapis.com/locations/global/workforcePools/p"
HOOK = "request.path == '/hook'"


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


def test_an_explanation_and_the_log_name_the_file_of_what_grants_nothing(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "project.json"
    odd = {"role": INVOKER, "members": [MEMBER], "condition": {"expression": "odd("}}
    path.write_text(json.dumps({"bindings": [odd, {"role": "projects/p/roles/x"}]}))
    policy = InvokerPolicy.join(InvokerPolicy.from_file(path), InvokerPolicy.all_users())

    expected = [
        "project.json: the permissions of these roles are not known",
        "project.json: no principal is granted run.routes.invoke",
        "project.json bindings[0] (roles/run.invoker): the condition is not understood",
    ]
    remarks = policy.explain(ROBOT).as_dict()["remarks"]
    assert isinstance(remarks, list)
    for begin, logged, remark in zip(expected, caplog.messages, remarks, strict=True):
        assert logged == f"policy: {remark}"
        assert remark.startswith(begin)
        assert f"  {remark}" in lines(policy)


def test_an_explanation_names_the_file(tmp_path: Any) -> None:
    path = tmp_path / "project.json"
    path.write_text(json.dumps({"bindings": [{"role": INVOKER, "members": [MEMBER]}]}))

    assert "project.json bindings[0]" == InvokerPolicy.from_file(path).explain(ROBOT).bindings[0].binding
