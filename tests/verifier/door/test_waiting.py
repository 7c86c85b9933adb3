"""A door whose policy must look up the members of a group: it waits, for some seconds at most."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from doorward import Admission, CloudIdentityGroups, Door, InvokerPolicy, PlainRequest, Reason, Refusal
from doorward.door import door as door_module
from doorward.policy.membership.groups import Unresolved
from support.clock import ManualClock
from support.directory import TEAM, TOKEN, Directory
from support.httpendpoint import HttpEndpoint, response
from support.tokens import MEMBER
from support.world import World

Headers = list[tuple[bytes, bytes]]
Ask = Callable[[Door, Headers], "Admission | Refusal"]
PATIENCE = 3.0


@pytest.fixture(params=["admit", "aadmit"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask a door in either of its two ways of waiting."""
    if request.param == "admit":
        return lambda door, headers: door.admit(headers, PlainRequest("/"))
    return lambda door, headers: asyncio.run(door.aadmit(headers, PlainRequest("/")))


def bearer(world: World, **changed: Any) -> Headers:
    return [(b"authorization", b"Bearer " + world.token(**changed).encode())]


def refused(answer: Admission | Refusal) -> tuple[int, Reason]:
    assert isinstance(answer, Refusal), answer
    return answer.status, answer.reason


class LookUp:
    """A look-up under way, in the place of a flight: notes for how long it is waited for."""

    def __init__(self, when_waited_for: Callable[[float], bool]) -> None:
        self._when_waited_for = when_waited_for
        self.waited: list[float] = []

    def wait(self, timeout: float) -> bool:
        self.waited.append(timeout)
        assert len(self.waited) < 10, "the door waits without an end"
        return self._when_waited_for(timeout)

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - as a flight has it
        return self.wait(timeout)


class Groups:
    """A directory that answers as it is set up."""

    def __init__(self, answer: bool | Unresolved) -> None:  # noqa: FBT001 - one of three answers
        self.answer = answer
        self.asked = 0

    def look_up(self, group: str, address: str, /) -> bool | Unresolved:
        self.asked += 1
        return self.answer


def pending(look_up: Any) -> Unresolved:
    return Unresolved("is being looked up", look_up)


