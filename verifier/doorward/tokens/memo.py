"""Tokens already verified.

A service account presents one token for up to an hour; its signature need not be computed each time. An entry
is found by the SHA-256 of the exact bytes of the token, so that a tampered twin is another entry, and no
token is kept. It belongs to one verifier, dies with the expiry of its token, and with the key that signed it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doorward.keys.cache import KeyCache
    from doorward.keys.key import VerificationKey
    from doorward.tokens.principal import Principal

__all__ = ["Memo", "Verified", "digest_of", "digests_of"]


def digest_of(token: bytes) -> bytes:
    """Name a token without keeping it.

    Args:
        token: The exact bytes, signature included.

    Returns:
        32 bytes.
    """
    return sha256(token).digest()


def digests_of(token: bytes) -> tuple[bytes, bytes]:
    """Name a token, and hash what is signed of it on the way: for a long one, once over is enough.

    Args:
        token: The exact bytes.

    Returns:
        As `digest_of` for the token, and for its two first segments with their dot.
    """
    end = max(token.rfind(b"."), 0)
    running = sha256(token[:end])
    signed = running.digest()
    running.update(token[end:])
    return running.digest(), signed


class Verified:
    """What is known of a token whose signature and claims held.

    Attributes:
        principal: Who it says is calling.
        until: The time from which it is refused as expired, in seconds since the epoch, leeway included.
        cache: Where its key came from.
        key: The key that signed it.
        note: Whatever the one who asked wants to remember with it; the door keeps its decision here.
    """

    __slots__ = ("cache", "key", "note", "principal", "until")

    def __init__(self, principal: Principal, until: float, cache: KeyCache, key: VerificationKey) -> None:
        """Make the entry.

        Args:
            principal: Who is calling.
            until: When it expires, leeway included.
            cache: Where the key came from.
            key: The key that signed it.
        """
        self.principal = principal
        self.until = until
        self.cache = cache
        self.key = key
        self.note: Any = None

    def holds(self, now: float) -> bool:
        """Tell whether it is still so: not expired, and its key is still published and usable.

        Args:
            now: Seconds since the epoch.
        """
        if now >= self.until:
            return False
        keys = self.cache.keys(now)
        return keys is not None and keys.get(self.key.kid) is self.key


class Memo:
    """A bounded store of `Verified` by digest.

    Two halves, a young and an old one: new entries go into the young half, a hit in the old half moves up,
    and when the young half is full it becomes the old one, whose entries are dropped. That keeps what is in
    use, costs a constant time, and needs no lock: every step is one dictionary operation, and the worst that
    a race can do is to verify once more.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, size: int) -> None:
        """Start empty.

        Args:
            size: Entries kept at most.
        """
        # Of both halves together, at most so many: the old one is whatever the young one was when it was
        # full.
        self._half = size // 2
        self._young: dict[bytes, Verified] = {}
        self._old: dict[bytes, Verified] = {}

    def find(self, digest: bytes, now: float) -> Verified | None:
        """Look for a token.

        Args:
            digest: As `digest_of` gives it.
            now: Seconds since the epoch.

        Returns:
            The entry, if there is one and it still holds.
        """
        entry = self._young.get(digest)
        if entry is not None:
            if entry.holds(now):
                return entry
            self._young.pop(digest, None)
            return None
        entry = self._old.pop(digest, None)
        if entry is None or not entry.holds(now):
            return None
        self.add(digest, entry)
        return entry

    def add(self, digest: bytes, entry: Verified) -> None:
        """Remember a token.

        Args:
            digest: As `digest_of` gives it.
            entry: What is known of it.
        """
        young = self._young
        if len(young) >= self._half:
            self._old = young if self._half else {}
            self._young = young = {}
        young[digest] = entry

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._young) + len(self._old)
