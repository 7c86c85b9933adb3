"""Every state of the key cache: what a read gives in it, what it starts, and how it is left."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Door, InvokerPolicy, KeyCache, KeysUnavailableError, Reason
from doorward.door.refusal import Refusal
from doorward.errors import SignatureError
from doorward.keys.events import FetchFinished, FetchStarted, KeyEvent, StaleUsed, StateChanged
from doorward.keys.flight import Flight
from doorward.keys.formats.keyset import parse_key_set
from doorward.keys.health import KeyHealth
from doorward.keys.http.freshness import Freshness, Validators
from doorward.keys.state import NOTHING_HELD, KeyState
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.simulator import PATIENCE, Api, SimulatedEndpoint, background, join_fetches, watch_readers
from support.tokens import SigningKey, jwks

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")

# An answer is fresh for an hour, refreshed ahead in its last five minutes (give or take 10 %), and serves for
# a day more.
STALE_AFTER = 3_600.0
REFRESH_AFTER = STALE_AFTER - 330.0
DEAD_AFTER = STALE_AFTER + 86_400.0

# Past its freshness, and not yet idle for long.
STALE_AGE = STALE_AFTER + 3_599.0

# An age at which the cache is in that state whatever the jitter; None before the first fetch.
AGES: dict[KeyState, float | None] = {
    KeyState.EMPTY: None,
    KeyState.FRESH: REFRESH_AFTER - 1,
    KeyState.AGEING: STALE_AFTER - 1,
    KeyState.STALE: STALE_AGE,
    KeyState.DEAD: DEAD_AFTER,
}

each_state = pytest.mark.parametrize("state", AGES, ids=str)
usable_states = pytest.mark.parametrize("state", [KeyState.FRESH, KeyState.AGEING, KeyState.STALE], ids=str)
not_fresh = pytest.mark.parametrize("state", [KeyState.AGEING, KeyState.STALE], ids=str)
unusable_states = pytest.mark.parametrize("state", [KeyState.EMPTY, KeyState.DEAD], ids=str)


def reach(endpoint: SimulatedEndpoint, state: KeyState, **changed: Any) -> KeyCache:
    """Make a cache and bring it into a state; its first fetch, if it made one, does not count any more."""
    cache = endpoint.cache(**changed)
    age = AGES[state]
    if age is not None:
        cache.warm()
        endpoint.await_fetch()
        endpoint.requests.clear()
        endpoint.pass_time(age)
    assert state is cache.state
    return cache


# The ages at which the state changes.


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (0.0, KeyState.FRESH),
        (REFRESH_AFTER - 0.01, KeyState.FRESH),
        (STALE_AFTER - 269.99, KeyState.AGEING),
        (STALE_AFTER - 0.01, KeyState.AGEING),
        (STALE_AFTER, KeyState.STALE),
        (DEAD_AFTER - 0.01, KeyState.STALE),
        (DEAD_AFTER, KeyState.DEAD),
        (10 * DEAD_AFTER, KeyState.DEAD),
    ],
)
def test_the_state_follows_from_the_age(endpoint: SimulatedEndpoint, age: float, state: KeyState) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.pass_time(age)
    assert state is cache.state
    assert pytest.approx(age, abs=1e-6) == cache.age


@settings(deadline=None, max_examples=200)
@given(
    stale_after=st.floats(60, 86_400),
    max_stale=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    passed=st.floats(0, 2e6),
    frozen=st.floats(-1e6, 2e6),
)
def test_the_larger_of_both_ages_decides_and_states_only_come_in_their_order(
    stale_after: float, max_stale: float, jitter: float, passed: float, frozen: float
) -> None:
    key_set = parse_key_set(jwks(KEY), ("RS256",), 0.0)
    held = NOTHING_HELD.replaced_by(
        key_set,
        Freshness(stale_after, stale_after + max_stale),
        Validators(),
        confirmed_at=0.0,
        confirmed_at_wall=0.0,
        jitter=jitter,
    )
    age = max(passed, passed + frozen)
    order = [KeyState.FRESH, KeyState.AGEING, KeyState.STALE, KeyState.DEAD]
    expected = order[(age >= held.refresh_after) + (age >= held.stale_after) + (age >= held.dead_after)]
    assert expected is held.state(passed, passed + frozen)
    assert age == held.age(passed, passed + frozen)
    margin = min(0.1 * stale_after, 300.0)
    assert stale_after - 1.1 * margin - 1e-6 <= held.refresh_after <= stale_after - 0.9 * margin + 1e-6


# EMPTY.


def test_the_first_read_waits_for_the_first_fetch(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    assert "key-1" == api.get(cache, "key-1").kid
    assert (1, KeyState.FRESH, 0.0, 1) == (endpoint.fetches, cache.state, cache.age, cache.generation)


def test_a_cold_fetch_on_its_way_is_joined(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    gate = endpoint.hang()
    readers = [background(api.get, cache, "key-1")]
    endpoint.await_fetch()
    readers += [background(api.get, cache, "key-1") for _ in range(5)]
    gate.set()
    assert ["key-1"] * 6 == [reader.result(PATIENCE).kid for reader in readers]
    assert 1 == endpoint.fetches


def test_a_reader_whose_wait_for_the_first_fetch_ends_finds_the_keys_unavailable(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache(patience=0.02)
    endpoint.hang()
    with pytest.raises(KeysUnavailableError) as refusal:
        api.get(cache, "key-1")
    assert Reason.KEYS_UNAVAILABLE == refusal.value.reason


@pytest.fixture
def overdue(endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch) -> KeyCache:
    """Make a cache whose readers give up when the keys are there, and before any reader is woken."""
    finished = threading.Event()

    def listener(event: KeyEvent) -> None:
        if isinstance(event, FetchFinished):
            finished.set()

    def give_up(self: Flight, timeout: float) -> bool:
        assert finished.wait(PATIENCE)
        return False

    async def give_up_async(self: Flight, timeout: float) -> bool:  # noqa: ASYNC109 - as its original
        return give_up(self, timeout)

    monkeypatch.setattr(Flight, "wait", give_up)
    monkeypatch.setattr(Flight, "wait_async", give_up_async)
    return endpoint.cache(listener=listener)


def test_a_reader_that_gives_up_waiting_for_a_key_takes_a_last_look(overdue: KeyCache, api: Api) -> None:
    assert "key-1" == api.get(overdue, "key-1").kid


def test_a_caller_that_gives_up_warming_takes_a_last_look(overdue: KeyCache, api: Api) -> None:
    api.warm(overdue)
    assert KeyState.FRESH is overdue.state


def test_giving_up_waiting_does_not_end_the_fetch(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache(patience=0.02)
    gate = endpoint.hang()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    gate.set()
    join_fetches()
    assert "key-1" == api.get(cache, "key-1").kid
    assert 1 == endpoint.fetches


def test_a_key_that_the_first_answer_does_not_hold_is_unknown_without_asking_again(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    with pytest.raises(SignatureError) as refusal:
        api.get(endpoint.cache(), "key-9")
    assert (Reason.UNKNOWN_KEY, 1) == (refusal.value.reason, endpoint.fetches)


def test_a_look_at_the_keys_of_an_empty_cache_neither_waits_nor_asks(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache()
    assert cache.keys(endpoint.wall.now) is None
    assert (0, False) == (endpoint.fetches, cache.refreshing)


def test_after_a_failed_first_fetch_the_next_one_waits_for_its_time(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    endpoint.throttle(2)
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            api.get(cache, "key-1")
    endpoint.heal()
    endpoint.pass_time(1.9)
    with pytest.raises(KeysUnavailableError) as refusal:
        api.get(cache, "key-1")
    assert 1 == endpoint.fetches
    assert pytest.approx(0.1) == refusal.value.retry_after
    endpoint.pass_time(0.2)
    assert "key-1" == api.get(cache, "key-1").kid
    assert 2 == endpoint.fetches


# FRESH.


def test_a_fresh_key_is_given_while_another_thread_holds_the_lock(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = reach(endpoint, KeyState.FRESH)

    def read() -> tuple[object, object]:
        keys = cache.keys(endpoint.wall.now)
        return keys and keys["key-1"], api.get(cache, "key-1")

    with cache._updater.lock:
        looked, got = background(read).result(PATIENCE)
    assert got is looked
    assert got is not None


def test_fresh_keys_cause_no_fetch(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.FRESH)
    for _ in range(10):
        api.get(cache, "key-1")
    assert (0, False) == (endpoint.fetches, cache.refreshing)


def test_a_look_at_fresh_keys_reads_one_clock_once(endpoint: SimulatedEndpoint) -> None:
    reads = itertools.count()
    cache = endpoint.cache(
        monotonic=lambda: (next(reads), endpoint.monotonic.now)[1],
        clock=lambda: (next(reads), endpoint.wall.now)[1],
    )
    cache.warm()
    before = next(reads)
    cache.keys(endpoint.wall.now)
    assert before + 2 == next(reads)


# AGEING.


def test_an_ageing_key_is_given_at_once_and_one_fetch_begins(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.AGEING)
    gate = endpoint.hang()
    assert ["key-1"] * 10 == [api.get(cache, "key-1").kid for _ in range(10)]
    endpoint.await_fetch()
    assert (1, True, KeyState.AGEING) == (endpoint.fetches, cache.refreshing, cache.state)
    gate.set()
    join_fetches()
    assert (1, False, KeyState.FRESH, 0.0) == (endpoint.fetches, cache.refreshing, cache.state, cache.age)


@not_fresh
def test_many_threads_that_read_at_once_begin_one_fetch(endpoint: SimulatedEndpoint, state: KeyState) -> None:
    cache = reach(endpoint, state)
    gate = endpoint.hang()
    together = threading.Barrier(20)

    def read() -> str:
        together.wait(PATIENCE)
        return cache.get("key-1").kid

    readers = [background(read) for _ in range(20)]
    assert ["key-1"] * 20 == [reader.result(PATIENCE) for reader in readers]
    gate.set()
    join_fetches()
    assert 1 == endpoint.fetches


class _Overtaken:
    """A lock that another thread always gets first."""

    def __init__(self, cache: KeyCache) -> None:
        self._cache = cache
        self._lock = cache._updater.lock

    def __enter__(self) -> None:
        with self._lock:
            self._cache._updater.start("refresh", self._cache._monotonic())
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_reader_that_was_overtaken_on_its_way_to_the_lock_begins_no_second_fetch(
    endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = reach(endpoint, KeyState.AGEING)
    endpoint.hang()
    with monkeypatch.context() as patch:
        patch.setattr(cache._updater, "lock", _Overtaken(cache))
        assert "key-1" == cache.get("key-1").kid
    assert 2 == cache._updater.flights.started


def test_the_refresh_ahead_asks_whether_anything_changed(endpoint: SimulatedEndpoint) -> None:
    cache = reach(endpoint, KeyState.AGEING)
    cache.get("key-1")
    join_fetches()
    (request,) = endpoint.requests
    assert "if-none-match" in request.headers
    assert "cache-control" not in request.headers
    assert {"changed": 1, "unchanged": 0, "not_modified": 1, "failed": 0} == cache.health()["fetches"]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(), max_age=st.integers(60, 86_400))
def test_ageing_begins_within_a_tenth_of_the_margin(seed: int, max_age: int) -> None:
    clock, remote = ManualClock(1_000.0), KeyEndpoint(KEY)
    remote.headers = {"cache-control": f"max-age={max_age}"}
    cache = KeyCache(
        "https://keys.example/certs", fetch=remote, clock=clock, monotonic=clock, rng=random.Random(seed)
    )
    cache.warm()
    margin = min(0.1 * max_age, 300.0)
    clock.now = 1_000.0 + max_age - 1.1 * margin - 0.001
    early = cache.state
    clock.now = 1_000.0 + max_age - 0.9 * margin + 0.001
    assert (KeyState.FRESH, KeyState.AGEING) == (early, cache.state)


def test_a_fleet_that_started_together_does_not_come_back_together() -> None:
    clock = ManualClock()
    fleet = [
        KeyCache(
            "https://keys.example/certs",
            fetch=KeyEndpoint(KEY),
            clock=clock,
            monotonic=clock,
            rng=random.Random(seed),
        )
        for seed in range(60)
    ]
    for cache in fleet:
        cache.warm()
    clock.move(STALE_AFTER - 300.0)
    ageing = sum(cache.state is KeyState.AGEING for cache in fleet)
    assert 15 <= ageing <= 45


# STALE.


def test_a_stale_key_is_given_reported_and_counted(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.STALE)
    endpoint.fail()
    assert "key-1" == api.get(cache, "key-1").kid
    assert "key-1" == api.get(cache, "key-1").kid
    assert [StaleUsed(endpoint.url, STALE_AGE)] * 2 == endpoint.events_of(StaleUsed)
    assert 2 == cache.health()["stale_uses"]


def test_a_stale_cache_asks_again_only_when_its_backoff_is_over(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.pass_time(STALE_AFTER)
    endpoint.throttle(90)
    api.get(cache, "key-1")
    join_fetches()
    endpoint.pass_time(89.9)
    api.get(cache, "key-1")
    join_fetches()
    assert (2, True) == (endpoint.fetches, cache.cooling_down)
    endpoint.pass_time(0.2)
    assert not cache.cooling_down
    api.get(cache, "key-1")
    join_fetches()
    assert 3 == endpoint.fetches


def test_an_unknown_key_cannot_be_distinguished_from_a_new_one_while_the_endpoint_is_away(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = reach(endpoint, KeyState.STALE)
    endpoint.fail()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-2")


def test_a_new_key_is_found_past_stale_ones(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.STALE)
    endpoint.rotate(OTHER)
    assert "key-2" == api.get(cache, "key-2").kid
    assert 1 == endpoint.fetches


# STALE after a long idle time.


@pytest.fixture
def idle(endpoint: SimulatedEndpoint) -> KeyCache:
    """Make a cache whose keys are more than an hour past their freshness, and no failure known."""
    cache = reach(endpoint, KeyState.STALE)
    endpoint.pass_time(1.0)
    return cache


@pytest.fixture
def out_of_patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make every wait end at once as if its time were over; keep how long each would have been."""
    limits: list[float] = []

    def give_up(self: Flight, timeout: float) -> bool:
        limits.append(timeout)
        return False

    async def give_up_async(self: Flight, timeout: float) -> bool:  # noqa: ASYNC109 - as its original
        return give_up(self, timeout)

    monkeypatch.setattr(Flight, "wait", give_up)
    monkeypatch.setattr(Flight, "wait_async", give_up_async)
    return limits


