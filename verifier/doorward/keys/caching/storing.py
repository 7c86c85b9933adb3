"""Storing the snapshot, after the waiters of a fetch were woken: one thread at a time, however long it takes.

A process that lives for one request would end before its keys are on disk, and the next one would fetch them
again. It waits a moment for that when it ends.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from typing import Final

from doorward.forks import renew_in_children
from doorward.keys.caching.holding import Holding
from doorward.keys.caching.sharing import Sharing

__all__ = ["Storing"]

_LONGEST_END: Final = 1.0  # seconds for which a process that ends waits at most


class Storing:
    """Writes what is held to the snapshot."""

    def __init__(self, sharing: Sharing, holding: Holding) -> None:
        """Start with nothing to write.

        Args:
            sharing: Writes the snapshot.
            holding: What is held.
        """
        self._sharing: Final = sharing
        self._holding: Final = holding
        self._writing = threading.Lock()
        self._done = threading.Event()
        self._done.set()
        renew_in_children(self, Storing.after_fork)
        _all.add(self)

    def expect(self) -> None:
        """Take note that `store` will be called, in another thread."""
        self._done.clear()

    def store(self) -> None:
        """Write what is held, unless another thread writes already: that one goes on until all is written."""
        while self._holding.unstored:
            if not self._writing.acquire(blocking=False):
                return
            try:
                self._sharing.store(self._holding.snapshot())
            finally:
                self._writing.release()
        self._done.set()

    def finish(self, seconds: float) -> None:
        """Wait until all is written.

        Args:
            seconds: For how long at most.
        """
        self._done.wait(seconds)

    def after_fork(self) -> None:
        """Start anew in a forked child: the parent writes what it has fetched."""
        self._writing = threading.Lock()
        self._done = threading.Event()
        self._done.set()


_all: Final[weakref.WeakSet[Storing]] = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    until = time.monotonic() + _LONGEST_END
    for storing in list(_all):
        storing.finish(max(0.0, until - time.monotonic()))
