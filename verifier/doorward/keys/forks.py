"""Forking: what each part of a key cache does anew in a child, where no other thread of its parent runs.

A lock that another thread held at that moment would stay locked for ever, and a fetch on its way would never
end. Every part that has a lock, or waits for a thread, says here how it starts anew.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

__all__ = ["Renewable", "renew_after_fork"]


class Renewable(Protocol):
    """Something that starts anew in a forked child."""

    def after_fork(self) -> None:
        """Replace every lock, and drop what only threads of the parent would end."""
        ...


_renewables: Final[weakref.WeakSet[Renewable]] = weakref.WeakSet()


def renew_after_fork(one: Renewable) -> None:
    """Have something start anew in every child that is forked from now on, for as long as it lives.

    Args:
        one: It is kept by a weak reference.
    """
    _renewables.add(one)


def _after_fork() -> None:
    for one in list(_renewables):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
