"""Waiting in two ways: one coroutine, driven by blocking the thread or by the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio

from doorward import FixedKeys
from doorward.errors import SignatureError
from doorward.keys.flight import Flight
from doorward.keys.waiting import BLOCKING, IN_LOOP, Waits, run_blocking
from support.simulator import PATIENCE, background
from support.tokens import SigningKey, jwks

KEYS = FixedKeys(jwks(SigningKey("key-1")))

Drive = Callable[[Callable[[Waits], Coroutine[Any, Any, Any]]], Any]


def in_thread(work: Callable[[Waits], Coroutine[Any, Any, Any]]) -> Any:
    return run_blocking(work(BLOCKING))


def in_asyncio(work: Callable[[Waits], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(work(IN_LOOP))


def in_trio(work: Callable[[Waits], Coroutine[Any, Any, Any]]) -> Any:
    return trio.run(work, IN_LOOP)


each_way = pytest.mark.parametrize("drive", [in_thread, in_asyncio, in_trio])


def flight(until: threading.Event) -> Flight:
    """Start a flight that ends with an event."""

    def work(_: Flight) -> None:
        assert until.wait(PATIENCE)

    made = Flight(1, 0.0, "asked")
    assert made.start(work)
    return made


@each_way
class TestBothWays:
    def test_a_key_is_asked_for(self, drive: Drive) -> None:
        async def work(waits: Waits) -> str:
            return (await waits.key(KEYS, "key-1")).kid

        assert "key-1" == drive(work)

    def test_what_a_source_raises_arrives(self, drive: Drive) -> None:
        async def work(waits: Waits) -> None:
            await waits.key(KEYS, "key-9")

        with pytest.raises(SignatureError):
            drive(work)

    def test_a_flight_is_waited_for(self, drive: Drive) -> None:
        until = threading.Event()
        waited = flight(until)

        async def work(waits: Waits) -> bool:
            background(until.set)
            return await waits.flight(waited, PATIENCE)

        assert drive(work)
        assert waited.finished

    def test_a_flight_that_is_over_is_not_waited_for(self, drive: Drive) -> None:
        until = threading.Event()
        until.set()
        waited = flight(until)
        assert waited.wait(PATIENCE)

        async def work(waits: Waits) -> bool:
            return await waits.flight(waited, 0.0)

        assert drive(work)

    def test_waiting_ends_when_its_time_is_up(self, drive: Drive) -> None:
        until = threading.Event()
        waited = flight(until)

        async def work(waits: Waits) -> bool:
            return await waits.flight(waited, 0.0)

        assert not drive(work)
        until.set()

    def test_waiting_goes_on_in_the_same_coroutine(self, drive: Drive) -> None:
        async def work(waits: Waits) -> list[str]:
            return [(await waits.key(KEYS, "key-1")).kid for _ in range(3)]

        assert ["key-1"] * 3 == drive(work)


class TestBlocking:
    def test_no_event_loop_is_needed_nor_disturbed(self) -> None:
        """Also in a thread in which one runs, as where a synchronous view calls from asynchronous code."""

        async def work(waits: Waits) -> str:
            return (await waits.key(KEYS, "key-1")).kid

        async def main() -> str:
            return in_thread(work)  # type: ignore[no-any-return]  # as its coroutine

        assert "key-1" == in_thread(work) == asyncio.run(main())

    def test_the_thread_is_blocked_until_the_flight_is_over(self) -> None:
        until = threading.Event()
        waited = flight(until)

        async def work(waits: Waits) -> bool:
            return await waits.flight(waited, PATIENCE)

        waiting = background(in_thread, work)
        assert not waiting.done()
        until.set()
        assert waiting.result(PATIENCE)

    def test_a_coroutine_that_suspends_is_a_mistake_and_is_closed(self) -> None:
        closed: list[bool] = []

        async def work() -> None:
            try:
                await asyncio.sleep(0)
            finally:
                closed.append(True)

        with pytest.raises(RuntimeError, match="must not suspend"):
            run_blocking(work())
        assert [True] == closed

    @pytest.mark.parametrize("error", [KeyError("a mistake"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
    def test_what_is_raised_passes_untouched(self, error: BaseException) -> None:
        async def work() -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            run_blocking(work())
        assert error is caught.value

    def test_the_result_may_be_anything(self) -> None:
        async def nothing() -> None:
            return None

        async def something() -> tuple[int, None]:
            return (1, None)

        assert run_blocking(nothing()) is None
        assert (1, None) == run_blocking(something())
