"""What to do about a key id that is not among the usable keys.

It may be a key that the issuer has just begun to use, or one that somebody made up. Only the endpoint can
tell, and whoever sends tokens must not decide how often it is asked.
"""

from __future__ import annotations

from typing import Final

from doorward.errors import KeysUnavailableError
from doorward.keys.budget import NegativeSet, TokenBucket
from doorward.keys.flight import Flight
from doorward.keys.updater import Updater

__all__ = ["UNKNOWN", "Misses"]

_ABSENT_KIDS: Final = 1024
_ABSENT_FOR: Final = 60.0

UNKNOWN: Final = {
    "absent": "the issuer does not publish it",
    "remembered": "the issuer did not publish it a moment ago",
    "no_budget": "and too many unknown key ids came to ask again so soon",
}
"""Why a key id stays unknown, by outcome."""


class Misses:
    """Decides on unknown key ids, within a budget of their own; whoever asks holds the updater's lock."""

    __slots__ = ("_absent", "_budget", "_generation", "_updater")

    def __init__(self, updater: Updater, interval: float, burst: int) -> None:
        """Start with a full budget.

        Args:
            updater: Who asks the endpoint.
            interval: Seconds in which one more fetch becomes available.
            burst: How many may be made at once.
        """
        self._updater: Final = updater
        self._budget: Final = TokenBucket(interval, burst)
        self._absent: Final = NegativeSet(_ABSENT_KIDS, _ABSENT_FOR)
        self._generation = 0

    def decide(self, kid: str, since: int, now: float) -> Flight | str:
        """Decide on a key id that is not among the usable keys.

        Only a flight that began since the request came shows that a key is absent: an older answer may
        predate the key.

        Args:
            kid: The key id.
            since: What `Updater.begun` was when the request came.
            now: The monotonic clock.

        Returns:
            The flight to wait for before looking again; or the outcome, a key of `UNKNOWN`.

        Raises:
            KeysUnavailableError: If it cannot be found out now.
        """
        updater = self._updater
        if self._generation != updater.held.generation:
            self._absent.clear()  # something else is published now: what was absent may be there
            self._generation = updater.held.generation
        if updater.asked_since(since) and updater.last_error is None:
            self._absent.add(kid, now)
            return "absent"
        if self._absent.holds(kid, now):
            return "remembered"
        if (flight := updater.share(since, now)) is not None:
            return flight
        if self._budget.take(now):
            try:
                return updater.start("unknown_kid", now)
            except KeysUnavailableError:
                self._budget.give_back()  # nothing was asked
                raise
        if updater.last_error is not None:
            raise updater.unavailable(now)  # the budget went into fetches that failed: nobody knows
        return "no_budget"
