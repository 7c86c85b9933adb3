"""Seats: how many requests may wait for a fetch at once.

A request that waits holds a thread of its server, or at least memory. The sender of a token chooses its key
id, and could make every thread wait by inventing some.
"""

from __future__ import annotations

import threading
from typing import Final

from doorward.forks import renew_in_children

__all__ = ["Seats"]


class Seats:
    """A number of seats, of which each request that waits takes one."""

    def __init__(self, limit: int) -> None:
        """Start with all of them free.

        Args:
            limit: How many there are.
        """
        self._limit: Final = limit
        self._taken = 0
        self._lock = threading.Lock()
        renew_in_children(self, Seats.after_fork)

    @property
    def taken(self) -> int:
        """How many requests wait now."""
        return self._taken

    def take(self) -> bool:
        """Take a seat, if one is free; it must be left again.

        Returns:
            False if none is free.
        """
        with self._lock:
            if self._taken >= self._limit:
                return False
            self._taken += 1
            return True

    def leave(self) -> None:
        """Leave a seat that was taken."""
        with self._lock:
            self._taken = max(0, self._taken - 1)  # a child may have been forked meanwhile

    def after_fork(self) -> None:
        """Start anew in a forked child, where no request of the parent waits."""
        self._lock = threading.Lock()
        self._taken = 0
