"""A flight: one fetch on its way, which any number of threads and tasks may wait for.

A flight runs in a thread of its own and belongs to no request: a waiter that gives up, or is cancelled,
changes nothing for the others. The thread is a daemon, so that an interpreter that ends does not wait for it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

__all__ = ["FOLLOW_UP_THREAD", "Flight"]

FOLLOW_UP_THREAD: Final = "doorward-keys-follow-up"
"""The name of a thread that no request waits for: it reports to a listener, or writes a snapshot."""


class Flight:
    """One fetch, from its start to its end.

    Attributes:
        number: Counts the flights of one cache, from 1.
        started_at: When it was made, on the monotonic clock of the cache, in seconds.
        trigger: Why it was started: ``cold``, ``refresh``, ``unknown_kid`` or ``asked``.
    """

    __slots__ = ("_done", "number", "started_at", "trigger")

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
        self._done: Final[Future[None]] = Future()
        # From here on the future cannot be cancelled, whatever becomes of a waiter.
        self._done.set_running_or_notify_cancel()

    def start(self, work: Callable[[Flight], Callable[[], None] | None]) -> bool:
        """Run the work in a thread of its own, and wake every waiter when it ends, also with an error.

        Args:
            work: Fetches, and records the outcome. It may return what is done in the same thread after the
                waiters were woken: they do not wait for files and listeners.

        Returns:
            False if no thread could be started, as in an interpreter that is ending.
        """

        def run() -> None:
            try:
                follow_up = work(self)
            except BaseException as error:
                self._done.set_exception(error)
                raise
            threading.current_thread().name = FOLLOW_UP_THREAD
            self._done.set_result(None)
            if follow_up is not None:
                follow_up()

        try:
            threading.Thread(target=run, name="doorward-keys", daemon=True).start()
        except RuntimeError:
            self._done.set_result(None)
            return False
        return True

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self._done.done()

    def wait(self, timeout: float) -> bool:
        """Block this thread until it is over.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it was not over in time.
        """
        try:
            self._done.exception(timeout)
        except FutureTimeoutError:
            return False
        return True

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - takes what `wait` takes
        """Wait until it is over, in the running event loop of asyncio or trio.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it was not over in time.
        """
        import anyio  # noqa: PLC0415 - comes with starlette, and is needed only to wait for a fetch

        finished = anyio.Event()
        wake = _waker(finished.set)
        self._done.add_done_callback(lambda _: wake())
        with anyio.move_on_after(timeout):
            await finished.wait()
        return self._done.done()


def _waker(call: Callable[[], object]) -> Callable[[], None]:
    """Make a function that any thread may call to have `call` run in the event loop that runs now."""
    import asyncio  # noqa: PLC0415 - imported already where a loop runs, and not wanted where none does

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio  # noqa: PLC0415 - the only other loop that anyio supports

        run_soon: Callable[[Callable[[], object]], object] = trio.lowlevel.current_trio_token().run_sync_soon
        ended: type[Exception] = trio.RunFinishedError
    else:
        run_soon, ended = loop.call_soon_threadsafe, RuntimeError

    def wake() -> None:
        # In a loop that has ended, no task waits any more.
        with contextlib.suppress(ended):
            run_soon(call)

    return wake
