"""One key cache, and many threads and event loops at once: none waits without need, or disturbs another."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import trio

from doorward import GOOGLE, Issuer, KeyCache, KeysUnavailableError, Principal, Reason, Verifier
from doorward.errors import SignatureError
from doorward.keys.events import FetchFinished, FetchStarted, KeyEvent, StateChanged
from doorward.keys.fetch import FetchResponse
from doorward.keys.key import VerificationKey
from doorward.keys.state import KeyState
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.simulator import PATIENCE, background, join_fetches, join_follow_ups, watch_readers
from support.tokens import AUDIENCE, CALLER, SigningKey, ec_key, token
from support.world import World

OTHER = SigningKey("key-2")
STALE_AFTER = 3_600.0
STATES = {KeyState.AGEING: STALE_AFTER - 1, KeyState.STALE: STALE_AFTER + 1}

not_fresh = pytest.mark.parametrize("state", STATES, ids=str)


@pytest.fixture(autouse=True)
def _no_stray_fetch(world: World) -> Iterator[None]:
    yield
    world.endpoint.gate.set()
    join_fetches()


@pytest.fixture
def cache(world: World) -> KeyCache:
    return world.cache(GOOGLE, rng=random.Random(1), patience=PATIENCE, miss_patience=PATIENCE)


@pytest.fixture
def verifier(world: World, cache: KeyCache) -> Verifier:
    return world.verifier(key_cache=lambda issuer: cache)


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def uncaught(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[object]]:
    """Gather what went wrong where it is not caught: in a thread, or in a callback that logs."""
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))
    return lambda: [*raised, *(record for record in caplog.records if record.levelno >= logging.ERROR)]


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Call in so many threads at the same moment, and wait for all."""
    barrier = threading.Barrier(count)

    def one(index: int) -> Any:
        barrier.wait(PATIENCE)
        return call(index)

    return results([background(one, index) for index in range(count)])


def results(futures: list[Future[Any]]) -> list[Any]:
    return [future.result(PATIENCE) for future in futures]


def in_asyncio(call: Callable[[], Awaitable[Any]], tasks: int) -> list[Any]:
    async def one() -> Any:
        return await call()

    async def main() -> list[Any]:
        return await asyncio.gather(*(one() for _ in range(tasks)))

    return asyncio.run(main())


def in_trio(call: Callable[[], Awaitable[Any]], tasks: int) -> list[Any]:
    found: list[Any] = []

    async def one() -> None:
        found.append(await call())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(one)

    trio.run(main)
    return found


def outcome_of(call: Callable[[str], object], asked_for: str) -> object:
    try:
        return call(asked_for)
    except (SignatureError, KeysUnavailableError) as error:
        return error.reason


# Herds.


@not_fresh
def test_of_200_threads_that_read_while_the_refresh_hangs_none_waits(
    world: World, cache: KeyCache, state: KeyState
) -> None:
    cache.warm()
    world.clock.move(STATES[state])
    world.endpoint.gate.clear()
    assert ["key-1"] * 200 == together(200, lambda _: cache.get("key-1").kid)
    # The thread of the fetch may not have come as far as the endpoint yet: fetches are counted at the end.
    assert (state, True) == (cache.state, cache.refreshing)
    world.endpoint.gate.set()
    join_fetches()
    assert (KeyState.FRESH, False, 2) == (cache.state, cache.refreshing, world.endpoint.fetches)


@not_fresh
def test_of_many_loops_that_verify_while_the_refresh_hangs_none_waits(
    world: World, cache: KeyCache, verifier: Verifier, state: KeyState
) -> None:
    cache.warm()
    world.clock.move(STATES[state])
    world.endpoint.gate.clear()
    one = world.token()
    loops = [
        background(loop, lambda: verifier.averify(one), 25)
        for loop in (in_asyncio, in_trio)
        for _ in range(3)
    ]
    assert {CALLER} == {principal.email for found in results(loops) for principal in found}
    assert (state, True) == (cache.state, cache.refreshing)


