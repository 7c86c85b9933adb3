"""Many at once on a cold cache: one fetch, from threads, asyncio and trio alike, over real HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
import trio

from doorward import GOOGLE, KeyCache, KeysUnavailableError, Verifier
from doorward.keys.state import KeyState
from support.servers import Keys, key_server
from support.tokens import AUDIENCE, MEMBER, SigningKey, jwks, token

KEY = SigningKey("herd-key")


@pytest.fixture
def keys() -> Iterator[Keys]:
    with key_server(jwks(KEY), delay=0.1) as keys:
        yield keys


@pytest.fixture
def held() -> Iterator[Keys]:
    """Answers only when the test lets it."""
    with key_server(jwks(KEY), delay=None) as keys:
        yield keys


@pytest.fixture
def cache(keys: Keys) -> KeyCache:
    return KeyCache(keys.url)


@pytest.fixture
def verifier(cache: KeyCache) -> Verifier:
    return Verifier(AUDIENCE, key_cache=lambda issuer: cache)


def test_200_threads_cause_one_fetch(cache: KeyCache, keys: Keys) -> None:
    together = threading.Barrier(200)
    found: list[str] = []

    def ask() -> None:
        together.wait(20)
        found.append(cache.get("herd-key").kid)

    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ["herd-key"] * 200 == found
    assert 1 == keys.fetches


def test_200_threads_verify_with_one_fetch(verifier: Verifier, keys: Keys) -> None:
    tokens = [token(KEY, time.time(), sub=str(index)) for index in range(200)]
    found: list[str | None] = []

    def ask(one: str) -> None:
        found.append(verifier.verify(one).subject)

    threads = [threading.Thread(target=ask, args=(one,)) for one in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {str(index) for index in range(200)} == set(found)
    assert 1 == keys.fetches


def test_500_asyncio_tasks_cause_one_fetch(cache: KeyCache, keys: Keys) -> None:
    async def run() -> list[str]:
        found = await asyncio.gather(*(cache.aget("herd-key") for _ in range(500)))
        return [key.kid for key in found]

    assert ["herd-key"] * 500 == asyncio.run(run())
    assert 1 == keys.fetches


def test_500_asyncio_tasks_verify_with_one_fetch(verifier: Verifier, keys: Keys) -> None:
    one = token(KEY, time.time())

    async def run() -> list[str | None]:
        found = await asyncio.gather(*(verifier.averify(one) for _ in range(500)))
        return [principal.member for principal in found]

    assert [MEMBER] * 500 == asyncio.run(run())
    assert 1 == keys.fetches


def test_100_trio_tasks_cause_one_fetch(cache: KeyCache, keys: Keys) -> None:
    found: list[str] = []

    async def ask() -> None:
        found.append((await cache.aget("herd-key")).kid)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)

    trio.run(run)
    assert ["herd-key"] * 100 == found
    assert 1 == keys.fetches


def test_100_trio_tasks_verify_with_one_fetch(verifier: Verifier, keys: Keys) -> None:
    one = token(KEY, time.time())
    found: list[str | None] = []

    async def ask() -> None:
        found.append((await verifier.averify(one)).member)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)

    trio.run(run)
    assert [MEMBER] * 100 == found
    assert 1 == keys.fetches


def test_threads_and_both_kinds_of_loop_share_one_fetch(cache: KeyCache, keys: Keys) -> None:
    found: list[str] = []

    async def ask() -> None:
        found.append((await cache.aget("herd-key")).kid)

    async def in_trio() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)

    async def in_asyncio() -> None:
        await asyncio.gather(*(ask() for _ in range(20)))

    runs = [
        *(threading.Thread(target=lambda: asyncio.run(in_asyncio())) for _ in range(3)),
        *(threading.Thread(target=lambda: trio.run(in_trio)) for _ in range(3)),
        *(threading.Thread(target=lambda: found.append(cache.get("herd-key").kid)) for _ in range(20)),
    ]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join(20)
    assert ["herd-key"] * 140 == found
    assert 1 == keys.fetches


def test_cancelling_the_asyncio_task_that_started_the_fetch_disturbs_no_other(held: Keys) -> None:
    cache = KeyCache(held.url)

    async def run() -> list[str]:
        first = asyncio.create_task(cache.aget("herd-key"))
        await asyncio.to_thread(held.asked.wait, 20)
        others = [asyncio.create_task(cache.aget("herd-key")) for _ in range(50)]
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.answering.set()
        return [key.kid for key in await asyncio.gather(*others)]

    assert ["herd-key"] * 50 == asyncio.run(run())
    assert 1 == held.fetches


def test_cancelling_the_trio_task_that_started_the_fetch_disturbs_no_other(held: Keys) -> None:
    cache = KeyCache(held.url)
    found: list[str] = []
    cancelled: list[bool] = []

    async def begin(scope: trio.CancelScope) -> None:
        with scope:
            await cache.aget("herd-key")
        cancelled.append(scope.cancelled_caught)

    async def ask() -> None:
        found.append((await cache.aget("herd-key")).kid)

    async def run() -> None:
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin, scope)
            await trio.to_thread.run_sync(held.asked.wait, 20)
            for _ in range(50):
                nursery.start_soon(ask)
            scope.cancel()
            held.answering.set()

    trio.run(run)
    assert [True] == cancelled
    assert ["herd-key"] * 50 == found
    assert 1 == held.fetches


def test_a_loop_that_ends_before_the_fetch_does_disturbs_no_other(held: Keys) -> None:
    cache = KeyCache(held.url)

    async def begin() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(cache.aget("herd-key"), 0.001)

    asyncio.run(begin())
    assert cache.refreshing
    held.answering.set()
    assert "herd-key" == cache.get("herd-key").kid
    assert 1 == held.fetches


def test_a_herd_on_an_endpoint_that_is_away_asks_it_once_and_finds_the_keys_unavailable() -> None:
    with key_server(b"this is no key set", delay=0.05) as keys:
        cache = KeyCache(keys.url)

        async def run() -> list[object]:
            return await asyncio.gather(*(cache.aget("herd-key") for _ in range(100)), return_exceptions=True)

        outcomes = asyncio.run(run())
        assert {KeysUnavailableError} == {type(outcome) for outcome in outcomes}
        assert (1, KeyState.EMPTY) == (keys.fetches, cache.state)


def test_the_default_fetch_reaches_the_endpoint_of_an_issuer(keys: Keys) -> None:
    cache = KeyCache(keys.url, GOOGLE.algorithms)
    cache.warm()
    assert (KeyState.FRESH, 1) == (cache.state, keys.fetches)
