from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from doorward import Issuer, PolicyError, Principal
from doorward.keys.flight import Flight
from doorward.policy.decision import Decision
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.groups import Unresolved, resolver
from doorward.tokens.principal import ANONYMOUS
from support.policies import INVOKER, principal
from support.tokens import CALLER, MEMBER, SUBJECT

TEAM = "team@example.com"
GROUP = f"group:{TEAM}"
JANE = principal(email="Jane@Example.com", sub="1")
NAMELESS = principal(email=None, email_verified=None)
OWN = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")


def policy(groups: Any, *members: str, **settings: Any) -> InvokerPolicy:
    return InvokerPolicy.from_members([*members, GROUP], groups=groups, **settings)


# Any way to resolve groups.


def test_a_member_of_a_group_is_granted_but_not_for_good() -> None:
    decision = policy({TEAM: [CALLER]}).decide(principal())

    assert Decision(granted=True, member=GROUP, role=INVOKER) == decision


def test_who_is_not_in_the_group_is_not_refused_for_good_either() -> None:
    assert Decision(granted=False) == policy({TEAM: [CALLER]}).decide(JANE)


def test_who_can_be_in_no_group_is_refused_for_good() -> None:
    asked: list[str] = []

    def ask(group: str, _: Principal) -> bool:
        asked.append(group)
        return True

    assert Decision(granted=False, same_for_every_request=True) == policy(ask).decide(ANONYMOUS)
    assert Decision(granted=False, same_for_every_request=True) == policy(ask).decide(principal(OWN))
    assert [] == asked


def test_no_group_is_asked_for_where_something_else_grants() -> None:
    def ask(*_: object) -> bool:
        raise AssertionError

    assert Decision(granted=True, member=MEMBER, role=INVOKER, same_for_every_request=True) == policy(
        ask, MEMBER
    ).decide(principal())


# A mapping.


@pytest.mark.parametrize(
    "listed",
    [
        [CALLER],
        [CALLER.upper()],
        [MEMBER],
        {"jane@example.com", CALLER},
        ["group:inner@example.com"],
    ],
    ids=["address", "capitals", "member", "set", "group"],
)
def test_the_members_of_a_group_are_listed_by_address_or_as_members(listed: Any) -> None:
    groups = {"Team@Example.com": listed, "inner@example.com": [MEMBER, GROUP]}

    assert policy(groups).decide(principal()).granted
    assert not policy(groups).decide(principal(email="other@p.iam.gserviceaccount.com")).granted


def test_who_names_no_address_is_in_no_listed_group() -> None:
    groups = {TEAM: [CALLER]}

    assert not policy(groups).decide(NAMELESS).granted
    assert policy(groups).decide(NAMELESS).unknown is None
    assert policy(groups, unique_ids={MEMBER: SUBJECT}).decide(NAMELESS).granted


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"another@example.com": [CALLER]},
        {TEAM: CALLER},
        {TEAM: [7]},
        {TEAM: ["allUsers:x"]},
        {TEAM: ["domain:example.com"]},
        {TEAM: ["deleted:user:a@x.com?uid=1"]},
        {TEAM: ["jane"]},
        {TEAM: ["group:nobody-listed@example.com"]},
        7,
        "team@example.com",
    ],
    ids=repr,
)
def test_a_mapping_that_leaves_a_question_open_is_refused(groups: Any) -> None:
    with pytest.raises(PolicyError, match="group"):
        policy(groups)


def address(number: int) -> str:
    return f"g{number}@example.com"


def chain(length: int) -> dict[str, list[str]]:
    """Return groups that each have an account of their own and the next group; the last one has the first."""
    return {
        address(at): [f"user:u{at}@example.com", f"group:{address((at + 1) % length)}"]
        for at in range(length)
    }


