"""One fetch on its way, that any number of threads and tasks may wait for.

A flight runs in a thread of the key cache's own and belongs to no request: whoever gives up waiting, or is
cancelled, changes nothing for the others. The thread is a daemon, so that an interpreter that wants to exit
does not wait for it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

__all__ = ["Flight"]


class Flight:
    """A fetch that has begun.

    Attributes:
        number: Counts the flights of one cache, from 1.
        began: When it began, on the cache's monotonic clock.
        trigger: What it was started for: ``cold``, ``refresh``, ``unknown_kid`` or ``asked``.
    """

    __slots__ = ("_done", "began", "number", "trigger")

    def __init__(self, number: int, began: float, trigger: str) -> None:
        """Make a flight that has not left yet; see `start`.

        Args:
            number: One more than that of the flight before it.
            began: The time on the cache's monotonic clock.
            trigger: What it is for.
        """
        self.number = number
        self.began = began
        self.trigger = trigger
        self._done: Future[None] = Future()
        # From here on no waiter's cancellation can reach the future: it runs, whoever waits.
        self._done.set_running_or_notify_cancel()

    def start(self, work: Callable[[Flight], None]) -> bool:
        """Run the work in a thread of its own, and wake every waiter when it ends, however it ends.

        Args:
            work: Fetches and records the outcome.

        Returns:
            False if no thread is to be had, as in an interpreter that is ending.
        """

        def run() -> None:
            try:
                work(self)
            except BaseException as error:
                self._done.set_exception(error)
                raise
            self._done.set_result(None)

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

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - the mirror of `wait`
        """Wait in the running event loop, asyncio's or trio's, until it is over.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it was not over in time.
        """
        import anyio  # noqa: PLC0415 - comes with starlette; only who has to wait for a fetch needs it

        finished = anyio.Event()
        wake = _waker(finished.set)
        self._done.add_done_callback(lambda _: wake())
        with anyio.move_on_after(timeout):
            await finished.wait()
        return self._done.done()


def _waker(call: Callable[[], object]) -> Callable[[], None]:
    """Make a function that any thread may call to have `call` run in this event loop."""
    import asyncio  # noqa: PLC0415 - loaded already where a loop runs, and not wanted where none does

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio  # noqa: PLC0415 - the only other loop that anyio knows

        run_soon: Callable[[Callable[[], object]], object] = trio.lowlevel.current_trio_token().run_sync_soon
        gone: type[Exception] = trio.RunFinishedError
    else:
        run_soon, gone = loop.call_soon_threadsafe, RuntimeError

    def wake() -> None:
        # A loop that has ended has nobody left to wake.
        with contextlib.suppress(gone):
            run_soon(call)

    return wake
