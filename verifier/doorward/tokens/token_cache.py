"""Tokens that are already verified.

A service account presents one token for up to an hour; its signature need not be computed each time. An entry
is found by the SHA-256 of the exact bytes of the token, so that a tampered twin is another entry, and no
token is kept. It belongs to one verifier, and dies with the expiry of its token and with the key that signed
it.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from doorward.keys.key import VerificationKey
from doorward.keys.source import KeySource
from doorward.tokens.principal import Principal

__all__ = ["TokenCache", "VerifiedToken"]


class VerifiedToken:
    """What is known of a token whose signature and claims held.

    Attributes:
        principal: The caller that it names.
        valid_from: The time before which it is refused as not yet valid, in seconds since the epoch, leeway
            included: a clock that is set back must not admit what a fresh check refuses.
        expires_at: The time from which it is refused as expired, leeway included.
        key_source: Where its key came from.
        key: The key that signed it.
        decision: What the door has decided for it, kept as long as the entry; None at first.
    """

    __slots__ = ("decision", "expires_at", "key", "key_source", "principal", "valid_from")

    def __init__(
        self,
        principal: Principal,
        valid_from: float,
        expires_at: float,
        key_source: KeySource,
        key: VerificationKey,
    ) -> None:
        """Make the entry.

        Args:
            principal: The caller that the token names.
            valid_from: When it becomes valid, leeway included.
            expires_at: When it expires, leeway included.
            key_source: Where the key came from.
            key: The key that signed it.
        """
        self.principal: Principal = principal
        self.valid_from: float = valid_from
        self.expires_at: float = expires_at
        self.key_source: KeySource = key_source
        self.key: VerificationKey = key
        self.decision: Any = None


class TokenCache:
    """A bounded store of `VerifiedToken` by digest.

    Two halves, a young and an old one: new entries go into the young half, a hit in the old half moves up,
    and when the young half is full it becomes the old one, whose entries are dropped. That keeps what is in
    use, costs a constant time, and needs no lock: every step is one dictionary operation, and the worst that
    a race can do is to verify once more.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, size: int) -> None:
        """Start empty.

        Args:
            size: Entries kept at most; 0 keeps none.
        """
        # Both halves together hold at most that many: the old one is what the young one was when it was full.
        self._half = size // 2
        self._young: dict[bytes, VerifiedToken] = {}
        self._old: dict[bytes, VerifiedToken] = {}

    def find(self, digest: bytes, now: float) -> VerifiedToken | None:
        """Find a token.

        Args:
            digest: The SHA-256 of its bytes.
            now: Seconds since the epoch.

        Returns:
            The entry, if there is one and it still holds.
        """
        entry = self._young.get(digest)
        old = entry is None
        if old:
            entry = self._old.pop(digest, None)
        if entry is None:
            return None
        # It holds while it is valid, and its key is still published and usable.
        if entry.valid_from <= now < entry.expires_at:
            keys = entry.key_source.keys(now)
            if keys is not None and keys.get(entry.key.kid) is entry.key:
                if old:
                    self.add(digest, entry)
                return entry
        if not old:
            self._young.pop(digest, None)
        return None

    def add(self, digest: bytes, entry: VerifiedToken) -> None:
        """Keep a token.

        Args:
            digest: The SHA-256 of its bytes.
            entry: What is known of it.
        """
        young = self._young
        if len(young) >= self._half:
            self._old = young if self._half else {}
            self._young = young = {}
        young[digest] = entry

    def part(self) -> TokenCache:
        """Return a part of this cache for one more verifier: they share its bound, and no entry.

        The entries of a part are found by no other one, and are dropped as all others when they are not used.
        """
        return _Part(self)

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._young) + len(self._old)


_numbers: Final = itertools.count()


class _Part(TokenCache):
    """One verifier's part of a cache: its digests begin with a number that no other part has."""

    __slots__ = ("_add", "_find", "_number", "_whole")

    def __init__(self, whole: TokenCache) -> None:
        super().__init__(0)
        self._number = next(_numbers).to_bytes(8)
        self._whole, self._find, self._add = whole, whole.find, whole.add

    def find(self, digest: bytes, now: float) -> VerifiedToken | None:
        return self._find(self._number + digest, now)

    def add(self, digest: bytes, entry: VerifiedToken) -> None:
        self._add(self._number + digest, entry)

    def part(self) -> TokenCache:
        return self._whole.part()
