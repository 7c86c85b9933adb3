"""What a key cache holds, and what may be done with it: pure, given the time of two clocks.

::

    EMPTY ──► FRESH ─────────────► AGEING ───────────► STALE ───────────► DEAD
                    refresh_after         stale_after        dead_after          ages, in seconds

A good answer of the key endpoint leads to FRESH from every state. An age counts from the last good answer, on
the one of the two clocks that shows more: the monotonic clock stands still while an instance is frozen, and
the wall clock can be set back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from doorward.keys.formats.keyset import KeySet
from doorward.keys.http.freshness import Freshness, Validators
from doorward.keys.key import VerificationKey

__all__ = ["NOTHING_HELD", "HeldKeys", "KeyState", "refresh_age"]

_LONGEST_MARGIN: Final = 300.0


class KeyState(StrEnum):
    """What a key cache can do now."""

    EMPTY = "empty"
    """No keys are held: a request waits for the first fetch."""
    FRESH = "fresh"
    """Keys are used, and nothing needs to be done."""
    AGEING = "ageing"
    """Keys are used, and are fetched again before they become stale."""
    STALE = "stale"
    """Keys are past their freshness, and are still used while the endpoint gives no good answer."""
    DEAD = "dead"
    """Keys are held but too old to be used: no token can be verified now."""

    @property
    def usable(self) -> bool:
        """Whether the keys that are held may be used."""
        return self is not KeyState.EMPTY and self is not KeyState.DEAD


@dataclass(frozen=True, slots=True)
class HeldKeys:
    """The keys of one good answer, and for how long they may be used; immutable.

    Attributes:
        key_set: The keys.
        generation: Counts the key sets; the same while the same keys are published.
        confirmed_at: When the endpoint last confirmed them, on the monotonic clock, in seconds.
        confirmed_at_wall: The same on the wall clock, in seconds since the epoch.
        refresh_after: Age from which they are fetched again, in seconds.
        stale_after: Age from which they are stale, in seconds.
        dead_after: Age from which they are not used, in seconds.
        validators: For the next conditional request.
        keys: The keys by key id; the same as ``key_set.keys``.
        fresh_until: The time on the monotonic clock until which they are fresh.
        fresh_until_wall: The same on the wall clock.
    """

    key_set: KeySet
    generation: int
    confirmed_at: float
    confirmed_at_wall: float
    refresh_after: float
    stale_after: float
    dead_after: float
    validators: Validators
    # Every read looks at these three, so they are worked out once.
    keys: Mapping[str, VerificationKey] = field(init=False)
    fresh_until: float = field(init=False)
    fresh_until_wall: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out what every read looks at."""
        object.__setattr__(self, "keys", self.key_set.keys)
        object.__setattr__(self, "fresh_until", self.confirmed_at + self.refresh_after)
        object.__setattr__(self, "fresh_until_wall", self.confirmed_at_wall + self.refresh_after)

    def age(self, now: float, wall: float) -> float:
        """Return the age in seconds.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        return max(now - self.confirmed_at, wall - self.confirmed_at_wall)

    def state(self, now: float, wall: float) -> KeyState:
        """Return the state.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        if self is NOTHING_HELD:
            return KeyState.EMPTY
        age = self.age(now, wall)
        if age < self.refresh_after:
            return KeyState.FRESH
        if age < self.stale_after:
            return KeyState.AGEING
        return KeyState.STALE if age < self.dead_after else KeyState.DEAD

    def replaced_by(
        self,
        key_set: KeySet,
        freshness: Freshness,
        validators: Validators,
        *,
        confirmed_at: float,
        confirmed_at_wall: float,
        jitter: float,
    ) -> HeldKeys:
        """Return what is held in place of this after a good answer.

        Args:
            key_set: The keys of the answer; the set held here, if the answer was a 304.
            freshness: For how long they may be used.
            validators: The validators of the answer.
            confirmed_at: When the answer arrived, on the monotonic clock.
            confirmed_at_wall: The same on the wall clock.
            jitter: From 0.0 to 1.0, so that processes that started together do not refresh together.

        Returns:
            The new keys. A key that is still published keeps its object, and the generation stays the same if
            nothing else is published.
        """
        if key_set is self.key_set:  # what a 304 does not repeat stays (RFC 9111, section 4.3.4)
            validators = validators.over(self.validators)
        kept = key_set.keeping(self.key_set)
        return HeldKeys(
            kept,
            self.generation + (kept is not self.key_set),
            confirmed_at,
            confirmed_at_wall,
            refresh_age(freshness.stale_after, jitter),
            freshness.stale_after,
            freshness.dead_after,
            validators,
        )


NOTHING_HELD: Final = HeldKeys(
    KeySet(MappingProxyType({})), 0, -math.inf, -math.inf, 0.0, 0.0, 0.0, Validators()
)
"""What a cache holds before the first good answer."""


def refresh_age(stale_after: float, jitter: float) -> float:
    """Return the age from which keys are fetched again: the last tenth of their freshness, at most 5 minutes.

    Args:
        stale_after: Age from which they are stale, in seconds.
        jitter: From 0.0 to 1.0, so that processes that started together do not refresh together.
    """
    return max(0.0, stale_after - min(0.1 * stale_after, _LONGEST_MARGIN) * (0.9 + 0.2 * jitter))
