"""The access tokens that the emulator has issued: opaque, held in memory as digests, and gone in an hour."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from doorward.forks import renew_in_children
from doorward_integrations.emulator.accounts import Account

__all__ = ["ACCESS_TOKEN_PREFIX", "AccessTokens", "Grant"]

ACCESS_TOKEN_PREFIX: Final = "ya29.fake-from-doorward-emulator."  # noqa: S105 - says that it is no secret
"""How each begins: so that a door takes it for an access token, and a reader for none of Google's."""

_RANDOM_BYTES: Final = 24
_HOUR: Final = 3_600
_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Grant:
    """What one access token stands for.

    Attributes:
        account: Whose token it is.
        scopes: What it is good for.
        issued_at: When it was issued, in seconds since the epoch.
        expires_at: When it ends, in seconds since the epoch.
    """

    account: Account
    scopes: tuple[str, ...]
    issued_at: float
    expires_at: float


class AccessTokens:
    """Issues access tokens, and says what they stand for. Safe to use from threads.

    A token is kept as its SHA-256 digest only, so that neither a dump of the memory nor a ``repr`` shows one.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, capacity: int = 10_000) -> None:
        """Begin with no tokens.

        Args:
            clock: Returns the time in seconds since the epoch.
            capacity: How many tokens are known at most; of more, the oldest ones stop working.
        """
        self._clock = clock
        self._capacity = capacity
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()
        self._renew_lock()
        renew_in_children(self, AccessTokens._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"AccessTokens({len(self._grants)} of at most {self._capacity})"

    def issue(self, account: Account, scopes: Iterable[str], *, lifetime: int = _HOUR) -> str:
        """Issue a token.

        Args:
            account: Whose token it is.
            scopes: What it is good for.
            lifetime: Seconds until it ends.

        Returns:
            The token.
        """
        token = f"{ACCESS_TOKEN_PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
        now = self._clock()
        with self._lock:
            self._grants[_digest(token)] = Grant(account, tuple(scopes), now, now + lifetime)
            while len(self._grants) > self._capacity:
                self._grants.popitem(last=False)
        return token

    def find(self, token: str) -> Grant | None:
        """Return what a token stands for.

        Args:
            token: Any text.

        Returns:
            The grant; None if the emulator did not issue the token, or it has expired.
        """
        if len(token) > _LONGEST or not token.isascii():
            return None
        digest = _digest(token)
        with self._lock:
            grant = self._grants.get(digest)
            if grant is not None and grant.expires_at <= self._clock():
                del self._grants[digest]
                return None
            return grant


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
