from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import PlainRequest, Principal
from doorward.policy.decision import Decision
from doorward.policy.deny.policy import DenyPolicy
from doorward.policy.documents.bindings import Binding
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.groups import Unresolved
from doorward.tokens.principal import ANONYMOUS
from support.conditions import StubCondition
from support.policies import INVOKER, deny_rule, principal
from support.tokens import CALLER, MEMBER

NOW = 1_790_000_000.0
ROBOT = principal()
NAMELESS = principal(email=None, email_verified=None)
JANE = principal(email="jane@example.com", sub="1", hd="example.com")
GUEST = principal(email="guest@example.com", sub="2")
WORKFORCE = "iam.googleapis.com/locations/global/workforcePools/p"
ALL_ROBOTS = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount"
HOOK = "request.path == '/hook'"


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
    lambda who, but: deny_rule(*who, exceptionPrincipals=but),
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
