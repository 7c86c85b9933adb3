"""The token of one audience: held, renewed ahead of time, and fetched once for all that wait.

Readers take no lock: they read one reference to an immutable `HeldToken`. A fetch is a
`doorward.keys.flight.Flight`, in a thread of its own. The lock is held only to decide whether one starts.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from doorward.forks import renew_in_children
from doorward.keys.caching.budget import Backoff, TokenBucket
from doorward.keys.caching.flights import GIVE_UP, MOST_HANGING, Flights
from doorward.keys.flight import Flight
from doorward.keys.waiting import Waits
from doorward_integrations.calling.errors import IdTokenError, describe
from doorward_integrations.calling.source import IdTokenSource, SourceError, read_expiry

__all__ = ["AudienceToken", "Clocks", "HeldToken"]

_MARGIN: Final = 30.0  # seconds before its expiry for which a token is not sent any more: it has a way to go
_OF_LIFE: Final = 0.25  # of what is left of its life when it comes: a short-lived one is renewed later
_AGAIN: Final = 15.0  # seconds at least until a renewal that brought no newer token is repeated
# Seconds between two fetches after failures; the last, while there is no token to send.
_SHORTEST: Final = 1.0
_LONGEST: Final = 60.0
_LONGEST_WITHOUT: Final = 10.0
# Renewals that a service can cause by answering 401: so many at once, and one more in so many seconds.
_REFUSED_BURST: Final = 3
_REFUSED_EVERY: Final = 30.0


class HeldToken(NamedTuple):
    """A token that is held; immutable, and replaced whole.

    Attributes:
        value: The token in its compact form.
        expires_at: Its ``exp``, in seconds since the epoch, as are the other two.
        renew_at: From when a newer one is fetched, while it goes on being sent.
        usable_until: From when it is not sent any more.
    """

    value: str
    expires_at: float
    renew_at: float
    usable_until: float

    def __repr__(self) -> str:
        """Show its times, and nothing of the token."""
        return f"HeldToken(expires_at={self.expires_at:.0f})"


class Clocks(NamedTuple):
    """The clocks of a cache, and its source of jitter.

    Attributes:
        wall: In seconds since the epoch.
        monotonic: In seconds; never goes back.
        rng: Spreads renewals and pauses.
    """

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    rng: random.Random


class AudienceToken:
    """Holds the token of one audience.

    Attributes:
        held: What is held; None before the first good fetch.
        used_at: When it was last asked for, on the monotonic clock.
        fetches: How many fetches have started.
        last_error: Why the last fetch failed, without a token; None if it did not.
    """

    def __init__(self, audience: str, source: IdTokenSource, renew_before: float, clocks: Clocks) -> None:
        """Start with no token.

        Args:
            audience: Whom its tokens are made for.
            source: Where they come from.
            renew_before: Seconds before the expiry of a token from which a newer one is fetched.
            clocks: The clocks.
        """
        self._audience: Final = audience
        self._source: Final = source
        self._renew_before: Final = renew_before
        self._clocks: Final = clocks
        self._flights: Final = Flights()
        self._backoff: Final = Backoff(_SHORTEST, _LONGEST, clocks.rng, longest_without_keys=_LONGEST_WITHOUT)
        self._refusals: Final = TokenBucket(_REFUSED_EVERY, _REFUSED_BURST)
        self._taken = 0
        self.held: HeldToken | None = None
        self.used_at: float = 0.0
        self.last_error: str | None = None
        self._lock = threading.Lock()
        renew_in_children(self, AudienceToken._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    @property
    def fetches(self) -> int:
        """How many fetches have started."""
        return self._flights.started

    @property
    def failures(self) -> int:
        """How many fetches have failed in a row."""
        return self._backoff.failures

    # Reading; this takes no lock where the token is not due.

    def at_hand(self) -> str | None:
        """Return a token that can be sent now; None if there is none. A renewal that is due starts."""
        held = self.held
        if held is None:
            return None
        now = self._clocks.wall()
        if now >= held.renew_at:
            if now >= held.usable_until:
                return None
            self._renew_ahead()
        return held.value

    async def get(self, waits: Waits, patience: float) -> str:
        """Return a token that can be sent now, and wait for one if there is none.

        Args:
            waits: How to wait.
            patience: Seconds to wait at most.

        Returns:
            The token.

        Raises:
            IdTokenError: If there is none in time.
        """
        token = self.at_hand()
        if token is None:
            flight = self.flight()
            in_time = flight is None or await waits.flight(flight, patience)
            token = self.outcome(None if in_time else patience)
        return token

    async def replace(self, refused: str, waits: Waits, patience: float) -> str | None:
        """Return a token that was fetched after a service has refused one.

        The refused one is held until there is another: a service that answers 401 for a reason of its own
        takes no good token from other requests. The number of fetches that services can cause is bounded.

        Args:
            refused: The token.
            waits: How to wait.
            patience: Seconds to wait at most.

        Returns:
            What was fetched since, which may be the same one; None if nothing was.
        """
        taken = self._taken
        flight = self._flight_for_refused(refused)
        if flight is not None:
            await waits.flight(flight, patience)
        token = self.at_hand()
        return None if token == refused and self._taken == taken else token

    def outcome(self, waited: float | None = None) -> str:
        """Return what a flight that was waited for has brought.

        Args:
            waited: Seconds after which the wait was given up; None if the flight is over.

        Returns:
            The token.

        Raises:
            IdTokenError: If it has brought none.
        """
        token = self.at_hand()
        if token is None:
            cause = None if waited is None else f"its source has not answered within {waited:g} s"
            raise self._error(cause)
        return token

    def _error(self, cause: str | None = None) -> IdTokenError:
        pause = self._backoff.left(self._clocks.monotonic(), usable=False)
        return IdTokenError(self._audience, cause or self.last_error or "not fetched yet", pause or _SHORTEST)

    # Deciding whether there is a fetch.

    def flight(self) -> Flight | None:
        """Return the fetch to wait for; start one if none is under way.

        Returns:
            The fetch; None if there is a token by now: one may have ended since the caller has looked.

        Raises:
            IdTokenError: If the last one has failed, and the pause after it is not over.
        """
        with self._lock:
            now = self._clocks.monotonic()
            if self.held is not None and self._clocks.wall() < self.held.usable_until:
                return None
            flight = self._flights.under_way(now)
            if flight is None and self._backoff.left(now, usable=False):
                raise self._error()
            return flight or self._start("cold", now)

    def _renew_ahead(self) -> None:
        """Start a fetch ahead of time; what hinders it is no error for a reader, who has a token."""
        now = self._clocks.monotonic()
        if self._flights.under_way(now) or self._backoff.left(now) or not self._lock.acquire(blocking=False):
            return
        try:
            if not self._flights.under_way(now) and not self._backoff.left(now):
                self._start("refresh", now)
        except IdTokenError:
            pass
        finally:
            self._lock.release()

    def _flight_for_refused(self, refused: str) -> Flight | None:
        with self._lock:
            held, now = self.held, self._clocks.monotonic()
            if held is None or held.value != refused:
                return None  # another caller has had it replaced
            flight = self._flights.under_way(now)
            if flight is None and not self._backoff.left(now) and self._refusals.take(now):
                try:
                    flight = self._start("asked", now)
                except IdTokenError:
                    return None
            return flight

    def _start(self, trigger: str, now: float) -> Flight:
        """Start a flight, and give up the one that is late; the caller holds the lock."""
        if self._flights.give_up() is not None:
            self._failed(now, f"given up after {GIVE_UP:g} s without an answer of its source")
        if self._flights.hanging >= MOST_HANGING:
            self._failed(now, f"{MOST_HANGING} fetches never ended: none starts before one ends")
            raise self._error()
        flight = self._flights.begin(trigger, now)
        if not flight.start(self._fetch):
            self._flights.end(flight, conclusive=True, asked=False)
            self._failed(now, "no thread could be started to fetch it")
            raise self._error()
        return flight

    # Fetching, in the thread of the flight.

    def _fetch(self, flight: Flight) -> None:
        flight.asks(self._clocks.monotonic())
        found: HeldToken | None = None
        failure: str | None = "the fetch ended early"
        try:
            token = self._source.fetch(self._audience)
            now = self._clocks.wall()
            found, failure = self._held(token, read_expiry(token, self._audience, now), now), None
        except SourceError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - a source may raise anything
            failure = describe(error)
        finally:  # whatever it ends with: a flight without an outcome would count as one that hangs
            with self._lock:
                if self._flights.end(flight, conclusive=True, asked=True):
                    self._record(found, failure)

    def _held(self, token: str, expires_at: float, now: float) -> HeldToken:
        left = expires_at - now
        ahead = min(self._renew_before, left * _OF_LIFE) * self._clocks.rng.uniform(0.8, 1.0)
        usable_until = expires_at - min(_MARGIN, left * _OF_LIFE / 2)
        renew_at = expires_at - ahead
        if (held := self.held) is not None and held.value == token:
            # The metadata server gives out one token until shortly before it expires.
            usable_until = held.usable_until
            renew_at = now + max(_AGAIN, (usable_until - now) / 4)
        return HeldToken(token, expires_at, min(renew_at, usable_until), usable_until)

    def _record(self, found: HeldToken | None, failure: str | None) -> None:
        if found is None:
            self._failed(self._clocks.monotonic(), failure or "")
        else:
            self.held, self.last_error = found, None
            self._taken += 1
            self._backoff.succeeded()

    def _failed(self, now: float, cause: str) -> None:
        self.last_error = cause
        self._backoff.failed(now, None)
