"""One JSON Web Key, read with suspicion (RFC 7517, section 4).

What may become a key at all is decided here. An RSA key, which is what Google signs ID tokens with, is two
numbers, and ``cryptography`` takes them; PyJWT reads the other kinds. It is imported where there are such: it
brings X.509 and an HTTP client along, which no start from a snapshot should wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from doorward.base64url import Base64Error, decode
from doorward.errors import clip
from doorward.keys.key import ALGORITHMS, NO_KEY_ID, PublicKey, VerificationKey, is_key_id, why_unfit

__all__ = ["is_secret", "read_jwk"]

# RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1: members that only a private or a symmetric key has.
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def is_secret(jwk: Mapping[str, object]) -> bool:
    """Tell whether a JWK shows private or symmetric key material.

    Args:
        jwk: One member of a JWK Set.
    """
    return jwk.get("kty") == "oct" or not _SECRET_MEMBERS.isdisjoint(jwk)


def read_jwk(  # noqa: PLR0911 - one return for each reason
    jwk: Mapping[str, object], algorithms: tuple[str, ...]
) -> VerificationKey | str:
    """Read one JWK.

    Args:
        jwk: One member of a JWK Set, arrays as tuples.
        algorithms: What the issuer signs with, each a key of `ALGORITHMS`.

    Returns:
        The key; or a sentence that says why it is not used.
    """
    kid, kty, use, operations = (jwk.get(name) for name in ("kid", "kty", "use", "key_ops"))
    if not is_key_id(kid):
        return NO_KEY_ID
    fitting = [alg for alg in algorithms if ALGORITHMS[alg] == kty]
    if not fitting:
        return f"key type {clip(kty)}, where the issuer signs with {', '.join(algorithms)}"
    if use is not None and use != "sig":
        return f"meant for use {clip(use)}, not for signatures"
    if operations is not None and not (isinstance(operations, tuple) and "verify" in operations):
        return "not meant for the operation 'verify'"
    if (alg := jwk.get("alg", fitting[0])) not in fitting:
        return f"for algorithm {clip(alg)}, where the issuer signs with {', '.join(algorithms)}"
    # The algorithm is forced: what the JWK says of it was compared before, and never chooses.
    key = _rsa(jwk) if kty == "RSA" else _other(jwk, str(alg))
    if key is None:
        return f"its members do not make a key of type {kty}"
    return why_unfit(key, str(alg)) or VerificationKey(str(kid), str(alg), key)


def _rsa(jwk: Mapping[str, object]) -> PublicKey | None:
    """Read modulus and exponent (RFC 7518, section 6.3.1)."""
    n, e = jwk.get("n"), jwk.get("e")
    if not isinstance(n, str) or not isinstance(e, str):
        return None
    try:
        modulus, exponent = (int.from_bytes(decode(text.encode("ascii"))) for text in (n, e))
        return RSAPublicNumbers(exponent, modulus).public_key()
    except (Base64Error, ValueError, OverflowError):
        return None


def _other(jwk: Mapping[str, object], alg: str) -> PublicKey | None:
    import jwt  # noqa: PLC0415 - see the head of this module

    # Only strings matter to it, and an error of its own would spell out a nested value, however deep.
    members = {name: value for name, value in jwk.items() if isinstance(value, str)}
    try:
        key: PublicKey = jwt.PyJWK(members, algorithm=alg).key
    except jwt.PyJWTError:
        return None
    return key
