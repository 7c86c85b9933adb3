"""How often a key endpoint may be asked: the three budgets, each pure but for the time it is given.

They are separate on purpose. Bogus key ids spend the miss budget and nothing else; failures lengthen the
backoff and nothing else; so a flood of one kind cannot starve the other, nor the scheduled refresh.
"""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict

__all__ = ["Backoff", "NegativeSet", "TokenBucket"]


class TokenBucket:
    """So many at once, and one more every so often."""

    __slots__ = ("_at", "_burst", "_interval", "_left")

    def __init__(self, interval: float, burst: int) -> None:
        """Start full.

        Args:
            interval: Seconds in which one more becomes available.
            burst: How many may be taken at once.
        """
        self._interval = interval
        self._burst = float(burst)
        self._left = float(burst)
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Take one, if there is one.

        Args:
            now: The time on the cache's monotonic clock.

        Returns:
            False if the bucket is empty.
        """
        elapsed = max(0.0, now - self._at)
        self._left = min(self._burst, self._left + elapsed / self._interval)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def give_back(self) -> None:
        """Put one back that was taken and not used."""
        self._left = min(self._burst, self._left + 1.0)


class Backoff:
    """When to ask again after failures: exponential with full jitter, reset by a success.

    Attributes:
        failures: How many failed in a row.
        until: The time on the cache's monotonic clock before which not to ask.
    """

    __slots__ = ("_longest", "_random", "_shortest", "failures", "until")

    def __init__(self, shortest: float, longest: float, rng: random.Random) -> None:
        """Start with nothing failed.

        Args:
            shortest: Seconds that every delay lasts at least.
            longest: Seconds that no delay exceeds, whatever the endpoint asks for.
            rng: Source of the jitter.
        """
        self._shortest = shortest
        self._longest = longest
        self._random = rng
        self.failures = 0
        self.until = float("-inf")

    def failed(self, now: float, retry_after: float | None) -> None:
        """Count a failure.

        Args:
            now: The time on the cache's monotonic clock.
            retry_after: Seconds the endpoint asked for; honoured between the two bounds.
        """
        self.failures += 1
        ceiling = min(self._longest, self._shortest * 2.0 ** min(self.failures, 32))
        wanted = self._random.uniform(0.0, ceiling) if retry_after is None else retry_after
        self.until = now + min(max(wanted, self._shortest), self._longest)

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0
        self.until = float("-inf")

    def left(self, now: float) -> float:
        """Give the seconds still to wait, 0.0 if none.

        Args:
            now: The time on the cache's monotonic clock.
        """
        return max(0.0, self.until - now)


class NegativeSet:
    """Key ids that the endpoint was asked for and did not have: bounded, short-lived, hashed.

    Hashed, because a key id is chosen by whoever sends a token: what is kept has one size, whatever was sent.
    """

    __slots__ = ("_lifetime", "_size", "_until")

    def __init__(self, size: int, lifetime: float) -> None:
        """Start empty.

        Args:
            size: How many are kept; the oldest goes first.
            lifetime: Seconds that one is believed.
        """
        self._size = size
        self._lifetime = lifetime
        self._until: OrderedDict[bytes, float] = OrderedDict()

    @staticmethod
    def _digest(kid: str) -> bytes:
        return hashlib.sha256(kid.encode("utf-8", "surrogatepass")).digest()

    def add(self, kid: str, now: float) -> None:
        """Remember that the endpoint does not have it.

        Args:
            kid: The key id.
            now: The time on the cache's monotonic clock.
        """
        digest = self._digest(kid)
        self._until[digest] = now + self._lifetime
        self._until.move_to_end(digest)
        while len(self._until) > self._size:
            self._until.popitem(last=False)

    def holds(self, kid: str, now: float) -> bool:
        """Tell whether it is known not to be there.

        Args:
            kid: The key id.
            now: The time on the cache's monotonic clock.
        """
        return self._until.get(self._digest(kid), float("-inf")) > now

    def clear(self) -> None:
        """Forget all: the endpoint has published something new."""
        self._until.clear()

    def __len__(self) -> int:
        """Count what is kept."""
        return len(self._until)
