"""What a key cache holds, and what it can do with it: pure, given two clocks.

::

    EMPTY ──► FRESH ──► AGEING ──► STALE ──► DEAD        a good answer leads back to FRESH from anywhere
              now < ahead   ≤ stale_after      ≤ dead_after

Ages count in seconds since the answer arrived, on whichever of both clocks says more: monotonic time stands
still while an instance is frozen, wall-clock time can be set back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from doorward.keys.freshness import Freshness, Validators
from doorward.keys.key import VerificationKey
from doorward.keys.keyset import KeySet

__all__ = ["NO_KEYS", "HeldKeys", "KeyState", "hold", "refresh_age"]

_LONGEST_AHEAD: Final = 300.0


class KeyState(StrEnum):
    """What a key cache can do now."""

    EMPTY = "empty"
    """Nothing is held: a request waits for the first fetch."""
    FRESH = "fresh"
    """Keys are used, and nothing needs doing."""
    AGEING = "ageing"
    """Keys are used, and are being fetched anew before they get stale."""
    STALE = "stale"
    """Keys are past their freshness and still used, since the endpoint is away."""
    DEAD = "dead"
    """Keys are too old to be used: nobody can say now."""


@dataclass(frozen=True, slots=True)
class HeldKeys:
    """The keys of one good answer, and until when they are what; immutable.

    Attributes:
        key_set: The keys.
        generation: Counts the key sets; the same while the same keys are published.
        arrived: When the endpoint last confirmed them, on the monotonic clock.
        arrived_wall: The same on the wall clock.
        refresh_after: Age from which they are fetched anew.
        stale_after: Age from which they are stale.
        dead_after: Age from which they are not used.
        validators: For the next conditional request.
    """

    key_set: KeySet
    generation: int
    arrived: float
    arrived_wall: float
    refresh_after: float
    stale_after: float
    dead_after: float
    validators: Validators
    # What every read looks at: the keys without a detour, and the times before which there is nothing to
    # consider.
    keys: Mapping[str, VerificationKey] = field(init=False)
    fresh_until: float = field(init=False)
    fresh_until_wall: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out what every read looks at."""
        object.__setattr__(self, "keys", self.key_set.keys)
        object.__setattr__(self, "fresh_until", self.arrived + self.refresh_after)
        object.__setattr__(self, "fresh_until_wall", self.arrived_wall + self.refresh_after)

    def age(self, now: float, wall: float) -> float:
        """Give the age in seconds.

        Args:
            now: The monotonic clock.
            wall: The wall clock.
        """
        return max(now - self.arrived, wall - self.arrived_wall)

    def state(self, now: float, wall: float) -> KeyState:
        """Give the state.

        Args:
            now: The monotonic clock.
            wall: The wall clock.
        """
        if self is NO_KEYS:
            return KeyState.EMPTY
        age = self.age(now, wall)
        if age < self.refresh_after:
            return KeyState.FRESH
        if age < self.stale_after:
            return KeyState.AGEING
        return KeyState.STALE if age < self.dead_after else KeyState.DEAD


NO_KEYS: Final = HeldKeys(KeySet(MappingProxyType({})), 0, -math.inf, -math.inf, 0.0, 0.0, 0.0, Validators())
"""What a cache holds before the first good answer."""


def refresh_age(stale_after: float, jitter: float) -> float:
    """Give the age from which keys are fetched anew: the last tenth of their time, 5 minutes at most.

    Args:
        stale_after: Age from which they are stale.
        jitter: From 0.0 to 1.0, so that a fleet that started together does not come back together.
    """
    return max(0.0, stale_after - min(0.1 * stale_after, _LONGEST_AHEAD) * (0.9 + 0.2 * jitter))


def hold(  # noqa: PLR0917 - one value for each field of what is made
    before: HeldKeys,
    key_set: KeySet,
    fresh: Freshness,
    validators: Validators,
    arrived: float,
    arrived_wall: float,
    jitter: float,
) -> HeldKeys:
    """Make the held that replaces another.

    Args:
        before: The held to be replaced; key objects live on where the same key is published.
        key_set: The keys.
        fresh: For how long.
        validators: For the next conditional request.
        arrived: When they arrived, on the monotonic clock.
        arrived_wall: The same on the wall clock.
        jitter: From 0.0 to 1.0, so that a fleet that started together does not come back together.

    Returns:
        The new held; its generation is the old one's if nothing else is published.
    """
    kept = key_set.keeping(before.key_set)
    generation = before.generation + (kept is not before.key_set)
    return HeldKeys(
        kept,
        generation,
        arrived,
        arrived_wall,
        refresh_age(fresh.stale_after, jitter),
        fresh.stale_after,
        fresh.dead_after,
        validators,
    )
