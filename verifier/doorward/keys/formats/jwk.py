"""Reading one JSON Web Key (RFC 7517, section 4), and deciding whether it becomes a verification key.

An RSA key, which is what Google signs ID tokens with, is two numbers, and ``cryptography`` takes them. PyJWT
reads the other kinds. It is imported only where there are such keys: it imports X.509 and an HTTP client, for
which a start from a snapshot should not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from doorward.base64url import Base64Error, decode
from doorward.keys.key import ALGORITHMS, NO_KEY_ID, PublicKey, VerificationKey, is_key_id, why_unfit
from doorward.shown import token_safe

__all__ = ["is_secret", "read_jwk"]

# RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1: members that only a private or a symmetric key has.
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def is_secret(jwk: Mapping[str, object]) -> bool:
    """Return whether a JWK shows private or symmetric key material.

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
        The key; or why it is not used, as a sentence for the log.
    """
    kid, kty, use, operations = (jwk.get(name) for name in ("kid", "kty", "use", "key_ops"))
    if not is_key_id(kid):
        return NO_KEY_ID
    fitting = [alg for alg in algorithms if ALGORITHMS[alg] == kty]
    if not fitting:
        return f"key type {token_safe(kty)}, where the issuer signs with {', '.join(algorithms)}"
    if use is not None and use != "sig":
        return f"meant for use {token_safe(use)}, not for signatures"
    if operations is not None and not (isinstance(operations, tuple) and "verify" in operations):
        return "not meant for the operation 'verify'"
    if (alg := jwk.get("alg", fitting[0])) not in fitting:
        return f"for algorithm {token_safe(alg)}, where the issuer signs with {', '.join(algorithms)}"
    # The algorithm comes from the issuer's list. The one that the JWK names was compared above, and does not
    # choose.
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
    import jwt  # noqa: PLC0415 - slow to import; see the docstring of this module

    # It needs only the strings, and one of its errors would repeat a nested value, however deep.
    members = {name: value for name, value in jwk.items() if isinstance(value, str)}
    try:
        key: PublicKey = jwt.PyJWK(members, algorithm=alg).key
    except jwt.PyJWTError:
        return None
    return key
