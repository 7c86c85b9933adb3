"""The protocol of a key source: where the verification keys of an issuer come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from doorward.keys.key import VerificationKey

__all__ = ["KeySource"]


@runtime_checkable
class KeySource(Protocol):
    """A source of the keys of one issuer, for any number of threads and event loops at once.

    `KeyCache` fetches the keys from a key endpoint; `FixedKeys` holds them for good. Another source
    implements these methods and is returned by the ``key_cache`` of a `Verifier`; nothing else has to change.
    It makes its keys with `doorward.keys.key.VerificationKey`, or reads them with
    `doorward.keys.formats.keyset.parse_key_set`.
    """

    def keys(self, wall: float, /) -> Mapping[str, VerificationKey] | None:
        """Return the keys that may be used now, without waiting.

        This is asked for every token. A verified token stays cached only while the same key object is
        returned here under its id, and a key that is withdrawn must be missing from then on.

        Args:
            wall: The wall clock, in seconds since the epoch.

        Returns:
            The usable keys by key id; None if there are none now, or if `get` should be asked since it may
            know better.
        """
        ...

    def get(self, kid: str, /) -> VerificationKey:
        """Return the key with an id, and wait for it if need be.

        This is asked for a key that `keys` does not return.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: With reason ``unknown_key``, if the issuer does not publish such a key; with
                reason ``key_not_fetched``, if too many tokens with unknown key ids came to find that out.
            KeysUnavailableError: If that could not be found out.
        """
        ...

    async def aget(self, kid: str, /) -> VerificationKey:
        """Do as `get` does, without blocking the event loop.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: As `get`.
            KeysUnavailableError: As `get`.
        """
        ...

    def warm(self) -> None:
        """Have usable keys before the first request comes.

        Raises:
            KeysUnavailableError: If there are none.
        """
        ...

    async def awarm(self) -> None:
        """Do as `warm` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `warm`.
        """
        ...