def door_of(world: World, groups: Any, *members: str) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([*members, f"group:{TEAM}"], groups=groups))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The clock by which the door waits."""
    clock = ManualClock(100.0)
    monkeypatch.setattr(door_module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
@pytest.mark.parametrize("answer", [True, False])
def test_a_request_waits_for_the_look_up_and_is_decided_by_its_answer(
    ask: Ask,
    world: World,
    clock: ManualClock,
    answer: bool,  # noqa: FBT001 - a parameter of the test
    cold: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    def finish(_seconds: float) -> bool:
        groups.answer = answer
        return True

    look_up = LookUp(finish)
    groups = Groups(pending(look_up))
    door = door_of(world, groups)
    if not cold:
        door.verifier.warm()

    outcome = ask(door, bearer(world))

    if answer:
        assert isinstance(outcome, Admission)
        assert (MEMBER, f"group:{TEAM}") == (outcome.principal.member, outcome.decision.member)
    else:
        assert (403, Reason.PERMISSION_DENIED) == refused(outcome)
    assert [PATIENCE] == look_up.waited


def test_an_answer_of_one_request_is_not_kept_with_the_token(
    ask: Ask, world: World, clock: ManualClock
) -> None:
    groups = Groups(answer=True)
    door, headers = door_of(world, groups), bearer(world)
    assert isinstance(ask(door, headers), Admission)

    groups.answer = False

    assert (403, Reason.PERMISSION_DENIED) == refused(ask(door, headers))


def test_a_look_up_that_fails_is_answered_with_503(ask: Ask, world: World, clock: ManualClock) -> None:
    def fail(_seconds: float) -> bool:
        groups.answer = Unresolved("the directory is away")
        return True

    look_up = LookUp(fail)
    groups = Groups(pending(look_up))

    outcome = ask(door_of(world, groups), bearer(world))

    assert (503, Reason.POLICY_UNAVAILABLE) == refused(outcome)
    assert isinstance(outcome, Refusal)
    assert b"1" == dict(outcome.headers)[b"retry-after"]
    assert "the directory is away" in outcome.error.message
    assert 1 == len(look_up.waited)


def test_a_look_up_that_does_not_end_is_answered_with_503_after_three_seconds(
    ask: Ask, world: World, clock: ManualClock
) -> None:
    def pass_by(seconds: float) -> bool:
        clock.move(seconds)
        return False

    look_up = LookUp(pass_by)
    began = clock()

    assert (503, Reason.POLICY_UNAVAILABLE) == refused(
        ask(door_of(world, Groups(pending(look_up))), bearer(world))
    )
    assert PATIENCE == clock() - began
    assert [PATIENCE] == look_up.waited


def test_several_look_ups_one_after_the_other_share_the_three_seconds(
    ask: Ask, world: World, clock: ManualClock
) -> None:
    def next_one(_seconds: float) -> bool:
        clock.move(1.25)
        return True

    look_up = LookUp(next_one)

    assert (503, Reason.POLICY_UNAVAILABLE) == refused(
        ask(door_of(world, Groups(pending(look_up))), bearer(world))
    )
    assert [3.0, 1.75, 0.5] == look_up.waited


def test_where_waiting_does_not_help_none_is_made(ask: Ask, world: World, clock: ManualClock) -> None:
    groups = Groups(Unresolved("no look-up of group members can start now"))

    assert (503, Reason.POLICY_UNAVAILABLE) == refused(ask(door_of(world, groups), bearer(world)))


def test_no_look_up_is_waited_for_where_something_else_grants(
    ask: Ask, world: World, clock: ManualClock
) -> None:
    look_up = LookUp(lambda _: True)

    assert isinstance(ask(door_of(world, Groups(pending(look_up)), MEMBER), bearer(world)), Admission)
    assert [] == look_up.waited


def test_a_token_that_is_not_good_causes_no_look_up(ask: Ask, world: World, clock: ManualClock) -> None:
    groups = Groups(answer=True)
    world.endpoint.down()

    assert (503, Reason.KEYS_UNAVAILABLE) == refused(ask(door_of(world, groups), bearer(world)))
    assert (401, Reason.WRONG_AUDIENCE) == refused(
        ask(door_of(world, groups), bearer(world, aud="https://other.example"))
    )
    assert 0 == groups.asked


def test_the_shortest_way_never_waits(world: World) -> None:
    look_up = LookUp(lambda _: True)
    door, headers = door_of(world, Groups(pending(look_up))), bearer(world)
    door.verifier.verify(world.token())

    assert door.admit_cached(headers, "GET", "/") is None
    assert [] == look_up.waited


# With the directory itself, over real HTTP.


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def cloud(directory: Directory) -> Iterator[CloudIdentityGroups]:
    with HttpEndpoint(directory) as served:
        yield CloudIdentityGroups(lambda: TOKEN, base_url=served.url.removesuffix("/certs"))


def test_requests_that_come_at_once_wait_for_one_look_up(
    ask: Ask, world: World, directory: Directory, cloud: CloudIdentityGroups
) -> None:
    directory.hold = threading.Event()
    door = door_of(world, cloud)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, door, bearer(world, sub=str(number))) for number in range(4)]
        assert directory.arrived.wait(10)
        directory.hold.set()
        outcomes = [answer.result(20) for answer in answers]

    assert all(isinstance(outcome, Admission) for outcome in outcomes)
    assert 2 == len(directory.asked)  # for the group, and for the member


def test_a_directory_that_refuses_is_answered_with_503_and_not_asked_again_at_once(
    ask: Ask, world: World, directory: Directory, cloud: CloudIdentityGroups
) -> None:
    directory.down = response(b"{}", status="403 Forbidden")
    door = door_of(world, cloud)

    for _ in range(3):
        assert (503, Reason.POLICY_UNAVAILABLE) == refused(ask(door, bearer(world)))
    assert 1 == len(directory.asked)


def test_one_request_that_waits_holds_up_no_other_of_its_event_loop(
    world: World, directory: Directory, cloud: CloudIdentityGroups
) -> None:
    directory.hold = threading.Event()
    other = "serviceAccount:other@doorward-test.iam.gserviceaccount.com"
    door = door_of(world, cloud, other)

    async def both() -> tuple[Admission | Refusal, bool, Admission | Refusal]:
        assert directory.hold is not None
        waiting = asyncio.create_task(door.aadmit(bearer(world), PlainRequest("/")))
        assert await asyncio.to_thread(directory.arrived.wait, 10)
        meanwhile = await door.aadmit(bearer(world, email=other.partition(":")[2]), PlainRequest("/"))
        still_waiting = not waiting.done()
        directory.hold.set()
        return meanwhile, still_waiting, await waiting

    meanwhile, still_waiting, waited = asyncio.run(both())

    assert isinstance(meanwhile, Admission)
    assert still_waiting
    assert isinstance(waited, Admission)


def test_a_waiter_that_is_cancelled_leaves_the_look_up_to_the_others(
    world: World, directory: Directory, cloud: CloudIdentityGroups
) -> None:
    directory.hold = threading.Event()
    door = door_of(world, cloud)

    async def cancel_one() -> Admission | Refusal:
        assert directory.hold is not None
        first, second = (asyncio.create_task(door.aadmit(bearer(world), PlainRequest("/"))) for _ in range(2))
        assert await asyncio.to_thread(directory.arrived.wait, 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        directory.hold.set()
        return await second

    assert isinstance(asyncio.run(cancel_one()), Admission)
    assert 2 == len(directory.asked)
