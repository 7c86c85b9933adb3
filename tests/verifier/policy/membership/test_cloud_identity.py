from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from doorward import ConfigurationError
from doorward.keys.flight import Flight
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.cloud_identity import CloudIdentityGroups
from doorward.policy.membership.groups import Unresolved
from support.clock import ManualClock
from support.directory import TEAM, TOKEN, Directory, json_response
from support.forks import forked, forking, held_elsewhere
from support.httpendpoint import HttpEndpoint, response
from support.policies import principal
from support.simulator import background
from support.tokens import CALLER, MEMBER

GROUP = f"group:{TEAM}"
JANE = principal(email="Jane@Example.com", sub="1")
NAMELESS = principal(email=None, email_verified=None)


def policy(groups: Any, *members: str, **settings: Any) -> InvokerPolicy:
    return InvokerPolicy.from_members([*members, GROUP], groups=groups, **settings)


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def endpoint(directory: Directory) -> Iterator[HttpEndpoint]:
    with HttpEndpoint(directory) as served:
        yield served


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


Make = Callable[..., CloudIdentityGroups]


@pytest.fixture
def make(endpoint: HttpEndpoint, clock: ManualClock) -> Make:
    def groups(**settings: Any) -> CloudIdentityGroups:
        base = endpoint.url.removesuffix("/certs")
        return CloudIdentityGroups(
            settings.pop("access_token", lambda: TOKEN), base_url=base, monotonic=clock, **settings
        )

    return groups


def settled(groups: CloudIdentityGroups, group: str = TEAM, address: str = CALLER) -> bool | Unresolved:
    """Return the answer once the look-up that is under way has finished."""
    answer = groups.look_up(group, address)
    if isinstance(answer, Unresolved) and answer.pending is not None:
        assert answer.pending.wait(10)
        answer = groups.look_up(group, address)
    return answer


def test_a_decision_does_not_wait_for_the_look_up_and_is_made_when_it_has_finished(
    make: Make, directory: Directory
) -> None:
    directory.hold = threading.Event()
    asked = policy(make())

    first = asked.decide(principal())
    assert (False, False) == (first.granted, first.same_for_every_request)
    assert "being looked up" in str(first.unknown)
    assert first.pending is not None
    assert not first.pending.finished
    directory.hold.set()
    assert first.pending.wait(10)

    assert GROUP == asked.decide(principal()).member


def test_google_is_asked_for_the_group_and_then_for_the_member(make: Make, directory: Directory) -> None:
    assert True is settled(make())
    assert [
        ("/v1/groups:lookup", TEAM),
        ("/v1/groups/01abc/memberships:checkTransitiveMembership", f"member_key_id == '{CALLER}'"),
    ] == directory.asked


def test_an_answer_is_cached_for_its_time_whether_yes_or_no(
    make: Make, directory: Directory, clock: ManualClock
) -> None:
    groups = make(ttl=300.0, negative_ttl=60.0)
    assert True is settled(groups)
    assert False is settled(groups, address="jane@example.com")
    count = len(directory.asked)

    clock.move(47.0)
    assert True is groups.look_up(TEAM, CALLER)
    assert False is groups.look_up(TEAM, "jane@example.com")
    assert 3 == count == len(directory.asked)

    clock.move(14.0)
    directory.members.add(("groups/01abc", "jane@example.com"))
    assert isinstance(groups.look_up(TEAM, "jane@example.com"), Unresolved)
    assert True is settled(groups, address="jane@example.com")


def test_an_answer_in_use_is_looked_up_again_before_it_expires(
    make: Make, directory: Directory, clock: ManualClock
) -> None:
    groups = make(ttl=300.0, negative_ttl=60.0)
    assert True is settled(groups)
    directory.members.clear()
    clock.move(250.0)

    assert True is groups.look_up(TEAM, CALLER)
    for flight in list(groups._flights.values()):
        assert flight.wait(10)
    assert False is groups.look_up(TEAM, CALLER)