def test_a_key_withdrawn_during_a_long_idle_time_is_not_believed_by_the_first_read(
    endpoint: SimulatedEndpoint, idle: KeyCache, api: Api
) -> None:
    endpoint.rotate(OTHER)
    assert idle.keys(endpoint.wall.now) is None
    with pytest.raises(SignatureError) as refusal:
        api.get(idle, "key-1")
    assert (Reason.UNKNOWN_KEY, 0) == (refusal.value.reason, idle.health()["stale_uses"])


def test_a_cached_token_of_a_key_withdrawn_during_a_long_idle_time_is_refused(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    verifier = endpoint.verifier(cache)
    endpoint.cache_control = "max-age=60"
    seen = endpoint.token(KEY)
    api.verify(verifier, seen)
    endpoint.monotonic.move(60 + 3_600)  # the token is still in its time by the wall clock
    endpoint.rotate(OTHER)
    with pytest.raises(SignatureError):
        api.verify(verifier, seen)


def test_all_reads_after_a_long_idle_time_wait_for_the_one_refresh(
    endpoint: SimulatedEndpoint, idle: KeyCache, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    endpoint.rotate(OTHER)
    gate = endpoint.hang()
    readers = [background(api.get, idle, "key-1") for _ in range(5)]
    for _ in readers:
        await_reader()
    gate.set()
    assert [SignatureError] * 5 == [type(reader.exception(PATIENCE)) for reader in readers]
    # Two, if one came while the first was on its way: it could not be sure that this shows what is published.
    assert 1 <= endpoint.fetches <= 2


def test_after_a_long_idle_time_a_read_waits_a_second_and_then_uses_the_held_key(
    endpoint: SimulatedEndpoint, idle: KeyCache, api: Api, out_of_patience: list[float]
) -> None:
    endpoint.hang()
    assert "key-1" == api.get(idle, "key-1").kid
    assert ([1.0], 1) == (out_of_patience, idle.health()["stale_uses"])


def test_after_a_long_idle_time_no_read_waits_for_a_refresh_that_is_a_second_old(
    endpoint: SimulatedEndpoint, idle: KeyCache, api: Api, out_of_patience: list[float]
) -> None:
    endpoint.hang()
    idle.keys(endpoint.wall.now)
    endpoint.pass_time(1.0)
    assert idle.keys(endpoint.wall.now) is not None
    assert "key-1" == api.get(idle, "key-1").kid
    assert [] == out_of_patience


def test_after_a_long_idle_time_a_failed_refresh_leaves_the_held_keys_in_use(
    endpoint: SimulatedEndpoint, idle: KeyCache, api: Api
) -> None:
    endpoint.throttle(90)
    assert "key-1" == api.get(idle, "key-1").kid
    assert idle.keys(endpoint.wall.now) is not None
    endpoint.pass_time(91)
    endpoint.hang()
    assert idle.keys(endpoint.wall.now) is not None  # a failure is known: the next refresh is not waited for


def test_a_failure_of_hours_ago_does_not_make_a_withdrawn_key_believed(
    endpoint: SimulatedEndpoint, idle: KeyCache, api: Api
) -> None:
    endpoint.throttle(1)
    api.get(idle, "key-1")
    endpoint.heal()
    endpoint.rotate(OTHER)
    endpoint.freeze(3_600.0)
    endpoint.pass_time(1.0)
    with pytest.raises(SignatureError):
        api.get(idle, "key-1")


def test_without_a_thread_for_the_refresh_the_held_keys_are_used_after_a_long_idle_time(
    endpoint: SimulatedEndpoint, idle: KeyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Flight, work: object) -> bool:
        return False

    monkeypatch.setattr(Flight, "start", refuse)
    assert idle.keys(endpoint.wall.now) is not None


# DEAD.


@pytest.mark.parametrize("kid", ["key-1", "key-2"], ids=["known", "unknown"])
def test_dead_keys_are_unavailable_and_no_key_unknown(
    endpoint: SimulatedEndpoint, api: Api, kid: str
) -> None:
    cache = reach(endpoint, KeyState.DEAD)
    endpoint.fail()
    assert cache.keys(endpoint.wall.now) is None
    for _ in range(3):  # at first while it is asked, later while it is left alone
        with pytest.raises(KeysUnavailableError):
            api.get(cache, kid)


def test_the_door_answers_503_once_keys_are_dead_even_to_a_cached_token(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache(max_stale=0)
    door = Door(endpoint.verifier(cache), InvokerPolicy.all_authenticated_users())
    headers = [(b"authorization", b"Bearer " + endpoint.token(KEY).encode())]
    endpoint.cache_control = "max-age=60"
    assert not isinstance(api.admit(door, headers), Refusal)
    endpoint.pass_time(60)
    endpoint.throttle(2)
    refusal = api.admit(door, headers)
    assert isinstance(refusal, Refusal)
    assert (503, Reason.KEYS_UNAVAILABLE) == (refusal.status, refusal.reason)
    assert (b"retry-after", b"2") in refusal.headers


@pytest.mark.parametrize("max_stale", [0.0, 1.0, 600.0])
def test_keys_are_dead_after_their_freshness_and_what_the_setting_allows(
    endpoint: SimulatedEndpoint, max_stale: float
) -> None:
    cache = endpoint.cache(max_stale=max_stale)
    cache.warm()
    endpoint.fail()
    endpoint.pass_time(STALE_AFTER + max_stale - 0.5)
    assert "key-1" == cache.get("key-1").kid
    endpoint.pass_time(0.5)
    assert KeyState.DEAD is cache.state
    with pytest.raises(KeysUnavailableError):
        cache.get("key-1")


def test_without_stale_keys_ageing_is_followed_by_death(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache(max_stale=0)
    cache.warm()
    endpoint.pass_time(STALE_AFTER - 0.01)
    before = cache.state
    endpoint.pass_time(0.01)
    assert (KeyState.AGEING, KeyState.DEAD) == (before, cache.state)


def test_failures_do_not_put_off_the_death_of_keys(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.STALE)
    endpoint.fail()
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            api.refresh(cache)
    assert (KeyState.STALE, STALE_AGE) == (cache.state, cache.age)
    endpoint.pass_time(DEAD_AFTER - STALE_AGE)
    assert KeyState.DEAD is cache.state


# The way back.


@each_state
def test_one_good_answer_leads_back_to_fresh(endpoint: SimulatedEndpoint, api: Api, state: KeyState) -> None:
    cache = reach(endpoint, state)
    api.refresh(cache)
    assert (KeyState.FRESH, 0.0, 1, 1) == (cache.state, cache.age, cache.generation, endpoint.fetches)


@pytest.mark.parametrize("state", [KeyState.AGEING, KeyState.STALE, KeyState.DEAD], ids=str)
def test_a_read_is_enough_to_lead_back_to_fresh(
    endpoint: SimulatedEndpoint, api: Api, state: KeyState
) -> None:
    cache = reach(endpoint, state)
    assert "key-1" == api.get(cache, "key-1").kid
    join_fetches()
    assert (KeyState.FRESH, 0.0, 1) == (cache.state, cache.age, endpoint.fetches)


@each_state
def test_another_key_set_is_another_generation(endpoint: SimulatedEndpoint, state: KeyState) -> None:
    cache = reach(endpoint, state)
    before = cache.generation
    endpoint.rotate(KEY, OTHER)
    cache.refresh()
    assert (before + 1, ["key-1", "key-2"]) == (cache.generation, cache.health()["kids"])


def test_a_304_renews_the_age_and_keeps_the_very_keys(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.STALE)
    key = api.get(cache, "key-1")
    join_fetches()
    assert KeyState.FRESH is cache.state
    assert api.get(cache, "key-1") is key
    assert {"changed": 1, "unchanged": 0, "not_modified": 1, "failed": 0} == cache.health()["fetches"]


def test_the_listener_hears_of_each_state_once(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache()
    endpoint.cache_control = "max-age=3600"
    cache.warm()
    endpoint.throttle(1)
    for age in (0.0, STALE_AFTER - 1, STALE_AFTER, DEAD_AFTER):
        endpoint.pass_time(5_000.0 + age - endpoint.monotonic.now)
        for _ in range(2):
            cache.keys(endpoint.wall.now)
            join_fetches()
    endpoint.heal()
    cache.refresh()
    empty, fresh, ageing, stale, dead = KeyState
    steps = [(empty, fresh), (fresh, ageing), (ageing, stale), (stale, dead), (dead, fresh)]
    assert [StateChanged(endpoint.url, *step) for step in steps] == endpoint.events_of(StateChanged)


# Two clocks.


@pytest.mark.parametrize(
    ("frozen", "state"),
    [(STALE_AFTER - 1, KeyState.AGEING), (STALE_AFTER, KeyState.STALE), (DEAD_AFTER, KeyState.DEAD)],
    ids=["ageing", "stale", "dead"],
)
def test_an_instance_that_was_frozen_sees_how_old_its_keys_are(
    endpoint: SimulatedEndpoint, frozen: float, state: KeyState
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.freeze(frozen)
    assert state is cache.state
    assert pytest.approx(frozen) == cache.age


def test_an_instance_that_was_frozen_asks_anew_on_its_first_request(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.freeze(STALE_AFTER)
    endpoint.rotate(OTHER)
    assert "key-1" == api.get(cache, "key-1").kid  # stale, since waiting would not help
    join_fetches()
    assert (KeyState.FRESH, 2) == (cache.state, endpoint.fetches)
    assert "key-2" == api.get(cache, "key-2").kid


def test_an_instance_that_was_frozen_too_long_serves_nothing_old(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.freeze(DEAD_AFTER)
    endpoint.fail()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")


@pytest.mark.parametrize(
    ("passed", "state"),
    [
        (REFRESH_AFTER - 1, KeyState.FRESH),
        (STALE_AFTER - 1, KeyState.AGEING),
        (STALE_AFTER, KeyState.STALE),
        (DEAD_AFTER, KeyState.DEAD),
    ],
    ids=str,
)
def test_a_wall_clock_set_back_makes_no_key_younger(
    endpoint: SimulatedEndpoint, passed: float, state: KeyState
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.set_wall(-10 * DEAD_AFTER)
    endpoint.pass_time(passed)
    assert (state, passed) == (cache.state, cache.age)


def test_a_wall_clock_set_back_does_not_keep_dead_keys_in_use(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.DEAD)
    endpoint.set_wall(-10 * DEAD_AFTER)
    endpoint.fail()
    assert cache.keys(endpoint.wall.now) is None
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")


def test_keys_fetched_by_a_wrong_clock_age_rightly_once_it_is_set(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache()
    endpoint.set_wall(10 * DEAD_AFTER)
    cache.warm()
    endpoint.set_wall(-10 * DEAD_AFTER)
    assert (KeyState.FRESH, 0.0) == (cache.state, cache.age)
    endpoint.pass_time(STALE_AFTER)
    assert (KeyState.STALE, STALE_AFTER) == (cache.state, cache.age)


# Having keys before the first request, and asking on purpose.


@unusable_states
def test_warming_fetches_where_there_are_no_usable_keys(
    endpoint: SimulatedEndpoint, api: Api, state: KeyState
) -> None:
    cache = reach(endpoint, state)
    api.warm(cache)
    assert (KeyState.FRESH, 1) == (cache.state, endpoint.fetches)


@usable_states
def test_warming_returns_at_once_where_there_are_usable_keys(
    endpoint: SimulatedEndpoint, api: Api, state: KeyState
) -> None:
    cache = reach(endpoint, state)
    endpoint.hang()
    api.warm(cache)
    assert (state, 0, False) == (cache.state, endpoint.fetches, cache.refreshing)


@unusable_states
def test_warming_in_vain_says_so_and_leaves_the_endpoint_alone_for_a_while(
    endpoint: SimulatedEndpoint, api: Api, state: KeyState
) -> None:
    cache = reach(endpoint, state)
    endpoint.fail()
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            api.warm(cache)
    assert (state, 1) == (cache.state, endpoint.fetches)


def test_warming_waits_no_longer_than_its_patience(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache(patience=0.02)
    endpoint.hang()
    with pytest.raises(KeysUnavailableError):
        api.warm(cache)
    assert cache.refreshing


@each_state
def test_a_refresh_asks_in_any_state(endpoint: SimulatedEndpoint, api: Api, state: KeyState) -> None:
    cache = reach(endpoint, state)
    endpoint.rotate(OTHER)
    api.refresh(cache)
    (request,) = endpoint.requests
    assert "no-cache" == request.headers["cache-control"]
    assert ["key-2"] == cache.health()["kids"]


def test_a_refresh_asks_although_no_clock_has_moved_since_the_last_fetch(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    api.warm(cache)
    api.refresh(cache)
    api.refresh(cache)
    assert 3 == endpoint.fetches


def test_a_refresh_does_not_wait_for_the_backoff(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    endpoint.throttle(300)
    with pytest.raises(KeysUnavailableError):
        api.warm(cache)
    endpoint.heal()
    api.refresh(cache)
    assert (KeyState.FRESH, False, 2) == (cache.state, cache.cooling_down, endpoint.fetches)


def test_a_refresh_in_vain_leaves_keys_and_age(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = reach(endpoint, KeyState.STALE)
    endpoint.fail()
    with pytest.raises(KeysUnavailableError):
        api.refresh(cache)
    assert (STALE_AGE, 1, ["key-1"]) == (cache.age, cache.generation, cache.health()["kids"])


def test_a_refresh_is_not_content_with_an_answer_asked_for_before_it(
    endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    cache = reach(endpoint, KeyState.AGEING)
    await_reader()
    gate = endpoint.hang()
    cache.keys(endpoint.wall.now)
    endpoint.await_fetch()  # on its way, and it will bring the old keys
    endpoint.rotate(OTHER)
    endpoint.heal()
    refreshed = background(api.refresh, cache)
    await_reader()
    gate.set()
    refreshed.result(PATIENCE)
    assert ["key-2"] == cache.health()["kids"]
    assert ["refresh", "asked"] == [event.trigger for event in endpoint.events_of(FetchStarted)[1:]]


# What can be read of it.


@each_state
def test_the_state_is_plain_data(endpoint: SimulatedEndpoint, state: KeyState) -> None:
    cache = reach(endpoint, state)
    age = AGES[state]
    held = age is not None
    usable = state not in (KeyState.EMPTY, KeyState.DEAD)
    expected = {
        "url": endpoint.url,
        "state": state.value,
        "ready": usable,
        "age": age,
        "fresh_for": None if age is None else max(0.0, STALE_AFTER - age),
        "usable_for": None if age is None else DEAD_AFTER - age,
        "generation": int(held),
        "kids": ["key-1"] if held else [],
        "refreshing": False,
        "retry_in": 0.0,
        "failures": 0,
        "last_error": None,
        "stale_uses": 0,
        "fetches": {"changed": int(held), "unchanged": 0, "not_modified": 0, "failed": 0},
        "snapshots_taken": 0,
        "hanging": 0,
    }
    assert expected == json.loads(json.dumps(cache.health()))
    assert set(expected) == KeyHealth.__required_keys__
    assert (state, usable, age, int(held)) == (cache.state, cache.ready, cache.age, cache.generation)
    assert f"KeyCache({endpoint.url!r}, state={state.value})" == repr(cache)


def test_failures_are_plain_data_too(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.throttle(60)
    with pytest.raises(KeysUnavailableError):
        cache.refresh()
    health: dict[str, object] = json.loads(json.dumps(cache.health()))
    assert (60.0, 1, "status: answered with 429, not 200") == tuple(
        health[name] for name in ("retry_in", "failures", "last_error")
    )
    assert cache.cooling_down


def test_a_fetch_on_its_way_can_be_seen(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache()
    gate = endpoint.hang()
    warmed = background(cache.warm)
    endpoint.await_fetch()
    assert (True, True) == (cache.refreshing, cache.health()["refreshing"])
    gate.set()
    warmed.result(PATIENCE)
    assert (False, False) == (cache.refreshing, cache.health()["refreshing"])


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda cache: cache.state, id="state"),
        pytest.param(lambda cache: cache.age, id="age"),
        pytest.param(lambda cache: cache.generation, id="generation"),
        pytest.param(lambda cache: cache.ready, id="ready"),
        pytest.param(lambda cache: cache.refreshing, id="refreshing"),
        pytest.param(lambda cache: cache.cooling_down, id="cooling_down"),
        pytest.param(lambda cache: cache.health(), id="health"),
        pytest.param(repr, id="repr"),
    ],
)
@each_state
def test_a_look_at_the_state_asks_no_endpoint_and_takes_no_lock(
    endpoint: SimulatedEndpoint, state: KeyState, look: Callable[[KeyCache], object]
) -> None:
    cache = reach(endpoint, state)
    with cache._updater.lock:
        background(look, cache).result(PATIENCE)
    assert (0, False) == (endpoint.fetches, cache.refreshing)
