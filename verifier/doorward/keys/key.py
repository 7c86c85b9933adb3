"""A public key that verifies signatures, and which public keys may do so."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from doorward.errors import ConfigurationError
from doorward.shown import token_safe

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

There is no ``none`` and no HMAC: what is not in the code cannot be reached by a crafted header.
"""

# Below 2048 bits a key is weak (RFC 7518, section 3.3); above 8192 it is too much work for each token.
_RSA_BITS: Final = range(2048, 8193)
# Below: FIPS 186-5, appendix A.1.1; above: too much work for each token.
_RSA_EXPONENT: Final = range(65537, 2**32)
_KID_LENGTH: Final = 256
_P256_BYTES: Final = 32

_PKCS1V15: Final = padding.PKCS1v15()
# What is signed comes hashed: hashlib makes a digest in half the time that a signature call takes for it.
_SHA256: Final = Prehashed(SHA256())
_ECDSA_SHA256: Final = ec.ECDSA(_SHA256)

Check = Callable[[bytes, bytes], bool]


def check_algorithms(algorithms: tuple[str, ...], whose: str = "") -> tuple[str, ...]:
    """Refuse a setting that names no algorithm, or one that is not in `ALGORITHMS`.

    Args:
        algorithms: What an issuer signs with.
        whose: The start of the error, which names the owner of the setting; empty if that is clear.

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
        # RFC 7518, section 3.4: R and S as 32 bytes each, not the DER that OpenSSL takes.
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
        shown: The same in quotes, short enough to be repeated in an error.
        alg: The one algorithm that this key verifies.
        verify: Takes the raw bytes of a signature (RFC 7518, sections 3.3 and 3.4) and the SHA-256 of what is
            signed (RFC 7515, section 5.2: the two first segments with their dot), and gives True only if this
            key made that signature.
    """

    __slots__ = ("_identity", "alg", "kid", "shown", "verify")

    def __init__(self, kid: str, alg: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> None:
        """Bind a key.

        Args:
            kid: The key id, 1 to 256 characters.
            alg: ``RS256`` for an RSA key, ``ES256`` for a P-256 key.
            key: The public key.

        Raises:
            ConfigurationError: If the key must not verify signatures of that algorithm; see `why_unfit`.
        """
        why = why_unfit(key, alg) if is_key_id(kid) else NO_KEY_ID
        if why is not None:
            raise ConfigurationError(f"the key {token_safe(kid)} cannot be used: {why}")
        self.kid: Final[str] = kid
        self.shown: Final[str] = token_safe(kid)
        self.alg: Final[str] = alg
        self._identity: Final = (kid, alg, key.public_numbers())
        self.verify: Final[Check] = _rs256(key) if isinstance(key, rsa.RSAPublicKey) else _es256(key)

    def __eq__(self, other: object) -> bool:
        """Compare key id, algorithm and public numbers."""
        return self._identity == other._identity if isinstance(other, VerificationKey) else NotImplemented

    def __hash__(self) -> int:
        """Hash what `__eq__` compares."""
        return hash(self._identity)

    def __repr__(self) -> str:
        """Show key id and algorithm; the numbers of the key would be long, and of no use to a reader."""
        return f"VerificationKey(kid={self.kid!r}, alg={self.alg!r})"


NO_KEY_ID: Final = f"no key id of 1 to {_KID_LENGTH} characters"
"""Why a key is not used whose key id `is_key_id` refuses."""


def is_key_id(kid: object) -> bool:
    """Return whether a value can be a key id: text of 1 to 256 characters.

    Args:
        kid: The value.
    """
    return type(kid) is str and 0 < len(kid) <= _KID_LENGTH


def why_unfit(key: object, alg: str) -> str | None:
    """Return why a key must not verify signatures of an algorithm.

    Args:
        key: Any key of ``cryptography``.
        alg: The name of an algorithm.

    Returns:
        A sentence for the log; None if the key may verify them.
    """
    if isinstance(key, rsa.RSAPublicKey) and ALGORITHMS.get(alg) == "RSA":
        if key.key_size not in _RSA_BITS:
            return f"an RSA key of {key.key_size} bits; from {_RSA_BITS[0]} to {_RSA_BITS[-1]} are accepted"
        if (exponent := key.public_numbers().e) not in _RSA_EXPONENT or exponent % 2 == 0:
            return f"an RSA exponent of {token_safe(str(exponent))}"
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and ALGORITHMS.get(alg) == "EC":
        return None if isinstance(key.curve, ec.SECP256R1) else "not on the curve P-256"
    return f"not a public key for {alg}"