def steps(length: int) -> int:
    """Count the lines and calls that a chain takes to be read, and to be asked about at both of its ends."""
    groups, seen = chain(length), 0
    first, last = principal(email="u0@example.com"), principal(email=f"u{length - 1}@example.com")

    def see(*_: object) -> object:
        nonlocal seen
        seen += 1
        return see

    before = sys.gettrace()
    sys.settrace(see)  # type: ignore[arg-type]  # it returns itself
    try:
        asked = InvokerPolicy.from_members([f"group:{address(0)}"], groups=groups)
        granted = asked.decide(first).granted and asked.decide(last).granted
    finally:
        sys.settrace(before)
    assert granted
    return seen


def test_a_chain_of_groups_takes_steps_in_proportion_to_its_length() -> None:
    short, long = steps(200), steps(400)

    assert long < 2.2 * short


def test_a_long_chain_of_groups_needs_no_recursion() -> None:
    groups = chain(5_000)
    asked = InvokerPolicy.from_members([f"group:{address(0)}"], groups=groups)

    assert asked.decide(principal(email="u4999@example.com")).granted
    assert not asked.decide(principal(email="u5000@example.com")).granted


def test_a_group_grants_nothing_to_those_who_are_only_in_the_group_above_it() -> None:
    groups = {TEAM: [CALLER], "above@example.com": [GROUP, "user:jane@example.com"]}
    above = InvokerPolicy.from_members(["group:above@example.com"], groups=groups)

    assert (True, True) == (above.decide(principal()).granted, above.decide(JANE).granted)
    assert (True, False) == (
        policy(groups).decide(principal()).granted,
        policy(groups).decide(JANE).granted,
    )


def test_more_accounts_than_are_kept_are_resolved_again() -> None:
    count = 1_100
    asked = policy({TEAM: [f"user:u{at}@example.com" for at in range(count)]})

    for _ in range(2):
        assert all(asked.decide(principal(email=f"u{at}@example.com")).granted for at in range(count))


# A function.


def test_a_function_is_asked_with_the_group_and_the_principal() -> None:
    asked: list[tuple[str, Principal]] = []

    def ask(group: str, caller: Principal) -> bool:
        asked.append((group, caller))
        return caller.subject == SUBJECT

    assert policy(ask).decide(NAMELESS).granted
    assert [(TEAM, NAMELESS)] == asked


def test_a_group_is_asked_for_once_in_a_decision() -> None:
    asked: list[str] = []

    def ask(group: str, _: Principal) -> bool:
        asked.append(group)
        return False

    InvokerPolicy([(INVOKER, [GROUP]), ("roles/run.admin", [GROUP])], groups=ask).explain(principal())

    assert [TEAM] == asked


@pytest.mark.parametrize("answer", [None, 1, "yes", ValueError("boom"), KeyError("x")], ids=repr)
def test_an_answer_that_is_none_does_not_grant_and_does_not_refuse(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(group: str, _: Principal) -> Any:
        if group == "broken@example.com" and isinstance(answer, Exception):
            raise answer
        return answer if group == "broken@example.com" else True

    broken = InvokerPolicy.from_members(["group:broken@example.com"], groups=ask)
    beside = InvokerPolicy.from_members(["group:broken@example.com", GROUP], groups=ask)

    decision = broken.decide(principal())
    assert (False, False) == (decision.granted, decision.same_for_every_request)
    assert "broken@example.com" in str(decision.unknown)
    assert GROUP == beside.decide(principal()).member
    assert logging.ERROR == caplog.records[0].levelno


def test_programming_errors_that_are_no_exceptions_pass() -> None:
    def ask(*_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        policy(ask).decide(principal())


def test_what_is_under_way_can_be_waited_for() -> None:
    flight = Flight(1, 0.0, "group")
    answers = {"a@x.com": Unresolved("later"), "b@x.com": Unresolved("soon", flight)}
    both = InvokerPolicy.from_members(
        ["group:a@x.com", "group:b@x.com"], groups=lambda group, _: answers[group]
    )

    decision = both.decide(principal())

    assert ("later", flight) == (decision.unknown, decision.pending)


def test_a_resolver_that_was_not_given_is_never_asked() -> None:
    with pytest.raises(NotImplementedError):
        resolver(None)(TEAM, principal(), CALLER)
