"""Events for a listener that is not doorward's own: what it does cannot break what reports to it.

Events that are queued are delivered in their order, by one thread at a time, for which no request waits. A
listener that never returns stops that one thread; what happens afterwards is counted, and not kept.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from doorward.forks import renew_in_children
from doorward.keys.flight import FOLLOW_UP_THREAD
from doorward.keys.state import KeyState

__all__ = ["EventQueue"]

_LONGEST: Final = 1_000  # events

_Event = TypeVar("_Event")


class EventQueue(Generic[_Event]):
    """Hands events, and changes of a state, to one listener, which is never called while a lock is held."""

    def __init__(
        self,
        listener: Callable[[_Event], None],
        log: logging.Logger,
        state: KeyState,
        changed: Callable[[KeyState, KeyState], _Event],
    ) -> None:
        """Start with nothing queued.

        Args:
            listener: Receives the events.
            log: Where it is said that the listener failed, or did not return.
            state: The state to begin with.
            changed: Makes the event of a change, of the state before and the state after.
        """
        self._listener: Final = listener
        self._log: Final = log
        self._last_state = state
        self._changed: Final = changed
        self.begin()
        renew_in_children(self, EventQueue.begin)

    def begin(self) -> None:
        """Begin with nothing to report: in a forked child, the parent reports what has happened."""
        self._events: deque[_Event] = deque()
        self._dropped = 0
        self._delivering = False
        self._lock = threading.Lock()

    def report(self, event: _Event) -> None:
        """Hand an event to the listener at once, and log an exception that it raises.

        Args:
            event: What happened.
        """
        try:
            self._listener(event)
        except Exception:  # noqa: BLE001 - the listener is the user's, and may raise anything
            self._log.exception("the listener failed on %s", type(event).__name__)

    def queue(self, event: _Event) -> None:
        """Keep an event until it is delivered; may be called while a lock is held.

        Args:
            event: What happened.
        """
        with self._lock:
            self._append(event)

    def queue_state(self, state: Callable[[], KeyState]) -> bool:
        """Keep a change of state until it is delivered, if this is another state than the last one.

        Args:
            state: Returns the state now. It is asked again under the lock, so that two threads that see a
                change at once report it once, and in its order.

        Returns:
            Whether there is something to deliver.
        """
        if state() is self._last_state:
            return False
        with self._lock:
            before, self._last_state = self._last_state, state()
            if before is not self._last_state:
                self._append(self._changed(before, self._last_state))
            return before is not self._last_state

    def report_state(self, state: KeyState) -> None:
        """Report a change of state at once, if this is another state than the last one.

        Args:
            state: The state now.
        """
        with self._lock:
            before, self._last_state = self._last_state, state
        if before is not state:
            self.report(self._changed(before, state))

    def _append(self, event: _Event) -> None:
        if len(self._events) < _LONGEST:
            self._events.append(event)
        else:
            self._dropped += 1

    def deliver(self) -> None:
        """Report what is queued, in its order, unless another thread does so already."""
        while (event := self._next()) is not None:
            try:
                self.report(event)
            finally:
                self._delivering = False

    def _next(self) -> _Event | None:
        with self._lock:
            if self._delivering or not self._events:
                return None
            self._delivering = True
            dropped, self._dropped = self._dropped, 0
            event = self._events.popleft()
        if dropped:
            self._log.warning("the listener did not return for long: %d events were dropped", dropped)
        return event

    def deliver_aside(self, before: Callable[[], None] | None = None) -> None:
        """Deliver in a thread of its own; if none can be started, with what is delivered next.

        Args:
            before: Is done in that thread first: what must not be done where a lock is held.
        """

        def work() -> None:
            if before is not None:
                before()
            self.deliver()

        try:
            threading.Thread(target=work, name=FOLLOW_UP_THREAD, daemon=True).start()
        except RuntimeError:
            self._log.debug("no thread could be started to report events")
