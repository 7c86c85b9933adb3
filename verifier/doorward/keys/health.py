"""The health of a key cache as plain data, for a health page."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["KeyHealth"]


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
        snapshots_taken: How many times keys were taken from the snapshot of another process instead.
        hanging: How many fetches were given up and have not ended; at 3, no other is started until one ends.
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
    snapshots_taken: int
    hanging: int
