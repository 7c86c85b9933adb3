"""The keys of the issuer in memory: they sign any header over any payload, with RS256 or ES256.

A key is made once in a process and serves every test, since making one takes up to a tenth of a second.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Mapping
from typing import Final

from doorward.forks import renew_in_children
from doorward_integrations.emulator.keys.signing_key import SigningKey as EmulatedKey
from doorward_integrations.emulator.keys.signing_key import b64

__all__ = ["Part", "SigningKey", "b64", "key_of", "segment"]

Part = Mapping[str, object] | bytes
"""The header or the payload of a token: as an object, or as the bytes of one."""

_TOKENS_KEPT: Final = 1024


def segment(part: Part) -> str:
    """Return one segment of a token.

    Args:
        part: The header or the payload.
    """
    return b64(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())


class SigningKey:
    """A private key of the issuer in memory: one of the emulator's, which signs any bytes.

    Attributes:
        alg: ``RS256`` or ``ES256``.
        kid: Its id; follows from the public key.
        pem: The public key in PEM, as bytes.
    """

    def __init__(self, alg: str = "RS256") -> None:
        """Make a key.

        Args:
            alg: The algorithm that it signs with.
        """
        self._key: Final = EmulatedKey() if alg == "RS256" else EmulatedKey.es256()
        self.alg: Final = self._key.algorithm
        self.kid: Final = self._key.kid
        self.pem: Final = self._key.public_pem.encode()
        # RS256 makes the same signature each time: what was signed before need not be signed again.
        self._signed = functools.lru_cache(_TOKENS_KEPT)(self._key.sign_bytes)

    def __repr__(self) -> str:
        """Show algorithm and id."""
        return f"SigningKey({self.alg!r}, kid={self.kid!r})"

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JWK (RFC 7517)."""
        return self._key.jwk()

    def sign(self, header: Part, payload: Part) -> str:
        """Sign a token; header and payload are not checked.

        Args:
            header: The JOSE header.
            payload: The payload.

        Returns:
            A compact JWS.
        """
        signed = f"{segment(header)}.{segment(payload)}"
        return f"{signed}.{b64(self._signed(signed.encode()))}"


class _Keys:
    """The keys of this process. Of two threads that come first, both get one key: hence the lock."""

    def __init__(self) -> None:
        self.made: Final[dict[tuple[str, str, int], SigningKey]] = {}
        self.renew()
        renew_in_children(self, _Keys.renew)

    def renew(self) -> None:
        self.lock = threading.Lock()


_keys: Final = _Keys()


def key_of(owner: str, alg: str, generation: int) -> SigningKey:
    """Return a key of this process, which is made when it is first asked for.

    Args:
        owner: Whose it is: a value of ``iss``, or the name of one who forges.
        alg: Its algorithm.
        generation: Its number among the keys of that owner.
    """
    which = (owner, alg, generation)
    with _keys.lock:
        if (key := _keys.made.get(which)) is None:
            key = _keys.made[which] = SigningKey(alg)
        return key
