"""What a forked child renews.

A child has the objects of its parent, and of its threads only the one that forked. A lock that another thread
held is never released there, and what another thread was about to bring never arrives. An object that holds a
lock, or waits for a thread of its own, renews these in the child before anything else runs there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["renew_in_children"]

T = TypeVar("T")

_renewals: Final[WeakKeyDictionary[object, Callable[[Any], None]]] = WeakKeyDictionary()


def renew_in_children(owner: T, renew: Callable[[T], None]) -> None:
    """Have a function called with an object in every child that is forked while the object lives.

    Args:
        owner: The object, which is not kept alive by this.
        renew: Is called with it, in the only thread of the child. It must not fail, nor refer to the object
            in another way: an unbound method.
    """
    _renewals[owner] = renew


def _renew_all() -> None:
    for owner, renew in list(_renewals.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