def test_many_loops_wait_for_one_fetch_of_a_new_key(
    world: World, cache: KeyCache, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.warm()
    await_reader = watch_readers(monkeypatch)
    world.endpoint.keys = (world.key, OTHER)
    world.endpoint.gate.clear()
    one = token(OTHER, world.clock.now)
    loops = [
        background(loop, lambda: verifier.averify(one), 10)
        for loop in (in_asyncio, in_trio)
        for _ in range(3)
    ]
    for _ in range(60):
        await_reader()
    world.endpoint.gate.set()
    assert [[CALLER] * 10] * 6 == [[one.email for one in found] for found in results(loops)]
    # Two, since a reader that came while the first was on its way could not be sure of what it would bring.
    assert 2 <= world.endpoint.fetches <= 3


def test_200_threads_with_200_bogus_key_ids_cause_at_most_two_fetches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = world.cache(GOOGLE, patience=PATIENCE, miss_patience=PATIENCE, max_waiting=200)
    cache.warm()
    await_reader = watch_readers(monkeypatch)
    world.endpoint.gate.clear()
    readers = [background(outcome_of, cache.get, f"bogus-{index}") for index in range(200)]
    for _ in readers:
        await_reader()
    world.endpoint.gate.set()
    assert {Reason.UNKNOWN_KEY} == set(results(readers))
    assert 2 <= world.endpoint.fetches <= 3
    assert 200 == len(cache._misses._absent)


def test_50_refreshes_at_once_share_two_fetches(
    world: World, cache: KeyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    world.endpoint.gate.clear()
    first = background(cache.refresh)
    await_reader()
    others = [background(cache.refresh) for _ in range(49)]
    for _ in others:
        await_reader()
    world.endpoint.keys = (OTHER,)
    world.endpoint.gate.set()
    assert [None] * 50 == results([first, *others])
    assert 2 == world.endpoint.fetches


def test_readers_go_on_while_a_listener_of_the_refresh_takes_its_time(world: World) -> None:
    done, begun = threading.Event(), threading.Event()

    def listen(event: KeyEvent) -> None:
        if isinstance(event, FetchFinished):
            begun.set()
            done.wait(PATIENCE)

    done.set()
    cache = world.cache(GOOGLE, listener=listen)
    cache.warm()
    join_follow_ups()
    world.clock.move(STALE_AFTER - 1)
    done.clear()
    begun.clear()
    try:
        before = background(cache.get, "key-1").result(PATIENCE)
        assert begun.wait(PATIENCE), "the refresh was not reported"
        during = background(cache.get, "key-1").result(PATIENCE)
    finally:
        done.set()
    assert ["key-1", "key-1"] == [before.kid, during.kid]
    assert 2 == world.endpoint.fetches


# Rotation under load.


def published(*names: str) -> dict[str, VerificationKey]:
    """Give what a cache makes of key pairs under the ids that their names begin with."""
    return {
        name.partition("-")[0]: VerificationKey(name.partition("-")[0], "ES256", ec_key(name).public_key())
        for name in names
    }


@pytest.mark.usefixtures("eager_switches")
def test_a_reader_sees_the_old_set_or_the_new_one_and_never_a_mix() -> None:
    names = [("left-old", "right-old"), ("left-new", "right-new")]
    sets = [[SigningKey(name.partition("-")[0], "ES256", name) for name in each] for each in names]
    whole = [published(*each) for each in names]
    clock, endpoint = ManualClock(), KeyEndpoint(*sets[0])
    cache = KeyCache("https://keys.example/certs", ("ES256",), fetch=endpoint, clock=clock, monotonic=clock)
    cache.warm()
    done = threading.Event()

    def read() -> set[int]:
        seen: set[int] = set()
        while not done.is_set():
            keys: Mapping[str, VerificationKey] | None = cache.keys(clock.now)
            assert keys is not None
            seen.add(whole.index(dict(keys)))
            assert cache.get("left") in (whole[0]["left"], whole[1]["left"])
        return seen

    readers = [background(read) for _ in range(4)]
    for turn in range(100):
        endpoint.keys = tuple(sets[(turn + 1) % 2])
        cache.refresh()
    done.set()
    assert {0, 1} == set().union(*results(readers))
    assert 101 == cache.generation


@pytest.mark.usefixtures("eager_switches")
def test_once_a_key_is_known_to_be_revoked_no_thread_accepts_its_tokens(
    world: World, cache: KeyCache, verifier: Verifier
) -> None:
    verifier.verify(world.token())
    world.endpoint.keys = (world.key, OTHER)
    cache.refresh()
    revoked = threading.Event()
    ready = threading.Semaphore(0)

    def present(index: int) -> object:
        """Present tokens, cached and new ones, until one is refused."""
        for count in itertools.count():
            since = revoked.is_set()
            outcome = outcome_of(verifier.verify, world.token(sub=f"{index}-{count % 3}"))
            if not isinstance(outcome, Principal):
                return outcome
            assert not since, "a revoked key was believed"
            ready.release()
        raise AssertionError

    callers = [background(present, index) for index in range(4)]
    for _ in range(40):
        assert ready.acquire(timeout=PATIENCE)
    world.endpoint.keys = (OTHER,)
    cache.refresh()
    revoked.set()
    assert [Reason.UNKNOWN_KEY] * 4 == results(callers)


@pytest.mark.usefixtures("eager_switches")
def test_whatever_many_threads_and_a_loop_do_there_is_one_fetch_at_a_time(
    world: World, uncaught: Callable[[], list[object]]
) -> None:
    asking = threading.Lock()

    def fetch(url: str, headers: Mapping[str, str], /) -> FetchResponse:
        assert asking.acquire(blocking=False), "two fetches at once"
        try:
            return world.endpoint(url, headers)
        finally:
            asking.release()

    wall = ManualClock()
    cache = world.cache(GOOGLE, fetch=fetch, clock=wall, miss_burst=10_000, max_waiting=10, max_stale=1e9)
    cache.warm()

    def act(index: int) -> None:
        chance = random.Random(index)
        for step in range(40):
            wall.move(chance.choice([1, 60, STALE_AFTER]))
            world.endpoint.keys = (world.key, OTHER) if chance.random() < 0.5 else (world.key,)
            assert "key-1" == cache.get("key-1").kid
            assert Reason.UNKNOWN_KEY == outcome_of(cache.get, f"bogus-{index}-{step}")
            if chance.random() < 0.1:
                cache.refresh()

    async def read() -> set[str]:
        return {(await cache.aget("key-1")).kid for _ in range(100)}

    threads = [background(act, index) for index in range(6)]
    loops = [background(in_asyncio, read, 5), background(in_trio, read, 5)]
    assert [None] * 6 == results(threads)
    assert [[{"key-1"}] * 5] * 2 == results(loops)
    join_fetches()
    assert 0 == cache.health()["failures"]
    assert [] == uncaught()


# Cancellation.


class Interrupted:
    """Runs a coroutine, and cancels it where it awaits for that time, counted from 0.

    The endpoint hangs until the first await, so that there is one.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Principal], at: int, endpoint: KeyEndpoint) -> None:
        self._coroutine = coroutine
        self._at = at
        self._endpoint = endpoint

    def __await__(self) -> Generator[Any, Any, Principal]:
        running = self._coroutine.__await__()
        for count in itertools.count():
            try:
                awaited = next(running)
            except StopIteration as end:
                principal: Principal = end.value
                return principal
            if count == self._at:
                running.throw(asyncio.CancelledError())
                raise AssertionError("it went on after it was cancelled")
            self._endpoint.gate.set()
            yield awaited
        raise AssertionError


def expect_unharmed(world: World, cache: KeyCache, verifier: Verifier, key: SigningKey) -> None:
    """Expect that the fetch came home, and that the next caller gets what it is entitled to, at once."""
    world.endpoint.gate.set()
    join_fetches()
    before = world.endpoint.fetches
    assert CALLER == verifier.verify(token(key, world.clock.now)).email
    assert before == world.endpoint.fetches
    assert (False, False, KeyState.FRESH) == (cache.refreshing, cache.cooling_down, cache.state)
    assert 0 == cache.health()["failures"]


def on_an_empty_cache(world: World, cache: KeyCache) -> SigningKey:
    return world.key


def on_keys_that_are_dead(world: World, cache: KeyCache) -> SigningKey:
    cache.warm()
    world.clock.move(STALE_AFTER + 86_400)
    return world.key


def on_a_key_that_is_new(world: World, cache: KeyCache) -> SigningKey:
    cache.warm()
    world.endpoint.keys = (world.key, OTHER)
    return OTHER


each_wait = pytest.mark.parametrize(
    "prepare",
    [on_an_empty_cache, on_keys_that_are_dead, on_a_key_that_is_new],
    ids=lambda prepare: prepare.__name__,
)


@each_wait
def test_a_task_cancelled_at_any_await_harms_neither_the_fetch_nor_the_cache(
    prepare: Callable[[World, KeyCache], SigningKey], uncaught: Callable[[], list[object]]
) -> None:
    cancelled = 0
    for at in itertools.count():
        world = World()
        cache = world.cache(GOOGLE)
        verifier = world.verifier(key_cache=lambda issuer, cache=cache: cache)
        key = prepare(world, cache)
        world.endpoint.gate.clear()
        interrupted = Interrupted(verifier.averify(token(key, world.clock.now)), at, world.endpoint)

        async def main(interrupted: Interrupted = interrupted) -> Principal:
            return await interrupted

        try:
            found = asyncio.run(main())
        except asyncio.CancelledError:
            cancelled += 1
            expect_unharmed(world, cache, verifier, key)
        else:
            assert CALLER == found.email
            break
    assert cancelled >= 1
    assert [] == uncaught()


@each_wait
@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_task_cancelled_after_any_turn_of_its_loop_harms_nothing(
    *,
    world: World,
    cache: KeyCache,
    verifier: Verifier,
    prepare: Callable[[World, KeyCache], SigningKey],
    turns: int,
    loop: str,
    uncaught: Callable[[], list[object]],
) -> None:
    key = prepare(world, cache)
    one = token(key, world.clock.now)
    world.endpoint.gate.clear()
    world.endpoint.asked.clear()
    (_cancel_in_asyncio if loop == "asyncio" else _cancel_in_trio)(verifier, one, turns)
    before = cache.refreshing
    expect_unharmed_or_not_begun(world, cache, verifier, key, begun=before)
    assert [] == uncaught()


def _cancel_in_asyncio(verifier: Verifier, one: str, turns: int) -> None:
    async def main() -> None:
        task = asyncio.create_task(verifier.averify(one))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def _cancel_in_trio(verifier: Verifier, one: str, turns: int) -> None:
    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            await verifier.averify(one)
        assert scope.cancelled_caught

    async def main() -> None:
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, scope)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            scope.cancel()

    trio.run(main)


def expect_unharmed_or_not_begun(
    world: World, cache: KeyCache, verifier: Verifier, key: SigningKey, *, begun: bool
) -> None:
    """Expect as `expect_unharmed`, or nothing at all of a task that was cancelled before it ran."""
    if begun:
        expect_unharmed(world, cache, verifier, key)
    else:
        assert not world.endpoint.asked.is_set()


def test_a_task_cancelled_in_the_turn_in_which_its_fetch_finishes_harms_nothing(
    world: World, cache: KeyCache, verifier: Verifier, uncaught: Callable[[], list[object]]
) -> None:
    world.endpoint.gate.clear()

    async def main() -> object:
        task = asyncio.create_task(verifier.averify(world.token()))
        await asyncio.to_thread(world.endpoint.asked.wait, PATIENCE)
        world.endpoint.gate.set()
        join_fetches()
        task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(asyncio.run(main()), asyncio.CancelledError)
    expect_unharmed(world, cache, verifier, world.key)
    assert [] == uncaught()


def test_a_caller_whose_fetch_was_begun_by_a_cancelled_one_still_gets_its_answer(
    world: World, verifier: Verifier
) -> None:
    world.endpoint.gate.clear()

    async def main() -> Principal:
        first = asyncio.create_task(verifier.averify(world.token()))
        await asyncio.to_thread(world.endpoint.asked.wait, PATIENCE)
        second = asyncio.create_task(verifier.averify(world.token()))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        world.endpoint.gate.set()
        return await second

    assert CALLER == asyncio.run(main()).email
    assert 1 == world.endpoint.fetches


# Loops that are gone.


def test_a_fetch_finishes_quietly_after_the_loop_of_its_waiter_was_closed(
    world: World, cache: KeyCache, verifier: Verifier, uncaught: Callable[[], list[object]]
) -> None:
    world.endpoint.gate.clear()
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[Principal]:
        task = asyncio.create_task(verifier.averify(world.token()))
        await asyncio.to_thread(world.endpoint.asked.wait, PATIENCE)
        return task

    waiting = loop.run_until_complete(begin())
    loop.close()
    expect_unharmed(world, cache, verifier, world.key)
    assert not waiting.done()
    assert [] == uncaught()
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # that it never ends is known here


def test_a_fetch_finishes_quietly_after_the_loop_of_its_waiter_was_stopped(
    world: World, cache: KeyCache, verifier: Verifier, uncaught: Callable[[], list[object]]
) -> None:
    world.endpoint.gate.clear()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(verifier.averify(world.token()))
    while not world.endpoint.asked.is_set():
        loop.run_until_complete(asyncio.sleep(0))
    expect_unharmed(world, cache, verifier, world.key)
    assert CALLER == loop.run_until_complete(waiting).email
    loop.close()
    assert [] == uncaught()


def test_a_fetch_finishes_quietly_after_the_trio_run_of_its_waiter_ended(
    world: World, cache: KeyCache, verifier: Verifier, uncaught: Callable[[], list[object]]
) -> None:
    world.endpoint.gate.clear()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(verifier.averify, world.token())
            while not world.endpoint.asked.is_set():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(main)
    expect_unharmed(world, cache, verifier, world.key)
    assert [] == uncaught()


# Issuers.


def test_two_issuers_are_fetched_at_once_and_one_that_hangs_does_not_hold_up_the_other(
    world: World,
) -> None:
    elsewhere = KeyEndpoint(OTHER)
    other = Issuer(
        name="other", iss_values=("https://issuer.example",), key_url="https://issuer.example/keys"
    )
    endpoints = {GOOGLE.key_url: world.endpoint, other.key_url: elsewhere}
    verifier = world.verifier(
        audience=AUDIENCE,
        issuers=[GOOGLE, other],
        key_cache=lambda issuer: world.cache(issuer, fetch=endpoints[issuer.key_url]),
    )
    world.endpoint.gate.clear()
    elsewhere.gate.clear()
    first = background(verifier.verify, world.token())
    second = background(verifier.verify, token(OTHER, world.clock.now, iss="https://issuer.example"))
    assert world.endpoint.asked.wait(PATIENCE)
    assert elsewhere.asked.wait(PATIENCE)
    elsewhere.gate.set()
    assert "https://issuer.example" == second.result(PATIENCE).claims["iss"]
    assert not first.done()
    world.endpoint.gate.set()
    assert CALLER == first.result(PATIENCE).email


# What waiters wait for.


class Held:
    """Something that goes on only when it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> None:
        self.begun.set()
        assert self.let_go.wait(PATIENCE), "the test left it hanging"


def test_no_waiter_waits_for_the_file_of_the_snapshot(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fsync = Held()
    monkeypatch.setattr(os, "fsync", fsync)
    cache = world.cache(GOOGLE, snapshot=tmp_path / "keys.json")
    assert "key-1" == background(cache.get, "key-1").result(PATIENCE).kid
    assert fsync.begun.wait(PATIENCE)
    cache.refresh()  # and no later fetch does either
    assert 2 == world.endpoint.fetches
    fsync.let_go.set()
    join_fetches()


def test_no_waiter_waits_for_a_listener(world: World) -> None:
    listener = Held()
    cache = world.cache(
        GOOGLE, listener=lambda event: None if isinstance(event, StateChanged) else listener()
    )
    assert "key-1" == background(cache.get, "key-1").result(PATIENCE).kid
    assert listener.begun.wait(PATIENCE)
    listener.let_go.set()
    join_fetches()


def test_the_events_of_a_fetch_come_in_their_order_also_from_a_slow_listener(world: World) -> None:
    started = Held()
    heard: list[str] = []

    def listener(event: KeyEvent) -> None:
        if isinstance(event, FetchStarted):
            started()
        heard.append(type(event).__name__)

    cache = world.cache(GOOGLE, listener=listener)
    cache.warm()
    started.let_go.set()
    join_fetches()
    assert ["FetchStarted", "FetchFinished", "StateChanged"] == heard
