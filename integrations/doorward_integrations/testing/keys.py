"""The keys of the issuer in memory: they sign any header over any payload, with RS256 or ES256.

A key is made once in a process and serves every test, since making one takes up to a tenth of a second.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from doorward.forks import renew_in_children

__all__ = ["Part", "SigningKey", "b64", "key_of", "segment"]

Part = Mapping[str, object] | bytes
"""The header or the payload of a token: as an object, or as the bytes of one."""

_P256_BYTES: Final = 32
_KID_LENGTH: Final = 40
_TOKENS_KEPT: Final = 1024


def b64(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, section 2).

    Args:
        raw: The bytes.
    """
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int, length: int | None = None) -> str:
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8))


def segment(part: Part) -> str:
    """Return one segment of a token.

    Args:
        part: The header or the payload.
    """
    return b64(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())


class SigningKey:
    """A private key of the issuer in memory.

    Attributes:
        alg: ``RS256`` or ``ES256``.
        kid: Its id, 40 hexadecimal digits; follows from the public key.
        pem: The public key in PEM, as bytes.
    """

    def __init__(self, alg: str = "RS256") -> None:
        """Make a key.

        Args:
            alg: The algorithm that it signs with.
        """
        self.alg: Final = alg
        self._private: Final = (
            rsa.generate_private_key(65_537, 2_048)
            if alg == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        public = self._private.public_key()
        self.pem: Final = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.kid: Final = hashlib.sha256(self.pem).hexdigest()[:_KID_LENGTH]
        # RS256 makes the same signature each time: what was signed before need not be signed again.
        self._signed = functools.lru_cache(_TOKENS_KEPT)(self._sign)

    def __repr__(self) -> str:
        """Show algorithm and id."""
        return f"SigningKey({self.alg!r}, kid={self.kid!r})"

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JWK (RFC 7517)."""
        jwk = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        public = self._private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            rsa_numbers = public.public_numbers()
            return jwk | {"kty": "RSA", "n": _number(rsa_numbers.n), "e": _number(rsa_numbers.e)}
        numbers = public.public_numbers()
        point = {"x": _number(numbers.x, _P256_BYTES), "y": _number(numbers.y, _P256_BYTES)}
        return jwk | {"kty": "EC", "crv": "P-256"} | point

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

    def _sign(self, signed: bytes) -> bytes:
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(signed, padding.PKCS1v15(), SHA256())
        r, s = decode_dss_signature(self._private.sign(signed, ec.ECDSA(SHA256())))
        return r.to_bytes(_P256_BYTES) + s.to_bytes(_P256_BYTES)


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
