"""Reporting to the listener of a key cache: its events, and the changes of its state.

Events of a read are handed over at once, in the thread of the reader. Those of a fetch are queued.
"""

from __future__ import annotations

import logging
from typing import Final

from doorward.errors import FetchError
from doorward.keys.events import FetchFinished, KeyEvent, Listener, StateChanged
from doorward.keys.flight import Flight
from doorward.keys.listening import EventQueue
from doorward.keys.state import HeldKeys, KeyState
from doorward.shown import token_safe

__all__ = ["Reporter"]

_log: Final = logging.getLogger("doorward.keys")


class Reporter(EventQueue[KeyEvent]):
    """Hands the events of one key cache to its listener."""

    def __init__(self, url: str, listener: Listener) -> None:
        """Start with nothing reported.

        Args:
            url: The key endpoint.
            listener: Receives the events.
        """
        super().__init__(
            listener, _log, KeyState.EMPTY, lambda before, after: StateChanged(url, before, after)
        )
        self._url: Final = url

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
