"""The key cache: keeps the key set of one endpoint at hand, and asks that endpoint as rarely as it can.

Readers take no lock: they read one reference to an immutable snapshot. A lock guards only the decision
whether to ask the endpoint, never the asking itself, which happens in a `Flight`. A fetch that fails changes
nothing but when the next may begin; keys go only by a good answer that no longer holds them, or by age.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from doorward.errors import ConfigurationError, FetchError, KeysUnavailableError, Reason, SignatureError, clip
from doorward.keys.budget import Backoff, NegativeSet, TokenBucket
from doorward.keys.fetch import Answer, Fetch, HttpxFetch, check_key_url
from doorward.keys.flight import Flight
from doorward.keys.freshness import Validators, freshness_of, validators_of
from doorward.keys.jwk import ALGORITHMS, KeySet, VerificationKey, parse_key_set

__all__ = ["KeyCache", "KeyState"]

_log = logging.getLogger("doorward.keys")

_DAY: Final = 86_400.0
_NEVER: Final = float("-inf")


class KeyState(StrEnum):
    """What a key cache can do now."""

    EMPTY = "empty"
    FRESH = "fresh"
    AGEING = "ageing"
    STALE = "stale"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One good answer, and until when it is what. Ages are seconds since it arrived."""

    generation: int
    key_set: KeySet
    keys: Mapping[str, VerificationKey]
    arrived: float  # monotonic
    arrived_wall: float
    ahead: float
    soft: float
    hard: float
    validators: Validators
    # Until both, no reader has to think: the snapshot is FRESH.
    calm: float
    calm_wall: float

    def age(self, now: float, wall: float) -> float:
        """The larger of what both clocks say: monotonic time may stand still while an instance is frozen."""
        return max(now - self.arrived, wall - self.arrived_wall)

    def state(self, age: float) -> KeyState:
        if age >= self.hard:
            return KeyState.DEAD
        if age >= self.soft:
            return KeyState.STALE
        return KeyState.AGEING if age >= self.ahead else KeyState.FRESH


_NOTHING: Final = _Snapshot(
    0,
    KeySet(MappingProxyType({})),
    MappingProxyType({}),
    _NEVER,
    _NEVER,
    0,
    0,
    0,
    Validators(),
    _NEVER,
    _NEVER,
)


