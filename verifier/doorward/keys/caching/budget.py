"""How often a key endpoint may be asked: three budgets, each of which depends only on the time it is given.

They are separate on purpose. Made-up key ids spend the miss budget and nothing else, and failures lengthen
the backoff and nothing else: a flood of the one kind holds up neither the other kind nor a refresh.
"""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from typing import Final

__all__ = ["Backoff", "NegativeSet", "TokenBucket"]


class TokenBucket:
    """Allows a burst of so many, and one more in every interval."""

    __slots__ = ("_burst", "_interval", "_left", "_taken_at")

    def __init__(self, interval: float, burst: int) -> None:
        """Start full.

        Args:
            interval: Seconds in which one more becomes available.
            burst: How many may be taken at once.
        """
        self._interval: Final = interval
        self._burst: Final = float(burst)
        self._left = float(burst)
        self._taken_at = float("-inf")

    def take(self, now: float) -> bool:
        """Take one, if there is one.

        Args:
            now: The time on the monotonic clock.

        Returns:
            False if the bucket is empty.
        """
        elapsed = max(0.0, now - self._taken_at)
        self._left = min(self._burst, self._left + elapsed / self._interval)
        self._taken_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def give_back(self) -> None:
        """Put one back that was taken and not used."""
        self._left = min(self._burst, self._left + 1.0)


class Backoff:
    """When the endpoint may be asked again after failures: exponential with full jitter, reset by a success.

    While no usable keys are held every request is refused, so a pause is then over after seconds, whatever
    the failures before and the endpoint ask for.

    Attributes:
        failures: How many fetches have failed in a row.
    """

    __slots__ = (
        "_longest",
        "_longest_without_keys",
        "_random",
        "_shortest",
        "_until",
        "_until_without_keys",
        "failures",
    )

    def __init__(
        self,
        shortest: float,
        longest: float,
        rng: random.Random,
        *,
        longest_without_keys: float | None = None,
    ) -> None:
        """Start with nothing failed.

        Args:
            shortest: Seconds that every delay lasts at least.
            longest: Seconds that every delay lasts at most, also where the endpoint asks for more.
            rng: Source of the jitter.
            longest_without_keys: The same while no usable keys are held, before jitter takes up to half of
                it; as `longest` if None.
        """
        self._shortest: Final = shortest
        self._longest: Final = longest
        self._longest_without_keys: Final = longest_without_keys
        self._random: Final = rng
        self.failures: int = 0
        self._until = self._until_without_keys = float("-inf")

    def failed(self, now: float, retry_after: float | None) -> None:
        """Count a failure.

        Args:
            now: The time on the monotonic clock.
            retry_after: Seconds that the endpoint asked for, honoured between the two bounds; None if it did
                not.
        """
        self.failures += 1
        ceiling = min(self._longest, self._shortest * 2.0 ** min(self.failures, 32))
        wanted = self._random.uniform(0.0, ceiling) if retry_after is None else retry_after
        delay = min(max(wanted, self._shortest), self._longest)
        self._until = self._until_without_keys = now + delay
        if self._longest_without_keys is not None:
            longest = self._longest_without_keys * self._random.uniform(0.5, 1.0)
            self._until_without_keys = now + min(delay, longest)

    def succeeded(self) -> None:
        """End the delay, and count failures from 0 again."""
        self.failures = 0
        self._until = self._until_without_keys = float("-inf")

    def left(self, now: float, *, usable: bool = True) -> float:
        """Return the seconds still to wait, 0.0 if none.

        Args:
            now: The time on the monotonic clock.
            usable: Whether usable keys are held.
        """
        return max(0.0, (self._until if usable else self._until_without_keys) - now)


class NegativeSet:
    """Key ids that the endpoint was asked for and does not publish: a bounded set of hashes with a lifetime.

    Hashes, because the sender of a token chooses its key id: what is kept has one size, whatever was sent.
    """

    __slots__ = ("_lifetime", "_size", "_until")

    def __init__(self, size: int, lifetime: float) -> None:
        """Start empty.

        Args:
            size: How many are kept at most; the oldest is dropped first.
            lifetime: Seconds that one is believed.
        """
        self._size: Final = size
        self._lifetime: Final = lifetime
        self._until: Final[OrderedDict[bytes, float]] = OrderedDict()

    @staticmethod
    def _digest(kid: str) -> bytes:
        return hashlib.sha256(kid.encode("utf-8", "surrogatepass")).digest()

    def add(self, kid: str, now: float) -> None:
        """Add a key id that the endpoint does not publish.

        Args:
            kid: The key id.
            now: The time on the monotonic clock.
        """
        digest = self._digest(kid)
        self._until[digest] = now + self._lifetime
        self._until.move_to_end(digest)
        while len(self._until) > self._size:
            self._until.popitem(last=False)

    def holds(self, kid: str, now: float) -> bool:
        """Return whether the endpoint was asked for a key id within the lifetime, and does not publish it.

        Args:
            kid: The key id.
            now: The time on the monotonic clock.
        """
        return self._until.get(self._digest(kid), float("-inf")) > now

    def clear(self) -> None:
        """Drop all: the endpoint publishes another key set now."""
        self._until.clear()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._until)
