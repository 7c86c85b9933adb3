"""One JSON Web Key, read with suspicion (RFC 7517, section 4).

PyJWT turns a JWK into a key of ``cryptography`` and binds it to its algorithm; what may become a key at all
is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import jwt

from doorward.errors import clip
from doorward.keys.key import ALGORITHMS, NO_KEY_ID, VerificationKey, is_key_id, why_unfit

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
    try:
        # The algorithm is forced: what the JWK says of it was compared before, and never chooses.
        # Only strings matter to it, and an error of its own would spell out a nested value, however deep.
        members = {name: value for name, value in jwk.items() if isinstance(value, str)}
        key = jwt.PyJWK(members, algorithm=str(alg)).key
    except jwt.PyJWTError:
        return f"its members do not make a key of type {kty}"
    return why_unfit(key, str(alg)) or VerificationKey(str(kid), str(alg), key)
