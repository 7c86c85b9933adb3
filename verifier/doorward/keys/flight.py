"""A flight: one fetch on its way, which any number of threads and tasks may wait for.

A flight runs in a thread of its own and belongs to no request: a waiter that gives up, or is cancelled,
changes nothing for the others. The thread is a daemon, so that an interpreter that ends does not wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from doorward.keys.milestone import Milestone

__all__ = ["FOLLOW_UP_THREAD", "Flight"]

FOLLOW_UP_THREAD: Final = "doorward-keys-follow-up"
"""The name of a thread that no request waits for: it reports to a listener, or writes a snapshot."""


class Flight:
    """One fetch, from its start to its end.

    Attributes:
        number: Counts the flights of one cache, from 1.
        started_at: When it was made, on the monotonic clock of the cache, in seconds.
        trigger: Why it was started: ``cold``, ``refresh``, ``unknown_kid`` or ``asked``; or ``snapshot``, if
            only the snapshot is looked at.
        asked_at: When the endpoint was asked, on that clock; None before.
        prepared: Reached once the endpoint is about to be asked, or is not asked: what is needed is imported,
            and no other process is waited for.
    """

    __slots__ = ("_over", "asked_at", "number", "prepared", "started_at", "trigger")

    def __init__(self, number: int, started_at: float, trigger: str) -> None:
        """Make a flight; `start` starts it.

        Args:
            number: One more than that of the flight before it.
            started_at: The time on the monotonic clock of the cache.
            trigger: Why it is started.
        """
        self.number: Final[int] = number
        self.started_at: Final[float] = started_at
        self.trigger: Final[str] = trigger
        self.asked_at: float | None = None
        self.prepared: Final[Milestone] = Milestone()
        self._over: Final[Milestone] = Milestone()

    def start(self, work: Callable[[Flight], Callable[[], None] | None]) -> bool:
        """Run the work in a thread of its own, and wake every waiter when it ends, also with an error.

        Args:
            work: Fetches, and records the outcome. It may return what is done in the same thread after the
                waiters were woken: they do not wait for files and listeners.

        Returns:
            False if no thread could be started, as in an interpreter that is ending.
        """

        def run() -> None:
            follow_up = None
            try:
                follow_up = work(self)
            finally:
                threading.current_thread().name = FOLLOW_UP_THREAD
                self._land()
            if follow_up is not None:
                follow_up()

        try:
            threading.Thread(target=run, name="doorward-keys", daemon=True).start()
        except RuntimeError:
            self._land()
            return False
        return True

    def asks(self, now: float) -> None:
        """Take note that the endpoint is asked now.

        Args:
            now: The time on the monotonic clock of the cache.
        """
        self.asked_at = now
        self.prepared.reach()

    def _land(self) -> None:
        self.prepared.reach()
        self._over.reach()

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self._over.reached

    def wait(self, timeout: float) -> bool:
        """Block this thread until it is over.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it was not over in time.
        """
        return self._over.wait(timeout)

    def then(self, call: Callable[[], object]) -> None:
        """Have a function called once it is over; see `Milestone.then`.

        Args:
            call: Must not wait for anything.
        """
        self._over.then(call)

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - takes what `wait` takes
        """Wait until it is over, in the running event loop of asyncio or trio.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it was not over in time.
        """
        return await self._over.wait_async(timeout)
