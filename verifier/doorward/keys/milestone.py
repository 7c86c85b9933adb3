"""A milestone: something that happens once, which any number of threads and tasks may wait for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

__all__ = ["Milestone"]


class Milestone:
    """Something that happens once. A waiter that gives up or is cancelled changes nothing for the others."""

    __slots__ = ("_reached",)

    def __init__(self) -> None:
        """Start with nothing reached."""
        self._reached: Final[Future[None]] = Future()
        # From here on the future cannot be cancelled, whatever becomes of a waiter.
        self._reached.set_running_or_notify_cancel()

    def reach(self) -> None:
        """Wake every waiter. Only one thread calls this; again has no effect."""
        if not self._reached.done():
            self._reached.set_result(None)

    @property
    def reached(self) -> bool:
        """Whether it has happened."""
        return self._reached.done()

    def wait(self, timeout: float) -> bool:
        """Block this thread until it has happened.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it did not happen in time.
        """
        try:
            self._reached.result(timeout)
        except FutureTimeoutError:
            return False
        return True

    def then(self, call: Callable[[], object]) -> None:
        """Have a function called once it has happened: in the thread that reaches it, or now in this one.

        Args:
            call: Must not wait for anything, since others wait behind it. What it raises is logged.
        """
        self._reached.add_done_callback(lambda _: call())

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - takes what `wait` takes
        """Wait until it has happened, in the running event loop of asyncio or trio.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if it did not happen in time.
        """
        # Where there is nothing to wait for, nothing is left behind that would wait for it.
        if timeout <= 0 or self._reached.done():
            return self._reached.done()
        import anyio  # noqa: PLC0415 - comes with starlette, and is needed only to wait for a fetch

        finished = anyio.Event()
        wake = _waker(finished.set)
        self.then(wake)
        with anyio.move_on_after(timeout):
            await finished.wait()
        return self._reached.done()


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
