"""How often a key endpoint may be asked."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.keys.caching.budget import Backoff, NegativeSet, TokenBucket

NOW = 1000.0


class Jitter(random.Random):
    """Draws a fixed share of each range, and keeps the ranges."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self.share = share
        self.ranges: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.ranges.append((a, b))
        return a + self.share * (b - a)


# The bucket.


def test_a_bucket_starts_full_and_runs_empty() -> None:
    bucket = TokenBucket(10.0, 3)

    assert [True, True, True, False, False] == [bucket.take(NOW) for _ in range(5)]


def test_one_more_comes_with_each_interval() -> None:
    bucket = TokenBucket(10.0, 1)

    assert [True, False, True, False, True] == [bucket.take(NOW + at) for at in (0, 9.9, 10, 19.9, 20)]


def test_parts_of_an_interval_add_up_across_refusals() -> None:
    bucket = TokenBucket(10.0, 1)
    bucket.take(NOW)

    assert [False, False, False, True] == [bucket.take(NOW + at) for at in (2.5, 5.0, 7.5, 10.0)]


def test_a_long_rest_saves_up_no_more_than_the_burst() -> None:
    bucket = TokenBucket(10.0, 2)
    bucket.take(NOW)

    assert [True, True, False] == [bucket.take(NOW + 1_000_000) for _ in range(3)]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(10.0, 1)
    bucket.take(NOW)

    assert bucket.take(NOW - 500) is False


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=60), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_no_rhythm_of_asking_gets_more_than_the_burst_and_the_rate(steps: list[float], burst: int) -> None:
    bucket, now, taken = TokenBucket(10.0, burst), NOW, 0
    for step in steps:
        now += step
        taken += bucket.take(now)

    assert taken <= burst + (now - NOW) / 10.0 + 1e-6


# The backoff.


def test_nothing_has_failed_at_first() -> None:
    backoff = Backoff(1.0, 300.0, Jitter(1))

    assert (0, 0.0) == (backoff.failures, backoff.left(NOW))


def test_the_range_of_the_jitter_doubles_with_each_failure_up_to_the_longest() -> None:
    jitter = Jitter(1)
    backoff = Backoff(1.0, 300.0, jitter)

    for _ in range(10):
        backoff.failed(NOW, None)

    ceilings = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0)
    assert [(0.0, ceiling) for ceiling in ceilings] == jitter.ranges
    assert 300.0 == backoff.left(NOW)


def test_the_jitter_is_full_but_never_under_the_shortest() -> None:
    backoff = Backoff(1.0, 300.0, Jitter(0))
    backoff.failed(NOW, None)

    assert 1.0 == backoff.left(NOW)


def test_a_thousand_failures_overflow_nothing() -> None:
    backoff = Backoff(1.0, 300.0, Jitter(1))
    for _ in range(2000):
        backoff.failed(NOW, None)

    assert (2000, 300.0) == (backoff.failures, backoff.left(NOW))


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (42.0, 42.0), (300.0, 300.0), (9e9, 300.0), (float("inf"), 300.0)],
)
def test_the_wish_of_the_endpoint_counts_between_the_bounds(wanted: float, given_: float) -> None:
    jitter = Jitter(1)
    backoff = Backoff(1.0, 300.0, jitter)
    backoff.failed(NOW, wanted)

    assert (given_, []) == (backoff.left(NOW), jitter.ranges)


def test_the_wait_runs_down_and_never_below_nothing() -> None:
    backoff = Backoff(1.0, 300.0, Jitter(1))
    backoff.failed(NOW, 40.0)

    assert [40.0, 30.0, 0.0, 0.0] == [backoff.left(NOW + at) for at in (0, 10, 40, 4000)]


def test_a_success_forgets_every_failure() -> None:
    jitter = Jitter(1)
    backoff = Backoff(1.0, 300.0, jitter)
    backoff.failed(NOW, None)
    backoff.failed(NOW, None)
    backoff.succeeded()

    assert (0, 0.0) == (backoff.failures, backoff.left(NOW))
    backoff.failed(NOW, None)
    assert (0.0, 2.0) == jitter.ranges[-1]


@given(st.integers(0, 2**32), st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_every_wait_is_within_the_bounds(seed: int, wishes: list[float | None]) -> None:
    backoff = Backoff(1.0, 300.0, random.Random(seed))
    for wish in wishes:
        backoff.failed(NOW, wish)
        assert 1.0 <= backoff.left(NOW) <= 300.0


# The key ids that are not there.


def test_a_key_id_is_believed_absent_for_its_lifetime() -> None:
    absent = NegativeSet(4, 60.0)
    absent.add("a", NOW)

    assert [True, True, False] == [absent.holds("a", NOW + at) for at in (0, 59.9, 60)]
    assert absent.holds("b", NOW) is False


def test_the_oldest_goes_first_when_it_is_full() -> None:
    absent = NegativeSet(3, 60.0)
    for kid in "abcd":
        absent.add(kid, NOW)

    assert [False, True, True, True] == [absent.holds(kid, NOW) for kid in "abcd"]
    assert 3 == len(absent)


def test_one_that_comes_again_counts_as_new() -> None:
    absent = NegativeSet(2, 60.0)
    for kid, at in (("a", 0), ("b", 1), ("a", 30), ("c", 31)):
        absent.add(kid, NOW + at)

    assert [True, False, True] == [absent.holds(kid, NOW + 32) for kid in "abc"]
    assert absent.holds("a", NOW + 89)


def test_a_flood_leaves_it_at_its_size() -> None:
    absent = NegativeSet(16, 60.0)
    for number in range(1000):
        absent.add(str(number), NOW)

    assert 16 == len(absent)


def test_a_new_answer_of_the_endpoint_clears_it() -> None:
    absent = NegativeSet(4, 60.0)
    absent.add("a", NOW)
    absent.clear()

    assert (0, False) == (len(absent), absent.holds("a", NOW))


@pytest.mark.parametrize(
    "kid", ["", "\ud800", "\0", "k" * 100_000], ids=["empty", "surrogate", "nul", "long"]
)
def test_any_key_id_can_be_added_and_none_is_kept(kid: str) -> None:
    absent = NegativeSet(4, 60.0)
    absent.add(kid, NOW)
    kept: Any = absent._until

    assert absent.holds(kid, NOW)
    assert [32] == [len(digest) for digest in kept]
