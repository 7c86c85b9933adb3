"""Fixed keys: a key source whose keys are given once and do not change, from a file or a parsed document."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

from doorward.errors import ConfigurationError, FetchError, Reason, SignatureError
from doorward.keys.fetch import SIZE_LIMIT
from doorward.keys.formats.keyset import parse_key_set
from doorward.keys.key import VerificationKey, check_algorithms
from doorward.regular_file import read_regular_file
from doorward.shown import token_safe

__all__ = ["NO_KEYS", "FixedKeys"]


class FixedKeys:
    """A `KeySource` that holds one key set for as long as it lives; nothing is fetched.

    It is for keys that are shipped with the service. A key that the issuer withdraws is believed until the
    process starts with other keys.

    Example:
        ``Verifier(audience, issuers=[issuer], key_cache=lambda issuer: FixedKeys.from_file("keys.json"))``
    """

    __slots__ = ("_keys",)

    _keys: Mapping[str, VerificationKey]

    def __init__(
        self, body: bytes, algorithms: tuple[str, ...] = ("RS256",), *, wall: float | None = None
    ) -> None:
        """Read a key set.

        Args:
            body: A JWK Set (RFC 7517, section 5), or a JSON object of PEM texts by key id.
            algorithms: What the issuer signs with: ``RS256``, ``ES256``.
            wall: The time at which certificates must be valid, in seconds since the epoch; now by default.

        Raises:
            ConfigurationError: If it is not a usable key set, or an algorithm is not acceptable.
        """
        check_algorithms(algorithms)
        try:
            found = parse_key_set(body, algorithms, time.time() if wall is None else wall)
        except FetchError as error:
            raise ConfigurationError(f"this is not a usable key set: {error.message}") from error
        self._keys = found.keys

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], algorithms: tuple[str, ...] = ("RS256",)) -> Self:
        """Read a key set from a file.

        Args:
            path: The file; it may have 256 KiB.
            algorithms: As for the constructor.

        Returns:
            The keys.

        Raises:
            ConfigurationError: If the file cannot be read, or is not a usable key set.
        """
        try:
            body = read_regular_file(path, SIZE_LIMIT)
        except OSError as error:
            why = error.strerror
            raise ConfigurationError(f"the key file {os.fspath(path)!r} cannot be read: {why}") from error
        return cls(body, algorithms)

    @classmethod
    def from_dict(cls, document: Mapping[str, object], algorithms: tuple[str, ...] = ("RS256",)) -> Self:
        """Read a key set from its parsed form.

        Args:
            document: A JWK Set, or an object of PEM texts by key id.
            algorithms: As for the constructor.

        Returns:
            The keys.

        Raises:
            ConfigurationError: If it is not a usable key set.
        """
        try:
            body = json.dumps(dict(document)).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"this is not a key set that JSON can hold: {error}") from None
        return cls(body, algorithms)

    def keys(self, wall: float, /) -> Mapping[str, VerificationKey]:
        """Return the keys by key id.

        Args:
            wall: The wall clock; the keys do not depend on it.

        Returns:
            All keys.
        """
        del wall
        return self._keys

    def get(self, kid: str, /) -> VerificationKey:
        """Return the key with an id.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: With reason ``unknown_key``, if there is none.
        """
        key = self._keys.get(kid)
        if key is None:
            raise SignatureError(
                Reason.UNKNOWN_KEY, f"no key with the id {token_safe(kid)} is in the fixed key set"
            )
        return key

    async def aget(self, kid: str, /) -> VerificationKey:
        """Do as `get` does; there is nothing to wait for.

        Args:
            kid: The key id.

        Returns:
            The key.

        Raises:
            SignatureError: As `get`.
        """
        return self.get(kid)

    def warm(self) -> None:
        """Do nothing: the keys are there."""

    async def awarm(self) -> None:
        """Do nothing: the keys are there."""

    def __repr__(self) -> str:
        """Show the key ids."""
        return f"FixedKeys({sorted(self._keys)!r})"


def _none() -> FixedKeys:
    made = FixedKeys.__new__(FixedKeys)
    made._keys = MappingProxyType({})  # noqa: SLF001 - the same module
    return made


NO_KEYS: Final = _none()
"""A source without any key, under which no signature holds."""
