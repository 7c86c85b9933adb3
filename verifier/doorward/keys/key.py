"""A public key that verifies signatures, and which public keys may."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from doorward.errors import ConfigurationError, clip

__all__ = [
    "ALGORITHMS",
    "NO_KEY_ID",
    "PublicKey",
    "VerificationKey",
    "check_algorithms",
    "is_key_id",
    "why_unfit",
]

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

ALGORITHMS: Final = MappingProxyType({"RS256": "RSA", "ES256": "EC"})
"""The algorithms that exist here, and the key type each needs (RFC 7518, section 3.1).

No ``none`` and no HMAC: what is not in the code cannot be reached by a crafted header.
"""

_RSA_BITS: Final = range(2048, 8193)  # under it: weak (RFC 7518, section 3.3); over it: a way to burn our CPU
_RSA_EXPONENT: Final = range(65537, 2**32)  # FIPS 186-5, appendix A.1.1, from below; again our CPU from above
_KID_LENGTH: Final = 256
_P256_BYTES: Final = 32

_PKCS1V15: Final = padding.PKCS1v15()
# What is signed comes hashed: hashlib makes a digest in half the time in which a signature call sets one up.
_SHA256: Final = Prehashed(SHA256())
_ECDSA_SHA256: Final = ec.ECDSA(_SHA256)

Check = Callable[[bytes, bytes], bool]


def check_algorithms(algorithms: tuple[str, ...], whose: str = "") -> tuple[str, ...]:
    """Refuse a setting that names no algorithm, or one that does not exist here.

    Args:
        algorithms: What an issuer signs with.
        whose: Whose setting it is, for the error; empty where that is clear.

    Returns:
        The same tuple.

    Raises:
        ConfigurationError: If it is not a tuple out of `ALGORITHMS`, or is empty.
    """
    if isinstance(algorithms, str) or not algorithms or not set(algorithms) <= ALGORITHMS.keys():
        raise ConfigurationError(
            f"{whose}algorithms must be a tuple out of {', '.join(ALGORITHMS)}; got {algorithms!r}"
        )
    return algorithms


def _rs256(key: rsa.RSAPublicKey) -> Check:
    verify = key.verify

    def check(signature: bytes, signed: bytes) -> bool:
        try:
            verify(signature, signed, _PKCS1V15, _SHA256)
        except InvalidSignature:
            return False
        return True

    return check


def _es256(key: ec.EllipticCurvePublicKey) -> Check:
    verify = key.verify

    def check(signature: bytes, signed: bytes) -> bool:
        # RFC 7518, section 3.4: R and S as 32 bytes each, not the DER that OpenSSL wants.
        if len(signature) != 2 * _P256_BYTES:
            return False
        r, s = int.from_bytes(signature[:_P256_BYTES]), int.from_bytes(signature[_P256_BYTES:])
        try:
            verify(encode_dss_signature(r, s), signed, _ECDSA_SHA256)
        except InvalidSignature:
            return False
        return True

    return check


class VerificationKey:
    """A public key bound to one algorithm and one key id.

    Attributes:
        kid: The key id, as the issuer publishes it.
        shown: The same, as an error may repeat it.
        alg: The one algorithm that this key verifies.
        verify: Takes the raw bytes of a signature (RFC 7518, sections 3.3 and 3.4) and the SHA-256 of what is
            signed (RFC 7515, section 5.2: the two first segments with their dot), and gives True only if this
            key made that signature.
    """

    __slots__ = ("_identity", "alg", "kid", "shown", "verify")

    def __init__(self, kid: str, alg: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> None:
        """Bind a key.

        Args:
            kid: The key id.
            alg: ``RS256`` for an RSA key, ``ES256`` for a P-256 key.
            key: The public key.
        """
        self.kid: Final = kid
        self.shown: Final = clip(kid)
        self.alg: Final = alg
        self._identity: Final = (kid, alg, key.public_numbers())
        self.verify: Final[Check] = _rs256(key) if isinstance(key, rsa.RSAPublicKey) else _es256(key)

    def __eq__(self, other: object) -> bool:
        """Compare key id, algorithm and public numbers."""
        return self._identity == other._identity if isinstance(other, VerificationKey) else NotImplemented

    def __hash__(self) -> int:
        """Hash as compared."""
        return hash(self._identity)

    def __repr__(self) -> str:
        """Show what it is; a public key holds no secret, but its numbers say nothing to a reader."""
        return f"VerificationKey(kid={self.kid!r}, alg={self.alg!r})"


NO_KEY_ID: Final = f"no key id of 1 to {_KID_LENGTH} characters"
"""Why a key that `is_key_id` turns down is not used."""


def is_key_id(kid: object) -> bool:
    """Tell whether a key can be found by that id: text of a sensible length.

    Args:
        kid: What stands in the place of a key id.
    """
    return type(kid) is str and 0 < len(kid) <= _KID_LENGTH


def why_unfit(key: object, alg: str) -> str | None:
    """Say why a key must not verify signatures of an algorithm, or nothing if it may.

    Args:
        key: Any key of ``cryptography``.
        alg: One of `ALGORITHMS`.

    Returns:
        A sentence for the log, or None.
    """
    if isinstance(key, rsa.RSAPublicKey) and ALGORITHMS[alg] == "RSA":
        if key.key_size not in _RSA_BITS:
            return f"an RSA key of {key.key_size} bits; from {_RSA_BITS[0]} to {_RSA_BITS[-1]} are accepted"
        if (exponent := key.public_numbers().e) not in _RSA_EXPONENT or exponent % 2 == 0:
            return f"an RSA exponent of {clip(str(exponent))}"
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and ALGORITHMS[alg] == "EC":
        return None if isinstance(key.curve, ec.SECP256R1) else "not on the curve P-256"
    return f"not a public key for {alg}"
