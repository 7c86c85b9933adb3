"""Reading what a key cache holds: its keys and its state. No read here waits for a fetch.

A read of keys that are no longer fresh starts a refresh, in a thread of its own. That takes the lock of the
updater, which is never held for long; everything else takes no lock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Final

from doorward.keys.caching.holding import Holding
from doorward.keys.caching.reporter import Reporter
from doorward.keys.caching.updater import Updater
from doorward.keys.events import StaleUsed
from doorward.keys.health import KeyHealth
from doorward.keys.key import VerificationKey
from doorward.keys.state import NOTHING_HELD, HeldKeys, KeyState

__all__ = ["HeldKeysReader"]


class HeldKeysReader:
    """Reads the keys of one endpoint, for any number of threads and event loops at once.

    Attributes:
        url: The key endpoint.
    """

    def __init__(
        self,
        url: str,
        holding: Holding,
        updater: Updater,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Read what is held.

        Args:
            url: The key endpoint.
            holding: Holds the keys.
            updater: Replaces them.
            reporter: Receives the events.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
        """
        self.url: Final[str] = url
        self._holding: Final = holding
        self._updater: Final = updater
        self._reporter: Final = reporter
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._stale_counter: Final = itertools.count(1)
        self._stale_uses = 0

    @property
    def state(self) -> KeyState:
        """What the cache can do now."""
        return self._holding.state

    @property
    def age(self) -> float | None:
        """Seconds since the endpoint last confirmed the keys; None while no keys are held."""
        held = self._holding.held
        return None if held is NOTHING_HELD else held.age(self._monotonic(), self._clock())

    @property
    def generation(self) -> int:
        """Counts the key sets; it changes only when the published keys change."""
        return self._holding.held.generation

    @property
    def ready(self) -> bool:
        """Whether tokens can be verified now; for a readiness probe."""
        return self.state.usable

    @property
    def refreshing(self) -> bool:
        """Whether a fetch is on its way."""
        return self._updater.flights.under_way(self._monotonic()) is not None

    @property
    def cooling_down(self) -> bool:
        """Whether the next fetch has to wait, since one has failed."""
        return self._updater.pause(self._monotonic()) > 0

    def health(self) -> KeyHealth:
        """Return all of its state as plain data, for a health page.

        It takes no lock, and asks no endpoint.

        Returns:
            The members of `KeyHealth`, which can be written as JSON.
        """
        held, updater = self._holding.held, self._updater
        now, wall = self._monotonic(), self._clock()
        state = held.state(now, wall)
        age = None if held is NOTHING_HELD else held.age(now, wall)
        return {
            "url": self.url,
            "state": str(state),
            "ready": state.usable,
            "age": age,
            "fresh_for": None if age is None else max(0.0, held.stale_after - age),
            "usable_for": None if age is None else max(0.0, held.dead_after - age),
            "generation": held.generation,
            "kids": sorted(held.keys),
            "refreshing": updater.flights.under_way(now) is not None,
            "retry_in": updater.pause(now),
            "failures": updater.backoff.failures,
            "last_error": None if updater.last_error is None else str(updater.last_error),
            "stale_uses": self._stale_uses,
            "fetches": dict(updater.fetches),
            "snapshots_taken": updater.taken,
            "hanging": updater.flights.hanging,
        }

    def keys(self, wall: float, /) -> Mapping[str, VerificationKey] | None:
        """Return the keys that may be used now, and start a refresh if it is time for one.

        Args:
            wall: The wall clock, in seconds since the epoch, as the caller has read it.

        Returns:
            The usable keys by key id; None if there are none, or if after a long idle time a read should wait
            for the refresh (`Updater.long_idle_flight`), which `KeyCache.get` does.
        """
        held = self._holding.held
        if wall < held.fresh_until_wall and self._monotonic() < held.fresh_until:
            return held.keys
        return self._keys_past_refresh(held, wall)

    def _keys_past_refresh(
        self, held: HeldKeys, wall: float, *, waited: bool = False
    ) -> Mapping[str, VerificationKey] | None:
        """Start a refresh on use: a timer would not run between the requests of a throttled instance.

        Args:
            held: What is held.
            wall: The time on the wall clock.
            waited: Whether the caller has waited for a refresh already: then it gets the keys that are held.
        """
        now = self._monotonic()
        state = held.state(now, wall)
        self._reporter.report_state(state)
        if state is KeyState.EMPTY:
            return None
        if state is not KeyState.FRESH:
            self._updater.start_refresh(now)
        if state is KeyState.STALE:
            if not waited and self._updater.long_idle_flight(now, wall) is not None:
                return None
            self._stale_uses = next(self._stale_counter)
            self._reporter.report(StaleUsed(self.url, held.age(now, wall)))
        return held.keys if state.usable else None

    def _key_at_hand(self, kid: str, *, waited: bool = False) -> VerificationKey | None:
        wall = self._clock()
        keys = self._keys_past_refresh(self._holding.held, wall, waited=True) if waited else self.keys(wall)
        return None if keys is None else keys.get(kid)
