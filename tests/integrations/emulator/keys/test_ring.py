"""The keys of one issuer: when they are replaced, and for how long they are published."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from doorward import ConfigurationError
from doorward_integrations.emulator import RotationSchedule, SigningKey
from doorward_integrations.emulator.keys.ring import KeyRing, RingState
from doorward_integrations.emulator.state_file import StateError
from support.clock import ManualClock
from support.forks import forked, forking, held_elsewhere
from support.tokens import ec_key

MakeRing = Callable[..., KeyRing]


class Slot:
    """Keeps the keys of a ring, unless the disk is full."""

    def __init__(self) -> None:
        self.state = RingState()
        self.full = False
        self.saved = 0

    def load(self) -> RingState:
        return self.state

    def save(self, state: RingState) -> None:
        if self.full:
            from pathlib import Path  # noqa: PLC0415

            raise StateError(Path("keys.json"), OSError(28, "No space left on device"))
        self.state = state
        self.saved += 1


def ring_of(clock: ManualClock, schedule: RotationSchedule | None = None) -> KeyRing:
    numbers = itertools.count()
    return KeyRing(
        lambda: SigningKey(ec_key(f"ring-{next(numbers)}"), clock=clock), clock=clock, schedule=schedule
    )


@pytest.fixture
def make(clock: ManualClock) -> MakeRing:
    return lambda **schedule: ring_of(clock, RotationSchedule(**schedule))


def test_a_key_signs_for_as_long_as_the_schedule_says(make: MakeRing, clock: ManualClock) -> None:
    ring = make(every=60)
    first = ring.current
    clock.move(59.9)
    assert first is ring.current
    clock.move(0.1)
    second = ring.current
    assert first is not second
    assert (second, first) == ring.keys


def test_a_replaced_key_is_published_for_the_overlap(make: MakeRing, clock: ManualClock) -> None:
    ring = make(overlap=30)
    first = ring.current
    assert (first,) == ring.keys
    second = ring.rotate()
    third = ring.rotate()
    clock.move(29.9)
    assert [third, second, first] == list(ring.keys)
    clock.move(0.1)
    assert [third] == list(ring.keys)


def test_without_an_overlap_a_replaced_key_stays_until_the_next_rotation(make: MakeRing) -> None:
    ring = make()
    first = ring.current
    second = ring.rotate()
    assert (second, first) == ring.keys
    assert (ring.rotate(), second) == ring.keys


def test_an_overlap_of_no_time_publishes_one_key(make: MakeRing) -> None:
    ring = make(overlap=0)
    ring.rotate()

    assert (ring.current,) == ring.keys


def test_a_withdrawn_key_leaves_and_the_others_keep_their_time(make: MakeRing) -> None:
    ring = make(overlap=30)
    first, second = ring.current, ring.rotate()
    third = ring.rotate(withdraw=True)

    assert (third, first) == ring.keys
    assert second not in ring.keys


@pytest.mark.parametrize("schedule", [{}, {"overlap": 30}], ids=["until the next", "overlap"])
def test_a_revoked_key_leaves_at_once(schedule: dict[str, float], make: MakeRing) -> None:
    ring = make(**schedule)
    first, second = ring.current, ring.rotate()
    ring.revoke(first.kid)
    assert second is ring.current
    assert first not in ring.keys
    ring.revoke(second.kid)
    assert second is not ring.current
    assert second not in ring.keys


def test_a_key_that_is_not_published_cannot_be_revoked(make: MakeRing) -> None:
    with pytest.raises(ConfigurationError, match="no key with the id 'other' is published"):
        make().revoke("other")


def test_a_clock_that_jumps_ahead_rotates_once(make: MakeRing, clock: ManualClock) -> None:
    ring = make(every=60, overlap=30)
    first = ring.current
    clock.move(1_000_000)
    second = ring.current

    assert (second, first) == ring.keys
    assert second is ring.current


def test_a_clock_that_is_set_back_neither_stops_the_rotation_nor_lengthens_the_overlap(
    make: MakeRing, clock: ManualClock
) -> None:
    ring = make(every=60, overlap=30)
    first, second = ring.current, ring.rotate()
    clock.move(-1_000_000)
    assert [second, first] == list(ring.keys)
    clock.move(30)
    assert [second] == list(ring.keys)
    clock.move(30)
    assert second is not ring.current


def test_a_rotation_that_cannot_be_kept_changes_nothing(make: MakeRing) -> None:
    ring, slot = make(), Slot()
    ring.keep(slot)
    before = ring.keys
    slot.full = True

    with pytest.raises(StateError, match="No space left on device"):
        ring.rotate()
    assert before == ring.keys


def test_a_rotation_by_schedule_that_cannot_be_kept_is_tried_again_later(
    make: MakeRing, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ring, slot = make(every=60), Slot()
    ring.keep(slot)
    first = ring.current
    slot.full = True
    clock.move(60)
    assert first is ring.current
    assert first is ring.current
    assert 1 == len(caplog.records)
    assert "goes on signing" in caplog.text
    slot.full = False
    clock.move(9.9)
    assert first is ring.current
    clock.move(0.2)
    assert first is not ring.current


def test_a_revoked_key_is_gone_even_if_that_cannot_be_kept(make: MakeRing) -> None:
    ring, slot = make(), Slot()
    ring.keep(slot)
    first = ring.current
    assert 2 == len(ring.keys)
    slot.full = True

    with pytest.raises(StateError, match="No space left"):
        ring.revoke(first.kid)
    assert first not in ring.keys


def test_a_ring_takes_the_keys_that_are_kept(make: MakeRing, clock: ManualClock) -> None:
    ring, slot = make(overlap=30), Slot()
    ring.keep(slot)
    ring.rotate()
    again = ring_of(clock, RotationSchedule(overlap=30))
    again.keep(slot)

    assert ring.keys == again.keys
    clock.move(30)
    assert (ring.current,) == again.keys


def test_a_ring_that_has_keys_keeps_them_in_an_empty_slot(make: MakeRing) -> None:
    ring, slot = make(), Slot()
    first = ring.current
    ring.keep(slot)

    assert first is ring.current
    assert slot.state.current is not None
    assert first is slot.state.current.key


@pytest.mark.parametrize(
    "schedule",
    [
        {"every": 0},
        {"every": -1},
        {"every": math.inf},
        {"every": math.nan},
        {"overlap": -1},
        {"overlap": math.nan},
    ],
    ids=str,
)
def test_a_schedule_that_cannot_work_is_refused(schedule: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(schedule))):
        RotationSchedule(**schedule)


steps = st.lists(
    st.one_of(st.sampled_from(["rotate", "withdraw", "revoke"]), st.integers(-200, 200)), max_size=20
)


@settings(deadline=None)
@given(steps)
def test_whatever_happens_the_key_that_signs_is_published_and_none_outlives_its_overlap(
    steps: list[str | int],
) -> None:
    clock = ManualClock()
    ring = ring_of(clock, RotationSchedule(every=100, overlap=30))
    gone: set[str] = set()
    for step in steps:
        if step == "revoke":
            gone.add(ring.current.kid)
            ring.revoke(ring.current.kid)
        elif isinstance(step, int):
            clock.move(step)
        else:
            before = ring.current
            ring.rotate(withdraw=step == "withdraw")
            if step == "withdraw":
                gone.add(before.kid)
        published = ring.published()
        assert ring.current is published[0].key
        assert not gone & {one.key.kid for one in published}
        assert all(one.until is not None and 0 < one.until - clock.now <= 30 for one in published[1:])


@forking
def test_a_child_signs_while_another_thread_of_its_parent_makes_a_key(make: MakeRing) -> None:
    ring = make()

    with held_elsewhere(ring._lock):
        assert forked(lambda: bool(ring.current.kid))
