"""Two ways of waiting: code that may have to wait is written once, as a coroutine, and driven in one of them.

The coroutine is given what waits, as `Waits`. With `BLOCKING` it blocks the thread and never suspends, so
that `run_blocking` runs it to its end in one step, without an event loop. With `IN_LOOP` it is awaited as
usual.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, NamedTuple, TypeVar

from doorward.keys.flight import Flight
from doorward.keys.key import VerificationKey
from doorward.keys.milestone import Milestone
from doorward.keys.source import KeySource

__all__ = ["BLOCKING", "IN_LOOP", "Waits", "run_blocking"]

T = TypeVar("T")


class Waits(NamedTuple):
    """How to wait.

    Attributes:
        key: Asks a key source for a key, by its id.
        flight: Waits for a flight, or for a milestone of one, for some seconds at most; False if it was not
            over in time.
        thread: Whether a thread is blocked meanwhile.
    """

    key: Callable[[KeySource, str], Awaitable[VerificationKey]]
    flight: Callable[[Flight | Milestone, float], Awaitable[bool]]
    thread: bool


async def _key_blocking(source: KeySource, kid: str) -> VerificationKey:
    return source.get(kid)


async def _flight_blocking(flight: Flight | Milestone, seconds: float) -> bool:
    return flight.wait(seconds)


async def _key_in_loop(source: KeySource, kid: str) -> VerificationKey:
    return await source.aget(kid)


async def _flight_in_loop(flight: Flight | Milestone, seconds: float) -> bool:
    return await flight.wait_async(seconds)


BLOCKING: Final = Waits(_key_blocking, _flight_blocking, thread=True)
"""Blocks the thread; for `run_blocking` only."""

IN_LOOP: Final = Waits(_key_in_loop, _flight_in_loop, thread=False)
"""Suspends the task, in asyncio or trio."""


def run_blocking(work: Coroutine[object, None, T]) -> T:
    """Run a coroutine that waits by `BLOCKING` to its end.

    Args:
        work: The coroutine.

    Returns:
        What it returns; what it raises is raised here.

    Raises:
        RuntimeError: If it suspends, which no coroutine does that waits by `BLOCKING`.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a coroutine that waits by BLOCKING must not suspend")
