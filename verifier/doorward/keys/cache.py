"""The key cache: keeps the keys of one endpoint at hand, and asks that endpoint as rarely as it can.

Readers take no lock: they read one reference to an immutable `HeldKeys`. A lock guards only the decision
whether the endpoint is asked, never the request itself, which is made by a `Flight`. A fetch that fails
changes only when the next one may start. Keys are withdrawn only by a good answer without them, or by their
age.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Final

from doorward.errors import ConfigurationError, KeysUnavailableError, SignatureError
from doorward.keys.caching.endpoint_client import EndpointClient
from doorward.keys.caching.holding import Holding
from doorward.keys.caching.misses import Misses, refusal_of
from doorward.keys.caching.reading import HeldKeysReader
from doorward.keys.caching.reporter import Reporter
from doorward.keys.caching.seats import Seats
from doorward.keys.caching.sharing import Sharing
from doorward.keys.caching.snapshot import SnapshotFile
from doorward.keys.caching.updater import LONG_IDLE_WAIT, Updater
from doorward.keys.events import Listener, UnknownKid, WaitRefused, log_event
from doorward.keys.fetch import Fetch, HttpxFetch
from doorward.keys.flight import Flight
from doorward.keys.key import VerificationKey
from doorward.keys.waiting import BLOCKING, IN_LOOP, Waits, run_blocking

__all__ = ["KeyCache"]

_PREPARING: Final = 3.0  # times the patience, for what a fetch does before it asks the endpoint


class KeyCache(HeldKeysReader):
    """Keeps the verification keys of one issuer, for any number of threads and event loops at once.

    It is a `KeySource`. No keys are fetched before the first use, or `warm`.

    Args:
        url: The key endpoint, ``https`` (or ``http`` to loopback).
        algorithms: What the issuer signs with: ``RS256``, ``ES256``.
        fetch: How to fetch; over httpx by default.
        max_stale: Seconds past their freshness for which keys are still used while the endpoint gives no good
            answer; 0 forbids it.
        obey_must_revalidate: Whether ``must-revalidate`` in an answer forbids that too. Off by default: an
            endpoint that sends it to every cache would make its outage an outage of every service that
            verifies tokens.
        miss_interval: Seconds in which one more fetch for an unknown key id becomes available.
        miss_burst: How many of those fetches may be made at once.
        patience: Seconds that a request waits for a fetch at most, while there are no usable keys.
        miss_patience: The same for an unknown key id, while there are usable keys.
        max_waiting: How many threads may wait for an unknown key id at once, while there are usable keys; a
            request beyond that is refused at once. Set it to a small share of the threads of the server.
        max_waiting_cold: How many threads and tasks may wait for a fetch at once, while there are no usable
            keys, and how many tasks may wait for an unknown key id: they hold no thread.
        snapshot: A file in which the last good answer is kept, for the next start and for other processes;
            none by default.
        listener: Receives the events, in the thread in which they happen; logs them by default.
        clock: Wall clock, in seconds since the epoch.
        monotonic: Monotonic clock, in seconds.
        rng: Source of the jitter.

    Raises:
        ConfigurationError: If the URL or an algorithm is not acceptable, or a bound is out of range.

    Attributes:
        url: The key endpoint, without the query of its URL, which may hold an API key.
        algorithms: What the issuer signs with.
    """

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...] = ("RS256",),
        *,
        fetch: Fetch | None = None,
        max_stale: float = 86_400.0,
        obey_must_revalidate: bool = False,
        miss_interval: float = 10.0,
        miss_burst: int = 3,
        patience: float = 10.0,
        miss_patience: float = 3.0,
        max_waiting: int = 4,
        max_waiting_cold: int = 1024,
        snapshot: str | os.PathLike[str] | None = None,
        listener: Listener = log_event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Take the settings, which the class describes."""
        _check_bounds(
            max_stale, (miss_interval, patience, miss_patience), (miss_burst, max_waiting, max_waiting_cold)
        )
        self._client: Final = EndpointClient(
            url,
            algorithms,
            fetch=fetch if fetch is not None else HttpxFetch(),
            max_stale=max_stale,
            obey_must_revalidate=obey_must_revalidate,
            clock=clock,
        )
        reporter = Reporter(self._client.shown_url, listener)
        jitter = rng if rng is not None else random.Random()  # noqa: S311 - spreads refreshes; no secret
        clocks = {"clock": clock, "monotonic": monotonic}
        holding = Holding(self._client, rng=jitter, **clocks)
        sharing = None if snapshot is None else Sharing(SnapshotFile(snapshot), url, clock)
        updater = Updater(self._client, holding, sharing, reporter, rng=jitter, **clocks)
        super().__init__(self._client.shown_url, holding, updater, reporter, **clocks)
        self.algorithms: Final[tuple[str, ...]] = algorithms
        self._patience: Final = patience
        self._miss_patience: Final = miss_patience
        self._misses: Final = Misses(updater, holding, miss_interval, miss_burst)
        self._cold_seats: Final = Seats(max_waiting_cold)
        self._miss_seats: Final = {True: Seats(max_waiting), False: Seats(max_waiting_cold)}  # by thread

    def __repr__(self) -> str:
        """Show the endpoint and the state."""
        return f"KeyCache({self.url!r}, state={self.state.value})"

    # Looking for one key. This may wait for a fetch.

    def get(self, kid: str, /) -> VerificationKey:
        """Return the key with an id, and ask the endpoint for it where it is not held.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: With reason ``unknown_key``, if the issuer does not publish such a key; with
                reason ``key_not_fetched``, if the budget does not allow to ask.
            KeysUnavailableError: If that could not be found out.
        """
        return run_blocking(self._getting(kid, BLOCKING))

    async def aget(self, kid: str, /) -> VerificationKey:
        """Do as `get` does, without blocking the event loop.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: As `get`.
            KeysUnavailableError: As `get`.
        """
        return await self._getting(kid, IN_LOOP)

    async def _getting(self, kid: str, waits: Waits) -> VerificationKey:
        since, began, waited = self._updater.flights.started, self._monotonic(), False
        while isinstance(found := self._find(kid, since, waited=waited), Flight):
            waited = True
            if not self.ready:
                await self._await_first_keys(found, waits)
            elif kid in self._holding.held.keys:  # after a long idle time
                await waits.flight(found, LONG_IDLE_WAIT)
            else:
                await self._await_new_key(kid, found, began, waits)
        return found

    async def _await_first_keys(self, flight: Flight, waits: Waits) -> None:
        """Wait for usable keys; raises if they do not come in time, or too many requests wait already."""
        if not self._cold_seats.take():
            self._reporter.report(WaitRefused(self.url))
            raise KeysUnavailableError(
                f"as many requests as may wait for the keys of {self.url} do so already"
            )
        try:
            if not await self._waited_patiently(flight, waits) and not self.ready:
                raise self._late(self._patience)
        finally:
            self._cold_seats.leave()

    async def _waited_patiently(self, flight: Flight, waits: Waits) -> bool:
        """Wait for a flight; what it does before it asks the endpoint does not use the patience up.

        Where many processes start at once, the imports alone take longer than that.
        """
        prepared = await waits.flight(flight.prepared, _PREPARING * self._patience)
        return prepared and await waits.flight(flight, self._patience)

    async def _await_new_key(self, kid: str, flight: Flight, began: float, waits: Waits) -> None:
        """Wait for an unknown key id, no longer than that is worth; raises as `_await_first_keys`."""
        seats, now = self._miss_seats[waits.thread], self._monotonic()
        if not seats.take():
            raise self._refused("no_seat", kid)
        try:
            # A fetch that has taken longer than that already will not end now.
            left = min(began, flight.started_at) + self._miss_patience - now
            if not await waits.flight(flight, max(0.0, left)) and kid not in self._holding.held.keys:
                raise self._late(self._miss_patience)
        finally:
            seats.leave()

    def _find(self, kid: str, since: int, *, waited: bool) -> VerificationKey | Flight:
        """Return the key, or the flight to wait for before looking again; raises if there is neither."""
        if (key := self._key_at_hand(kid, waited=waited)) is not None:
            return key
        updater = self._updater
        with updater.lock:
            now, wall, held = self._monotonic(), self._clock(), self._holding.held
            if not held.state(now, wall).usable:
                return updater.share(since, now) or updater.start("cold", now)
            if kid in held.keys:  # after a long idle time; or a flight has finished since the look above
                return (None if waited else updater.long_idle_flight(now, wall)) or held.keys[kid]
            outcome = self._misses.decide(kid, since, now)
        if isinstance(outcome, Flight):
            return outcome
        raise self._refused(outcome, kid)

    def _refused(self, outcome: str, kid: str) -> SignatureError:
        """Report that a token is refused for its key id; return the error to raise."""
        self._reporter.report(UnknownKid(self.url, outcome))
        return refusal_of(outcome, kid)

    def _late(self, limit: float) -> KeysUnavailableError:
        return KeysUnavailableError(f"the key endpoint {self.url} did not answer within {limit:g} s")

    # For the application that owns the cache.

    def warm(self) -> None:
        """Have usable keys before the first request comes; returns at once where there are some.

        Raises:
            KeysUnavailableError: If the endpoint gave none.
        """
        run_blocking(self._fetching("cold", BLOCKING))

    async def awarm(self) -> None:
        """Do as `warm` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `warm`.
        """
        await self._fetching("cold", IN_LOOP)

    def refresh(self) -> None:
        """Ask the endpoint now, whatever the state is and also after a failure, and wait for the answer.

        Raises:
            KeysUnavailableError: If the fetch failed; the keys that are held stay, with their age.
        """
        run_blocking(self._fetching("asked", BLOCKING))

    async def arefresh(self) -> None:
        """Do as `refresh` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `refresh`.
        """
        await self._fetching("asked", IN_LOOP)

    async def _fetching(self, trigger: str, waits: Waits) -> None:
        since = self._updater.flights.started
        while (flight := self._flight_for(trigger, since)) is not None:
            if not await self._waited_patiently(flight, waits) and not (trigger == "cold" and self.ready):
                raise self._late(self._patience)

    def _flight_for(self, trigger: str, since: int) -> Flight | None:
        """Return the flight to wait for; None once there are keys (``cold``), or newer ones (``asked``)."""
        updater = self._updater
        with updater.lock:
            now = self._monotonic()
            if trigger == "cold":
                return None if self.ready else updater.share(since, now) or updater.start(trigger, now)
            # Only the endpoint itself answers a refresh: no snapshot, and no failure of another process.
            if not updater.flights.asked_since(since):
                return updater.flights.under_way(now) or updater.start(trigger, now)
            if updater.last_error is not None:
                raise updater.unavailable(now)
            return None

    def seed(self, body: bytes) -> None:
        """Take keys that were shipped with the application, for a start while the endpoint is away.

        They are stale from the start: they are used, for `max_stale` at most, while the endpoint is asked for
        better ones. Where keys are held already, nothing happens. A key that was withdrawn after the seed was
        made is believed until the first good answer: ship a recent one.

        Args:
            body: A key set, in any form that the endpoint may publish it in.

        Raises:
            ConfigurationError: If it is not a usable key set, or `max_stale` forbids stale keys.
        """
        answer = self._client.read_seed(body)
        with self._updater.lock:
            self._holding.seed(answer)


def _check_bounds(max_stale: float, seconds: tuple[float, ...], counts: tuple[int, ...]) -> None:
    if max_stale < 0 or min(counts) < 1 or min(seconds) <= 0:
        raise ConfigurationError(
            "max_stale must be at least 0, miss_burst, max_waiting and max_waiting_cold at least 1, and "
            "miss_interval, patience and miss_patience positive (seconds)"
        )
