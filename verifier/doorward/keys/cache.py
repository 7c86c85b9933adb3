"""The key cache: keeps the keys of one endpoint at hand, and asks that endpoint as rarely as it can.

Readers take no lock: they read one reference to an immutable `HeldKeys`. A lock guards only the decision
whether to ask the endpoint, never the asking itself, which happens in a `Flight` of its own. A fetch that
fails changes nothing but when the next may begin; keys go only by a good answer that no longer holds them, or
by age.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Final

from doorward.errors import ConfigurationError, FetchError, KeysUnavailableError, Reason, SignatureError, clip
from doorward.keys.events import Listener, StaleUsed, UnknownKid, log_event
from doorward.keys.fetch import Fetch, HttpxFetch, check_key_url
from doorward.keys.flight import Flight
from doorward.keys.freshness import Freshness, Validators
from doorward.keys.key import VerificationKey, check_algorithms
from doorward.keys.keyset import parse_key_set
from doorward.keys.misses import UNKNOWN, Misses
from doorward.keys.snapshot import SnapshotFile
from doorward.keys.state import NO_KEYS, HeldKeys, KeyState
from doorward.keys.updater import Updater

__all__ = ["KeyCache"]


class KeyCache:
    """Keeps the verification keys of one issuer, for any number of threads and event loops at once."""

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
        snapshot: str | os.PathLike[str] | None = None,
        listener: Listener = log_event,
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
            obey_must_revalidate: Whether ``must-revalidate`` in an answer forbids that too. Off by default:
                an endpoint that sends it to every cache would take its users down with it.
            miss_interval: Seconds in which one more fetch for an unknown key id becomes available.
            miss_burst: How many of those may be made at once.
            patience: Seconds that a request waits for a fetch at most, while there are no usable keys.
            miss_patience: The same for an unknown key id, while there are.
            snapshot: A file in which the last good answer is kept, for the next start.
            listener: Is told what happens, from whichever thread it happens in; logs by default.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
            rng: Source of the jitter.

        Raises:
            ConfigurationError: If the URL or an algorithm is not acceptable, or a bound is out of range.
        """
        check_algorithms(algorithms)
        if max_stale < 0 or miss_burst < 1 or min(miss_interval, patience, miss_patience) <= 0:
            raise ConfigurationError(
                "max_stale must be at least 0, miss_burst at least 1, and miss_interval, patience and "
                "miss_patience positive (seconds)"
            )
        self.url: Final = check_key_url(url)
        self.algorithms: Final = algorithms
        self._max_stale: Final = max_stale
        self._patience: Final = patience
        self._miss_patience: Final = miss_patience
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._stale_uses: Final = itertools.count(1)
        self._stale_used = 0
        self._updater: Final = Updater(
            self.url,
            algorithms,
            fetch=fetch if fetch is not None else HttpxFetch(),
            max_stale=max_stale,
            obey_must_revalidate=obey_must_revalidate,
            file=None if snapshot is None else SnapshotFile(snapshot),
            listener=listener,
            clock=clock,
            monotonic=monotonic,
            rng=rng if rng is not None else random.Random(),  # noqa: S311 - jitter, no secret
        )
        self._misses: Final = Misses(self._updater, miss_interval, miss_burst)
        _caches.add(self)

    # What it is now.

    @property
    def state(self) -> KeyState:
        """What the cache can do now."""
        return self._updater.held.state(self._monotonic(), self._clock())

    @property
    def age(self) -> float | None:
        """Seconds since the endpoint last confirmed the keys; None if it never did."""
        held = self._updater.held
        return None if held is NO_KEYS else held.age(self._monotonic(), self._clock())

    @property
    def generation(self) -> int:
        """Counts the key sets seen; moves only when what is published changes."""
        return self._updater.held.generation

    @property
    def ready(self) -> bool:
        """Whether tokens can be verified now: for a readiness probe."""
        return self.state not in (KeyState.EMPTY, KeyState.DEAD)

    @property
    def refreshing(self) -> bool:
        """Whether a fetch is on its way."""
        return self._updater.flight(self._monotonic()) is not None

    @property
    def cooling_down(self) -> bool:
        """Whether a failed fetch keeps the next one waiting."""
        return self._updater.backoff.left(self._monotonic()) > 0

    def health(self) -> dict[str, object]:
        """Give all of it as plain data, for a health page.

        Returns:
            ``url``, ``state``, ``ready``, ``age``, ``fresh_for`` and ``usable_for`` (seconds; None while
            nothing is held), ``generation``, ``kids``, ``refreshing``, ``retry_in`` (seconds), ``failures``
            (in a row), ``last_error``, ``stale_uses`` and ``fetches`` (counts by outcome).
        """
        held, now, wall = self._updater.held, self._monotonic(), self._clock()
        age = None if held is NO_KEYS else held.age(now, wall)
        return {
            "url": self.url,
            "state": str(held.state(now, wall)),
            "ready": self.ready,
            "age": age,
            "fresh_for": None if age is None else max(0.0, held.stale_after - age),
            "usable_for": None if age is None else max(0.0, held.dead_after - age),
            "generation": held.generation,
            "kids": sorted(held.keys),
            "refreshing": self.refreshing,
            "retry_in": self._updater.backoff.left(now),
            "failures": self._updater.backoff.failures,
            "last_error": None if self._updater.last_error is None else str(self._updater.last_error),
            "stale_uses": self._stale_used,
            "fetches": dict(self._updater.fetches),
        }

    def __repr__(self) -> str:
        """Show the endpoint and the state."""
        return f"KeyCache({self.url!r}, state={self.state.value})"

    # Reading. This never waits.

    def keys(self, wall: float) -> Mapping[str, VerificationKey] | None:
        """Give the keys that may be used now, and see to it that they stay fresh.

        Args:
            wall: The wall clock, in seconds since the epoch, as the caller has read it.

        Returns:
            The usable keys by key id; None if there are none that may be used.
        """
        held = self._updater.held
        if wall < held.fresh_until_wall and self._monotonic() < held.fresh_until:
            return held.keys
        return self._attend(held, wall)

    def _attend(self, held: HeldKeys, wall: float) -> Mapping[str, VerificationKey] | None:
        """Refresh refresh_after, on use: timers do not run between the requests of a throttled instance."""
        now = self._monotonic()
        state = held.state(now, wall)
        self._updater.notice(state)
        if state is KeyState.EMPTY:
            return None
        if (
            state is not KeyState.FRESH
            and not self._updater.backoff.left(now)
            and not self._updater.flight(now)
        ):
            # No thread to be had is one more failed fetch: it must not reach a reader whose key is at hand.
            with contextlib.suppress(KeysUnavailableError), self._updater.lock:
                if not self._updater.flight(now) and not self._updater.backoff.left(now):
                    self._updater.start("refresh", now)
        if state is KeyState.STALE:
            self._stale_used = next(self._stale_uses)
            self._updater.tell(StaleUsed(self.url, held.age(now, wall)))
        return None if state is KeyState.DEAD else held.keys

    # Looking for one key. This may wait for a fetch.

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
        since = self._updater.begun
        while isinstance(found := self._seek(kid, since), Flight):
            limit = self._wait_limit()
            if not found.wait(limit):
                return self._last_look(kid, limit)
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
        since = self._updater.begun
        while isinstance(found := self._seek(kid, since), Flight):
            limit = self._wait_limit()
            if not await found.wait_async(limit):
                return self._last_look(kid, limit)
        return found

    def _wait_limit(self) -> float:
        return self._miss_patience if self.ready else self._patience

    def _last_look(self, kid: str, limit: float) -> VerificationKey:
        """Give the key if it is there after all: a flight has more to do than to bring it."""
        keys = self.keys(self._clock())
        if keys is not None and kid in keys:
            return keys[kid]
        raise self._late(limit)

    def _late(self, limit: float) -> KeysUnavailableError:
        return KeysUnavailableError(f"the key endpoint {self.url} did not answer within {limit:g} s")

    def _seek(self, kid: str, since: int) -> VerificationKey | Flight:
        """Find the key, or the flight to wait for before looking again; or know that there is neither."""
        keys = self.keys(self._clock())
        if keys is not None and kid in keys:
            return keys[kid]
        with self._updater.lock:
            now, held = self._monotonic(), self._updater.held
            # Once more: a flight may have finished between the look and the lock.
            if held.state(now, self._clock()) in (KeyState.EMPTY, KeyState.DEAD):
                return self._updater.share(since, now) or self._updater.start("cold", now)
            if kid in held.keys:
                return held.keys[kid]
            outcome = self._misses.decide(kid, since, now)
        if isinstance(outcome, Flight):
            return outcome
        self._updater.tell(UnknownKid(self.url, outcome))
        raise SignatureError(Reason.UNKNOWN_KEY, f"no key with the id {clip(kid)}: {UNKNOWN[outcome]}")

    # For the application that owns it.

    def warm(self) -> None:
        """Have usable keys before the first request comes; returns at once where there are some.

        Raises:
            KeysUnavailableError: If the endpoint gave none.
        """
        since = self._updater.begun
        while (flight := self._seek_any(since, "cold")) is not None:
            if not flight.wait(self._patience) and not self.ready:
                raise self._late(self._patience)

    async def awarm(self) -> None:
        """Do as `warm` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `warm`.
        """
        since = self._updater.begun
        while (flight := self._seek_any(since, "cold")) is not None:
            if not await flight.wait_async(self._patience) and not self.ready:
                raise self._late(self._patience)

    def refresh(self) -> None:
        """Ask the endpoint now, whatever the state and the backoff, and wait for its answer.

        Raises:
            KeysUnavailableError: If the fetch failed; what was held stays, with its age.
        """
        since = self._updater.begun
        while (flight := self._seek_any(since, "asked")) is not None:
            if not flight.wait(self._patience):
                raise self._late(self._patience)

    async def arefresh(self) -> None:
        """Do as `refresh` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `refresh`.
        """
        since = self._updater.begun
        while (flight := self._seek_any(since, "asked")) is not None:
            if not await flight.wait_async(self._patience):
                raise self._late(self._patience)

    def _seek_any(self, since: int, trigger: str) -> Flight | None:
        """Find the flight to wait for; None once there is what was wanted."""
        updater = self._updater
        with updater.lock:
            now, asked = self._monotonic(), trigger == "asked"
            if (updater.asked_since(since) and updater.last_error is None) if asked else self.ready:
                return None
            return updater.share(since, now, patient=not asked) or updater.start(trigger, now)

    def seed(self, body: bytes) -> None:
        """Take keys that were shipped with the application, for a start while the endpoint is away.

        They count as stale from the first moment on: they are used, for `max_stale` at most, while the
        endpoint is asked for better ones. Where keys are held already, nothing happens. A key that was
        revoked after the seed was made is believed until the first answer comes: ship a recent one.

        Args:
            body: A key set, in any form that the endpoint may publish it in.

        Raises:
            ConfigurationError: If it is not a usable key set, or `max_stale` forbids stale keys.
        """
        if not self._max_stale:
            raise ConfigurationError(
                "max_stale=0 forbids stale keys, and seeded keys are stale: raise it, or do not seed"
            )
        try:
            key_set = parse_key_set(body, self.algorithms, self._clock())
        except FetchError as error:
            raise ConfigurationError(f"the seed is not a usable key set: {error.message}") from error
        with self._updater.lock:
            if self._updater.held is NO_KEYS:
                fresh = Freshness(0.0, self._max_stale)
                self._updater.replace(key_set, fresh, Validators(), self._monotonic(), self._clock())


_caches: Final[weakref.WeakSet[KeyCache]] = weakref.WeakSet()


def _forget_flights() -> None:
    for cache in list(_caches):
        cache._updater.after_fork()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_flights)
