"""Requests that wait for a change: it wakes them, or their time limit does, or the end of their client."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from starlette.requests import Request

from doorward.forks import renew_in_children

__all__ = ["Changes", "TooManyWaiting", "Waiter"]

_MOST: Final = 200


class TooManyWaiting(Exception):  # noqa: N818 - it is a state, which the endpoint answers with 503
    """So many requests wait already that no further one may."""


class Waiter:
    """One request that waits; it belongs to the event loop in which it was made."""

    def __init__(self) -> None:
        """Begin to listen for changes."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Say that something has changed; from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile, and the request with it
            self._loop.call_soon_threadsafe(self._event.set)

    async def _changed(self) -> None:
        await self._event.wait()

    async def wait(self, *others: asyncio.Future[None]) -> bool:
        """Wait for the next change.

        Args:
            others: What ends the waiting too.

        Returns:
            Whether there was a change, and none of the others came before it.
        """
        change = asyncio.ensure_future(self._changed())
        try:
            await asyncio.wait((change, *others), return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
        self._event.clear()
        return not any(other.done() for other in others)


class Changes:
    """Wakes the requests that wait. Safe to use from threads, and from several event loops."""

    def __init__(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Begin with none that waits.

        Args:
            pause: Waits for a number of seconds, to end a wait that has a limit.
        """
        self._pause = pause
        self._begin()
        renew_in_children(self, Changes._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return len(self._waiters)

    def notify(self) -> None:
        """Wake all that wait: something may have changed."""
        with self._lock:
            waiters = tuple(self._waiters)
        for waiter in waiters:
            waiter.wake()

    async def wait_until(
        self,
        changed: Callable[[], bool],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 - by a clock of its own
    ) -> None:
        """Return when a value has changed, the time is over, or the client has gone.

        Args:
            changed: Says whether it has. It is asked once listening has begun, and after each change.
            request: The request that waits.
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            TooManyWaiting: If too many requests wait already.
        """
        with self._waiter() as waiter:
            others = [asyncio.ensure_future(_gone(request))]
            if timeout is not None:
                others.append(asyncio.ensure_future(self._paused(timeout)))
            try:
                while not changed() and await waiter.wait(*others):
                    pass
            finally:
                for other in others:
                    other.cancel()

    async def _paused(self, seconds: float) -> None:
        await self._pause(seconds)

    @contextlib.contextmanager
    def _waiter(self) -> Iterator[Waiter]:
        waiter = Waiter()
        with self._lock:
            if len(self._waiters) >= _MOST:
                raise TooManyWaiting
            self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
