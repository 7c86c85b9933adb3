"""The health of a watched policy as plain data, for a health page."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["PolicyHealth"]


class PolicyHealth(TypedDict):
    """What `WatchedPolicy.health` returns; it can be written as JSON.

    Attributes:
        path: The file.
        state: The state; see `WatchedPolicy.state`.
        ready: Whether requests can be decided now.
        age: Seconds since the file was last seen to hold the policy that decides.
        usable_for: Seconds for which that policy may still decide if no look succeeds; None without a bound.
        generation: Counts the policies that were taken.
        refreshing: Whether a look is under way.
        retry_in: Seconds until the file is looked at again after a failure; 0.0 if it may be now.
        failures: How many looks have failed in a row.
        last_error: Why the last look failed; None if it did not.
        looks: Counts of looks by outcome; see `LookFinished`.
    """

    path: str
    state: str
    ready: bool
    age: float
    usable_for: float | None
    generation: int
    refreshing: bool
    retry_in: float
    failures: int
    last_error: str | None
    looks: dict[str, int]
