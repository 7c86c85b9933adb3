"""The one place where the kit comes between an adapter and its door, for as long as a test needs it.

Every adapter asks its door by the same methods. While a door is watched, its object has attributes of these
names, which Python finds before the methods of its class: they add the caller of `as_principal` to a request
that brings no such header, ask the door itself, and keep what it decided. A door that is not watched is as it
was made: the library has no hook that a request would pay for, and none that a service could turn on.

The door of many services hands a request to the door of its service. What that one keeps is not kept again; a
request for none of the services, and what a rule of the application turns away, is decided by no other.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, Final

from doorward import Admission, PlainRequest, Refusal
from doorward.door.base import BaseDoor
from doorward.door.credentials import RawHeaders
from doorward.errors import RefusedError
from doorward.forks import renew_in_children
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.services.services import Services
from doorward_integrations.testing.decisions import record

__all__ = ["CALLERS", "Caller", "watch"]

Pair = tuple[bytes, bytes]

_METHODS: Final = ("admit", "aadmit", "admit_cached", "refuse")
"""By which adapters ask a door."""


class Caller:
    """Who calls in a block.

    Attributes:
        open: Whether the block is being run.
    """

    def __init__(self, headers: Callable[[BaseDoor], tuple[Pair, ...]]) -> None:
        """Begin a block.

        Args:
            headers: Makes the headers that a request of the caller has at a door; none at other doors.
        """
        self.open = True
        self._headers: Final = headers

    def add_to(self, door: BaseDoor, headers: RawHeaders) -> RawHeaders:
        """Return the headers of a request as the caller sends it.

        Args:
            door: The door that is asked.
            headers: The headers of the request; a header that it has stays.
        """
        there = {name for name, _ in headers}
        return [*headers, *(pair for pair in self._headers(door) if pair[0] not in there)]


CALLERS: Final = contextvars.ContextVar[tuple[Caller, ...]]("doorward.testing.callers", default=())
"""The callers of the blocks around the code of this context, the innermost one last. What runs in another
thread or task has a context of its own, unless it was made in the block."""


def _as_sent(door: BaseDoor, headers: RawHeaders) -> RawHeaders:
    # A task that was left over has the context of a block that has ended.
    for caller in reversed(CALLERS.get()):
        if caller.open:
            headers = caller.add_to(door, headers)
    return headers


class _Watches:
    """The doors that are watched, and how many times; a forked child begins with none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.doors: dict[int, tuple[BaseDoor, int]] = {}
        renew_in_children(self, _Watches.end_all)

    def end_all(self) -> None:
        self.lock = threading.Lock()
        for door, _ in self.doors.values():
            _uninstall(door)
        self.doors.clear()

    def change(self, door: BaseDoor, by: int) -> None:
        with self.lock:
            _, count = self.doors.get(id(door), (door, 0))
            if count == 0 and by > 0:
                _install(door)
            if count + by > 0:
                self.doors[id(door)] = door, count + by
            elif self.doors.pop(id(door), None) is not None:
                _uninstall(door)


_watches: Final = _Watches()


def watch(door: BaseDoor) -> Callable[[], None]:
    """Watch a door.

    Args:
        door: The door.

    Returns:
        What ends it; calling it again does nothing.
    """
    _watches.change(door, 1)
    left = [-1]

    def end() -> None:
        while left:
            _watches.change(door, left.pop())

    return end


def _decider(door: BaseDoor, headers: RawHeaders, request: RequestFacts) -> BaseDoor | None:
    """Return the door whose decision is to be kept; None if that one is watched, and has kept it itself."""
    if not isinstance(door, Services):
        return door
    found = door.door(door.find(headers, request) or "")
    if found is None:
        return door
    return None if _METHODS[0] in vars(found) else found


def _install(door: BaseDoor) -> None:
    kind = type(door)

    def keep(outcome: Admission | Refusal, headers: RawHeaders, request: RequestFacts) -> None:
        if (decider := _decider(door, headers, request)) is not None:
            record(decider, outcome, request)

    def admit(headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        outcome = kind.admit(door, _as_sent(door, headers), request)
        keep(outcome, headers, request)
        return outcome

    async def aadmit(headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        outcome = await kind.aadmit(door, _as_sent(door, headers), request)
        keep(outcome, headers, request)
        return outcome

    def admit_cached(headers: RawHeaders, method: str, path: str) -> Admission | None:
        admission = kind.admit_cached(door, _as_sent(door, headers), method, path)
        if admission is not None:
            keep(admission, headers, PlainRequest(path=path, method=method))
        return admission

    def refuse(error: RefusedError, request: RequestFacts = ANYWHERE, headers: RawHeaders = ()) -> Refusal:
        refusal = kind.refuse(door, error, request, headers)
        record(door, refusal, request)
        return refusal

    stand_ins: tuple[Any, ...] = (admit, aadmit, admit_cached, refuse)
    vars(door).update(zip(_METHODS, stand_ins, strict=True))


def _uninstall(door: BaseDoor) -> None:
    for name in _METHODS:
        vars(door).pop(name, None)
