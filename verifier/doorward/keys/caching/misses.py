"""What is done about a key id that is not held.

The issuer may have begun to use that key a moment ago, or the sender of the token has made it up. Only the
endpoint knows, and the senders of tokens must not decide how often it is asked.
"""

from __future__ import annotations

from typing import Final

from doorward.errors import KeysUnavailableError, Reason, SignatureError
from doorward.keys.caching.budget import NegativeSet, TokenBucket
from doorward.keys.caching.holding import Holding
from doorward.keys.caching.updater import Updater
from doorward.keys.flight import Flight
from doorward.shown import token_safe

__all__ = ["Misses", "refusal_of"]

_ABSENT_KIDS: Final = 1024
_ABSENT_FOR: Final = 60.0


def refusal_of(outcome: str, kid: str) -> SignatureError:
    """Make the error with which a token is refused for its key id.

    A flood of made-up key ids must not make the service look broken to its load balancer: that the endpoint
    was not asked, or not waited for, is a 401 too, with a reason of its own.

    Args:
        outcome: As in `UnknownKid`.
        kid: The key id.
    """
    reason = Reason.KEY_NOT_FETCHED
    match outcome:
        case "absent":
            reason, why = Reason.UNKNOWN_KEY, "the issuer does not publish it"
        case "remembered":
            reason, why = Reason.UNKNOWN_KEY, "the issuer did not publish it a moment ago"
        case "no_seat":
            why = (
                "the key endpoint is not waited for, since as many requests as may wait for it do so already"
            )
        case _:
            why = "the key endpoint is not asked, since too many tokens have named unknown key ids just now"
    return SignatureError(reason, f"no key with the id {token_safe(kid)}: {why}")


class Misses:
    """Decides about unknown key ids, within a budget of their own; the caller holds the updater's lock."""

    __slots__ = ("_absent", "_budget", "_generation", "_holding", "_updater")

    def __init__(self, updater: Updater, holding: Holding, interval: float, burst: int) -> None:
        """Start with a full budget.

        Args:
            updater: Asks the endpoint.
            holding: What is held.
            interval: Seconds in which one more fetch becomes available.
            burst: How many fetches may be made at once.
        """
        self._updater: Final = updater
        self._holding: Final = holding
        self._budget: Final = TokenBucket(interval, burst)
        self._absent: Final = NegativeSet(_ABSENT_KIDS, _ABSENT_FOR)
        self._generation = 0

    def decide(self, kid: str, since: int, now: float) -> Flight | str:
        """Decide about a key id that is not among the usable keys.

        Only a flight that started after the request came can show that a key is absent: the answer of an
        older one may have been made before the key was published.

        Args:
            kid: The key id.
            since: What `Flights.started` was when the request came.
            now: The time on the monotonic clock.

        Returns:
            The flight to wait for before looking again; or the outcome, for `refusal_of`.

        Raises:
            KeysUnavailableError: If it cannot be found out now.
        """
        updater = self._updater
        if self._generation != (generation := self._holding.held.generation):
            self._absent.clear()  # another key set is published now: what was absent may be in it
            self._generation = generation
        if updater.flights.concluded_since(since) and updater.last_error is None:
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
                self._budget.give_back()  # the endpoint was not asked
                raise
        if updater.last_error is not None:
            raise updater.unavailable(now)  # the budget was spent on fetches that failed
        return "no_budget"
