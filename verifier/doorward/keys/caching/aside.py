"""Work on files, with a bound on how long it is waited for.

A mount whose server is away holds up whatever looks at it, for hours. The fetch of keys must not stand and
fall with a file, so that files are looked at in a thread of their own, and at most one such thread hangs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, TypeVar

from doorward.forks import renew_in_children

__all__ = ["Aside"]

T = TypeVar("T")

_NAME: Final = "doorward-keys-file"


class Aside:
    """Does one piece of work at a time, each in a thread of its own."""

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._lock = threading.Lock()
        self._hangs = False
        renew_in_children(self, Aside.after_fork)

    @property
    def hangs(self) -> bool:
        """Whether work was given up that has not ended since."""
        return self._hangs

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """Do some work, and wait for it.

        Args:
            work: What to do.
            seconds: For how long it is waited for at most.

        Returns:
            What it returns; what it raises is raised here.

        Raises:
            OSError: If it is not over in time, earlier work still is not, or no thread can be started.
        """
        lock, done = self._lock, Future[T]()
        if not lock.acquire(timeout=0 if self._hangs else seconds):
            raise OSError("an earlier look at it has not ended: its file system hangs")

        def run() -> None:
            try:
                finish = functools.partial(done.set_result, work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the work is waited for
                finish = functools.partial(done.set_exception, error)
            self._hangs = False
            lock.release()
            finish()

        try:
            threading.Thread(target=run, name=_NAME, daemon=True).start()
        except RuntimeError:
            lock.release()
            raise OSError("no thread could be started to look at it") from None
        try:
            return done.result(seconds)
        except FutureTimeoutError:
            if done.done():
                raise  # the work has raised that
            self._hangs = True
            raise OSError(f"a look at it did not end in {seconds:g} s: its file system hangs") from None

    def after_fork(self) -> None:
        """Start anew in a forked child, where no thread of the parent works."""
        self._lock = threading.Lock()
        self._hangs = False
