"""The health of a key cache as plain data, for a health page."""

from __future__ import annotations

from typing import TypedDict

from doorward.keys.caching.updater import Updater
from doorward.keys.state import NOTHING_HELD

__all__ = ["KeyHealth", "health_of"]


class KeyHealth(TypedDict):
    """What `KeyCache.health` returns; it can be written as JSON.

    Attributes:
        url: The key endpoint.
        state: The state, as in `KeyState`.
        ready: Whether tokens can be verified now.
        age: Seconds since the endpoint last confirmed the keys; None while no keys are held.
        fresh_for: Seconds until the keys are stale; None while no keys are held.
        usable_for: Seconds until the keys are not used any more; None while no keys are held.
        generation: Counts the key sets.
        kids: The ids of the keys that are held, sorted.
        refreshing: Whether a fetch is on its way.
        retry_in: Seconds until the endpoint may be asked again after a failure; 0.0 if it may be asked now.
        failures: How many fetches have failed in a row.
        last_error: Why the last fetch failed; None if it did not.
        stale_uses: How many reads were given stale keys.
        fetches: Counts of fetches by outcome; see `FetchFinished`.
    """

    url: str
    state: str
    ready: bool
    age: float | None
    fresh_for: float | None
    usable_for: float | None
    generation: int
    kids: list[str]
    refreshing: bool
    retry_in: float
    failures: int
    last_error: str | None
    stale_uses: int
    fetches: dict[str, int]


def health_of(url: str, updater: Updater, stale_uses: int, now: float, wall: float) -> KeyHealth:
    """Gather the health of a key cache; takes no lock, and asks no endpoint.

    Args:
        url: The key endpoint.
        updater: What holds the keys.
        stale_uses: How many reads were given stale keys.
        now: The time on the monotonic clock.
        wall: The time on the wall clock, in seconds since the epoch.
    """
    held, backoff = updater.held, updater.backoff
    state = held.state(now, wall)
    age = None if held is NOTHING_HELD else held.age(now, wall)
    return {
        "url": url,
        "state": str(state),
        "ready": state.usable,
        "age": age,
        "fresh_for": None if age is None else max(0.0, held.stale_after - age),
        "usable_for": None if age is None else max(0.0, held.dead_after - age),
        "generation": held.generation,
        "kids": sorted(held.keys),
        "refreshing": updater.flight_under_way(now) is not None,
        "retry_in": backoff.left(now),
        "failures": backoff.failures,
        "last_error": None if updater.last_error is None else str(updater.last_error),
        "stale_uses": stale_uses,
        "fetches": dict(updater.fetches),
    }