@pytest.mark.parametrize(
    "down",
    [
        response(b"{}", status="500 Internal Server Error"),
        response(b"{}", status="403 Forbidden"),
        response(b"not json"),
        response(b"[]"),
        json_response({}),
        json_response({"name": "groups/../x"}),
        json_response({"name": 7}),
        b"",
    ],
    ids=repr,
)
def test_a_failure_grants_nothing_and_is_not_repeated_at_once(
    make: Make, directory: Directory, clock: ManualClock, down: bytes
) -> None:
    groups = make(retry=10.0)
    directory.down = down

    failed = settled(groups)
    assert isinstance(failed, Unresolved)
    assert (True, None) == (TEAM in failed.reason, failed.pending)
    count = len(directory.asked)
    assert isinstance(groups.look_up(TEAM, CALLER), Unresolved)
    assert count == len(directory.asked)

    directory.down = None
    clock.move(10.0)
    assert True is settled(groups)


def test_an_answer_that_does_not_say_is_a_failure(make: Make, directory: Directory) -> None:
    groups = make()
    assert False is settled(groups, address="jane@example.com")
    directory.down = json_response({"hasMembership": "true"})

    assert isinstance(settled(groups), Unresolved)


def test_an_outage_removes_no_answer_before_it_expires(
    make: Make, directory: Directory, clock: ManualClock
) -> None:
    groups = make(ttl=300.0)
    assert True is settled(groups)
    directory.down = response(b"", status="503 Service Unavailable")

    clock.move(250.0)
    assert True is groups.look_up(TEAM, CALLER)
    for flight in list(groups._flights.values()):
        assert flight.wait(10)
    assert True is groups.look_up(TEAM, CALLER)
    assert {} == groups._flights
    clock.move(51.0)
    assert isinstance(settled(groups), Unresolved)


def test_an_outage_does_not_hide_what_else_grants(make: Make, directory: Directory) -> None:
    directory.down = response(b"", status="503 Service Unavailable")
    asked = policy(make(), MEMBER)

    assert MEMBER == asked.decide(principal()).member
    unknown = asked.decide(JANE)
    assert unknown.pending is not None
    assert unknown.pending.wait(10)
    decision = asked.decide(JANE)
    assert (False, None, None) == (decision.granted, decision.pending, decision.denied_by)
    assert "503" in str(decision.unknown)


def test_look_ups_of_the_same_are_one(make: Make, directory: Directory) -> None:
    directory.hold = threading.Event()
    groups = make()

    answers = [groups.look_up(TEAM, CALLER) for _ in range(5)]
    assert 1 == len({id(answer.pending) for answer in answers if isinstance(answer, Unresolved)})
    directory.hold.set()
    assert True is settled(groups)
    assert 2 == len(directory.asked)


def test_only_so_many_look_ups_are_under_way(make: Make, directory: Directory) -> None:
    directory.hold = threading.Event()
    groups = make(concurrency=1)
    first, second = groups.look_up(TEAM, CALLER), groups.look_up(TEAM, "jane@example.com")

    assert isinstance(first, Unresolved)
    assert isinstance(second, Unresolved)
    assert first.pending is second.pending
    assert "no look-up" in second.reason
    directory.hold.set()
    assert first.pending is not None
    assert first.pending.wait(10)
    assert False is settled(groups, address="jane@example.com")


def test_the_number_of_cached_answers_is_bounded(make: Make) -> None:
    groups = make(capacity=2)
    for number in range(5):
        assert False is settled(groups, address=f"u{number}@example.com")

    assert "2 answers" in repr(groups)
    assert False is groups.look_up(TEAM, "u4@example.com")
    assert isinstance(settled(groups, address="u0@example.com"), bool)


def test_the_number_of_cached_groups_is_bounded(make: Make, directory: Directory) -> None:
    directory.groups["other@example.com"] = "groups/02def"
    groups = make(capacity=1)
    for group in (TEAM, "other@example.com", TEAM):
        assert (group == TEAM) is settled(groups, group)

    assert 3 == len([path for path, _ in directory.asked if path == "/v1/groups:lookup"])


