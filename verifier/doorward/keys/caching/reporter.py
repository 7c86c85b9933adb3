"""Reporting to the listener of a key cache: what a listener does cannot break the cache.

Events of a read are handed over at once, in the thread of the reader. Those of a fetch are queued, and
delivered in their order by one thread at a time, for which no request waits. A listener that never returns
stops that one thread; what happens afterwards is counted, and not kept.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from doorward.errors import FetchError
from doorward.forks import renew_in_children
from doorward.keys.events import FetchFinished, KeyEvent, Listener, StateChanged
from doorward.keys.flight import FOLLOW_UP_THREAD, Flight
from doorward.keys.state import HeldKeys, KeyState
from doorward.shown import token_safe

__all__ = ["Reporter"]

_log: Final = logging.getLogger("doorward.keys")

_LONGEST_QUEUE: Final = 1_000  # events


class Reporter:
    """Hands the events of one key cache to its listener, which is never called while a lock is held."""

    def __init__(self, url: str, listener: Listener) -> None:
        """Start with nothing reported.

        Args:
            url: The key endpoint.
            listener: Receives the events.
        """
        self._url: Final = url
        self._listener: Final = listener
        self._last_state = KeyState.EMPTY
        self._queue: Final[deque[KeyEvent]] = deque()
        self._dropped = 0
        self._delivering = False
        self._lock = threading.Lock()
        renew_in_children(self, Reporter.after_fork)

    def report(self, event: KeyEvent) -> None:
        """Hand an event to the listener, and log an exception that it raises.

        Args:
            event: What happened.
        """
        try:
            self._listener(event)
        except Exception:  # noqa: BLE001 - the listener is the user's, and may raise anything
            _log.exception("the listener failed on %s", type(event).__name__)

    def report_state(self, state: KeyState) -> None:
        """Report a change of state, if this is another state than the last one.

        Args:
            state: The state now.
        """
        if (event := self._state_event(state)) is not None:
            self.report(event)

    def _state_event(self, state: KeyState) -> StateChanged | None:
        before, self._last_state = self._last_state, state
        return None if before is state else StateChanged(self._url, before, state)

    def queue(self, event: KeyEvent) -> None:
        """Keep an event until it is delivered; may be called while a lock is held.

        Args:
            event: What happened.
        """
        with self._lock:
            if len(self._queue) < _LONGEST_QUEUE:
                self._queue.append(event)
            else:
                self._dropped += 1

    def queue_state(self, state: KeyState) -> None:
        """Do as `report_state` does, once it is delivered.

        Args:
            state: The state now.
        """
        if (event := self._state_event(state)) is not None:
            self.queue(event)

    def deliver(self) -> None:
        """Report what is queued, in its order, unless another thread does so already."""
        while (event := self._next()) is not None:
            try:
                self.report(event)
            finally:
                self._delivering = False

    def _next(self) -> KeyEvent | None:
        with self._lock:
            if self._delivering or not self._queue:
                return None
            self._delivering = True
            dropped, self._dropped = self._dropped, 0
            event = self._queue.popleft()
        if dropped:
            _log.warning("the listener did not return for long: %d events were dropped", dropped)
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
            _log.debug("no thread could be started to report events")

    def finished_event(
        self, flight: Flight, outcome: str, held: HeldKeys, now: float, error: FetchError | None
    ) -> FetchFinished:
        """Make the event of a flight that is over.

        Args:
            flight: The flight.
            outcome: As in `FetchFinished`.
            held: What is held now.
            now: The time on the monotonic clock.
            error: Why it failed; None if it did not.
        """
        refused = tuple(f"{token_safe(key.kid)}: {key.why}" for key in held.key_set.refused)
        kids, seconds = tuple(sorted(held.keys)), now - flight.started_at
        return FetchFinished(self._url, flight.trigger, outcome, seconds, kids, refused, error)

    def after_fork(self) -> None:
        """Drop what is queued in a forked child: the parent reports it."""
        self._lock = threading.Lock()
        self._queue.clear()
        self._delivering = False