class KeyCache:
    """Keeps the verification keys of one issuer, for any number of threads and event loops at once."""

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...] = ("RS256",),
        *,
        fetch: Fetch | None = None,
        max_stale: float = _DAY,
        miss_interval: float = 10.0,
        miss_burst: int = 3,
        patience: float = 10.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Configure the cache; nothing is fetched before the first use, or `warm`.

        Args:
            url: The key endpoint, ``https`` (or ``http`` to loopback).
            algorithms: What the issuer signs with: ``RS256``, ``ES256``.
            fetch: How to ask; over httpx by default.
            max_stale: Seconds past their freshness for which keys still serve while the endpoint is away; 0
                forbids it.
            miss_interval: Seconds in which one more fetch for an unknown key id becomes available.
            miss_burst: How many of those may be made at once.
            patience: Seconds that a request waits for a fetch at most.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
            rng: Source of the jitter.

        Raises:
            ConfigurationError: If the URL or an algorithm is not acceptable, or a bound is out of range.
        """
        if not algorithms or not set(algorithms) <= ALGORITHMS.keys():
            raise ConfigurationError(
                f"algorithms must be some of {', '.join(ALGORITHMS)}; got {algorithms!r}"
            )
        if max_stale < 0 or miss_interval <= 0 or miss_burst < 1 or patience <= 0:
            raise ConfigurationError(
                "max_stale must be at least 0, miss_burst at least 1, miss_interval and patience positive"
            )
        self.url: Final = check_key_url(url)
        self.algorithms: Final = algorithms
        self._fetch: Final = fetch if fetch is not None else HttpxFetch()
        self._max_stale: Final = max_stale
        self._patience: Final = patience
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._random: Final = rng if rng is not None else random.Random()  # noqa: S311 - jitter, not a secret
        self._snapshot = _NOTHING
        self._lock = threading.Lock()
        self._flight: Flight | None = None
        self._landed_began = _NEVER
        self._landed_error: FetchError | None = None
        self._backoff: Final = Backoff(1.0, 300.0, self._random)
        self._misses: Final = TokenBucket(miss_interval, miss_burst)
        self._absent: Final = NegativeSet(1024, 60.0)
        _caches.add(self)

    # What it is now.

    @property
    def state(self) -> KeyState:
        """What the cache can do now."""
        snapshot = self._snapshot
        if snapshot is _NOTHING:
            return KeyState.EMPTY
        return snapshot.state(snapshot.age(self._monotonic(), self._clock()))

    @property
    def age(self) -> float | None:
        """Seconds since the endpoint last confirmed the keys; None if it never did."""
        snapshot = self._snapshot
        return None if snapshot is _NOTHING else snapshot.age(self._monotonic(), self._clock())

    @property
    def generation(self) -> int:
        """Counts the key sets seen; moves only when what is published changes."""
        return self._snapshot.generation

    @property
    def refreshing(self) -> bool:
        """Whether a fetch is on its way."""
        return self._flight is not None

    @property
    def cooling_down(self) -> bool:
        """Whether a failed fetch keeps the next one waiting."""
        return self._backoff.left(self._monotonic()) > 0

    def __repr__(self) -> str:
        """Show the endpoint and the state."""
        return f"KeyCache({self.url!r}, state={self.state.value})"

    # Reading. These never wait.

    def keys(self, wall: float) -> Mapping[str, VerificationKey] | None:
        """Give the keys that may be used now, and see to it that they stay fresh.

        Args:
            wall: The wall clock, in seconds since the epoch, as the caller has read it.

        Returns:
            The usable keys by key id; None if there are none that may be used.
        """
        snapshot = self._snapshot
        if wall < snapshot.calm_wall and self._monotonic() < snapshot.calm:
            return snapshot.keys
        return self._attend(snapshot, wall)

    def _attend(self, snapshot: _Snapshot, wall: float) -> Mapping[str, VerificationKey] | None:
        """Refresh ahead, on use: timers do not run between the requests of a throttled instance."""
        now = self._monotonic()
        if snapshot is not _NOTHING and snapshot.state(snapshot.age(now, wall)) is not KeyState.FRESH:
            self._refresh_unless_busy(now)
        return self._usable(snapshot, now, wall)

    def _refresh_unless_busy(self, now: float) -> None:
        if self._flight is None and not self._backoff.left(now):
            with self._lock:
                if self._flight is None and not self._backoff.left(now):
                    self._depart("refresh", now)

    @staticmethod
    def _usable(snapshot: _Snapshot, now: float, wall: float) -> Mapping[str, VerificationKey] | None:
        if snapshot is _NOTHING or snapshot.state(snapshot.age(now, wall)) is KeyState.DEAD:
            return None
        return snapshot.keys

    # Looking for one key. These may wait for a fetch.

    def get(self, kid: str) -> VerificationKey:
        """Give the key with that id, asking the endpoint if it has to.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: With reason ``unknown_key``, if the issuer does not publish such a key, or if
                asking once more is not within the budget.
            KeysUnavailableError: If that could not be found out.
        """
        since = self._monotonic()
        while isinstance(found := self._seek(kid, since), Flight):
            self._arrived_in_time(found.wait(self._patience))
        return found

    async def aget(self, kid: str) -> VerificationKey:
        """Do as `get` does, without blocking the event loop.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: As `get`.
            KeysUnavailableError: As `get`.
        """
        since = self._monotonic()
        while isinstance(found := self._seek(kid, since), Flight):
            self._arrived_in_time(await found.wait_async(self._patience))
        return found

    def _arrived_in_time(self, landed: bool) -> None:  # noqa: FBT001 - the answer of the wait, passed straight on
        if not landed:
            raise KeysUnavailableError(f"the key endpoint did not answer within {self._patience:g} s")

    def _seek(self, kid: str, since: float) -> VerificationKey | Flight:
        """Find the key, or the flight to wait for before looking again; or know that there is neither.

        Only a flight that began at or after `since` shows that a key is absent: an older answer may predate
        the key.
        """
        keys = self.keys(self._clock())
        if keys is not None and kid in keys:
            return keys[kid]
        with self._lock:
            now = self._monotonic()
            if self._flight is not None:
                return self._flight
            # Once more: a flight may have landed between the look and the lock.
            keys = self._usable(self._snapshot, now, self._clock())
            if keys is not None and kid in keys:
                return keys[kid]
            asked = self._landed_began >= since
            if (asked and self._landed_error is not None) or (not asked and self._backoff.left(now)):
                raise self._unavailable(now)
            if keys is None:
                return self._depart("cold", now)
            if asked:
                self._absent.add(kid, now)
                raise _unknown(kid, "the issuer does not publish it")
            if self._absent.holds(kid, now):
                raise _unknown(kid, "the issuer did not publish it a moment ago")
            if not self._misses.take(now):
                raise _unknown(kid, "and too many unknown key ids came to ask again so soon")
            return self._depart("unknown_kid", now)

    def _unavailable(self, now: float) -> KeysUnavailableError:
        cause = f": {self._landed_error}" if self._landed_error else ""
        return KeysUnavailableError(
            f"the keys of {self.url} are not to be had{cause}", self._backoff.left(now) or 1.0
        )

    # Fetching.

    def _depart(self, trigger: str, now: float) -> Flight:
        """Start the one flight; the caller holds the lock."""
        flight = Flight(now, trigger)
        self._flight = flight
        try:
            flight.depart(self._run)
        except BaseException:
            self._flight = None
            raise
        return flight

    def _run(self, flight: Flight) -> None:
        """Fetch and record, in the flight's thread."""
        before = self._snapshot
        headers = before.validators.headers()
        if flight.trigger != "refresh":
            # A cache between here and the endpoint may not know of the new key either.
            headers["cache-control"] = "no-cache"
        error: FetchError | None = None
        after = before
        try:
            after = self._digest(before, self._fetch(self.url, headers))
        except FetchError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - a Fetch of the user's own may raise anything; the door stays a door
            _log.exception("the fetch of %s raised what is not a FetchError", self.url)
            error = FetchError("content", type(failure).__name__)
        with self._lock:
            if self._flight is not flight:
                return  # given up, or the process has forked meanwhile
            self._flight = None
            self._landed_began, self._landed_error = flight.began, error
            now = self._monotonic()
            if error is None:
                self._backoff.succeeded()
                if after.generation != before.generation:
                    self._absent.clear()
                self._snapshot = after
            else:
                self._backoff.failed(now, error.retry_after)
        if error is not None:
            _log.warning("no keys from %s, the old ones stay: %s", self.url, error)
        elif after.generation != before.generation:
            _log.info("keys of %s: %s", self.url, ", ".join(sorted(after.keys)))
            for refused in after.key_set.refused:
                _log.warning("a key of %s is not used (kid %s): %s", self.url, clip(refused.kid), refused.why)

    def _digest(self, before: _Snapshot, answer: Answer) -> _Snapshot:
        """Make the next snapshot of an answer."""
        now, wall = self._monotonic(), self._clock()
        fresh = freshness_of(answer.headers, wall, self._max_stale)
        # A fleet that started together should not come back together.
        margin = min(0.1 * fresh.soft, 300.0) * self._random.uniform(0.9, 1.1)
        ahead = fresh.soft - margin
        times = replace(
            before,
            arrived=now,
            arrived_wall=wall,
            ahead=ahead,
            soft=fresh.soft,
            hard=fresh.hard,
            calm=now + ahead,
            calm_wall=wall + ahead,
        )
        if answer.body is None:
            if before is _NOTHING:
                raise FetchError("status", "answered with 304 to an unconditional request")
            return times
        key_set = parse_key_set(answer.body, self.algorithms).keeping(before.key_set)
        generation = before.generation + (key_set is not before.key_set)
        validators = validators_of(answer.headers)
        return replace(
            times, generation=generation, key_set=key_set, keys=key_set.keys, validators=validators
        )

    # For the application that owns it.

    def warm(self) -> None:
        """Have usable keys before the first request comes; returns at once where there are some.

        Raises:
            KeysUnavailableError: If the endpoint gave none.
        """
        since = self._monotonic()
        while (flight := self._seek_any(since)) is not None:
            self._arrived_in_time(flight.wait(self._patience))

    async def awarm(self) -> None:
        """Do as `warm` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `warm`.
        """
        since = self._monotonic()
        while (flight := self._seek_any(since)) is not None:
            self._arrived_in_time(await flight.wait_async(self._patience))

    def _seek_any(self, since: float) -> Flight | None:
        with self._lock:
            now = self._monotonic()
            if self._usable(self._snapshot, now, self._clock()) is not None:
                return None
            if self._flight is not None:
                return self._flight
            if self._landed_began >= since or self._backoff.left(now):
                raise self._unavailable(now)
            return self._depart("cold", now)

    def _after_fork(self) -> None:
        """In a forked child: the keys stay, the flight and whoever held the lock do not exist here."""
        self._lock = threading.Lock()
        self._flight = None


def _unknown(kid: str, why: str) -> SignatureError:
    return SignatureError(Reason.UNKNOWN_KEY, f"no key with the id {clip(kid)}: {why}")


_caches: Final[weakref.WeakSet[KeyCache]] = weakref.WeakSet()


def _forget_flights() -> None:
    for cache in list(_caches):
        cache._after_fork()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_flights)
