"""Reporting to the listener of a key cache: what a listener does cannot break the cache."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from doorward.errors import FetchError, clip
from doorward.keys.events import FetchFinished, KeyEvent, Listener, StateChanged
from doorward.keys.flight import FOLLOW_UP_THREAD, Flight
from doorward.keys.state import HeldKeys, KeyState

__all__ = ["Reporter"]

_log: Final = logging.getLogger("doorward.keys")


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
        self._postponed: list[KeyEvent] = []

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
        before, self._last_state = self._last_state, state
        if before is not state:
            self.report(StateChanged(self._url, before, state))

    def postpone(self, event: KeyEvent) -> None:
        """Keep an event that happened while a lock was held.

        Args:
            event: What happened.
        """
        self._postponed.append(event)

    def report_aside(self, event: KeyEvent) -> Callable[[], None]:
        """Report what was postponed, and an event, in a thread of their own: a fetch does not wait for that.

        Args:
            event: What happened.

        Returns:
            Waits until it is reported; to be called before the next event of the same fetch is reported.
        """

        def work() -> None:
            self.report_postponed()
            self.report(event)

        thread = threading.Thread(target=work, name=FOLLOW_UP_THREAD, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be started
            work()
            return lambda: None
        return thread.join

    def report_postponed(self) -> None:
        """Report what was postponed, in its order."""
        while self._postponed:
            self.report(self._postponed.pop(0))

    def drop_postponed(self) -> None:
        """Drop what was postponed, in a forked child: the parent reports it."""
        self._postponed.clear()

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
        refused = tuple(f"{clip(key.kid)}: {key.why}" for key in held.key_set.refused)
        kids, seconds = tuple(sorted(held.keys)), now - flight.started_at
        return FetchFinished(self._url, flight.trigger, outcome, seconds, kids, refused, error)