def test_an_address_cannot_change_the_question(make: Make, directory: Directory) -> None:
    directory.members.add(("groups/01abc", "o'brien@example.com"))

    assert True is settled(make(), address="o'brien@example.com")
    assert ("member_key_id == 'o\\'brien@example.com'") == directory.asked[-1][1]


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "tökén", 7, None], ids=repr)
def test_an_access_token_that_is_none_is_never_sent_nor_repeated(
    make: Make, directory: Directory, token: Any
) -> None:
    answer = settled(make(access_token=lambda: token))

    assert isinstance(answer, Unresolved)
    assert f"{TEAM} could not be looked up: access_token() did not return an access token" == answer.reason
    assert [] == directory.asked


def test_what_the_access_token_function_raises_is_not_repeated(make: Make) -> None:
    def fail() -> str:
        raise RuntimeError(TOKEN)

    answer = settled(make(access_token=fail))

    assert isinstance(answer, Unresolved)
    assert f"{TEAM} could not be looked up: RuntimeError" == answer.reason


def test_it_can_be_asked_by_itself_too(make: Make) -> None:
    groups = make()
    assert True is settled(groups)

    assert True is groups(TEAM.upper(), principal())
    assert False is groups(TEAM, NAMELESS)


def test_no_request_waits_for_a_look_up_that_hangs(make: Make, clock: ManualClock) -> None:
    go_on = threading.Event()

    def hang() -> str:
        assert go_on.wait(10)
        return TOKEN

    groups = make(access_token=hang, concurrency=1)
    addresses = (CALLER, "jane@example.com")
    asked = [groups.look_up(TEAM, address) for address in addresses]
    clock.move(30.0)
    later = [groups.look_up(TEAM, address) for address in addresses]
    go_on.set()

    assert [True, True] == [isinstance(one, Unresolved) and one.pending is not None for one in asked]
    assert [True, True] == [isinstance(one, Unresolved) and one.pending is None for one in later]
    for flight in list(groups._flights.values()):
        assert flight.wait(10)
    assert True is settled(groups)


@forking
def test_a_child_begins_look_ups_of_its_own(make: Make, directory: Directory) -> None:
    directory.hold = threading.Event()
    groups = make()
    parents = groups.look_up(TEAM, CALLER)

    def child() -> object:
        under_way = len(groups._flights)
        childs = groups.look_up(TEAM, CALLER)
        assert isinstance(childs, Unresolved)
        assert isinstance(parents, Unresolved)
        return [under_way, childs.pending is not parents.pending]

    assert isinstance(parents, Unresolved)
    assert [0, True] == forked(child)
    directory.hold.set()
    assert parents.pending is not None
    assert parents.pending.wait(10)


@forking
def test_no_thread_of_a_child_waits_for_a_lock_that_its_parent_held(make: Make) -> None:
    groups = make()

    def child() -> object:
        look_ups = [background(settled, groups) for _ in range(8)]
        return [one.result(10) for one in look_ups]

    with held_elsewhere(groups._lock):
        assert [True] * 8 == forked(child)


def test_without_a_thread_for_a_look_up_the_answer_is_unresolved(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flight, "start", lambda *_: False)

    assert Unresolved("no look-up of group members can start now", None) == make().look_up(TEAM, CALLER)


@pytest.mark.parametrize(
    "settings",
    [
        {"ttl": 0},
        {"negative_ttl": -1},
        {"retry": 0},
        {"capacity": 0},
        {"concurrency": 0},
        {"base_url": "http://cloudidentity.googleapis.com"},
        {"base_url": "ftp://x"},
    ],
    ids=repr,
)
def test_bounds_and_addresses_that_cannot_work_are_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        CloudIdentityGroups(lambda: TOKEN, **settings)
