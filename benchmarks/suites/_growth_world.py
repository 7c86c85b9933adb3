"""The verifiers of ``growth``: with clocks that stand still, and keys without a network."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from harness.tokens import AUDIENCE, ISSUER, Key

from doorward import Issuer, KeyCache, RefusedError, Verifier
from doorward.keys.fetch import FetchResponse

__all__ = ["AGAIN", "NEVER", "issuer_of", "refuses_what_is_bad", "verifier_of"]

NEVER, AGAIN = "token never seen", "token seen before"


def issuer_of(key: Key, iss: str = ISSUER) -> Issuer:
    """Make an issuer that signs with one key and has a key URL of its own."""
    return Issuer(
        name=key.kid, iss_values=(iss,), key_url=f"https://keys.example.com/{key.kid}", algorithms=(key.alg,)
    )


def verifier_of(
    keys: dict[str, Key], audience: str | Sequence[str] = AUDIENCE, token_cache_size: int = 8192
) -> Verifier:
    """Make a verifier that holds its keys already.

    Args:
        keys: The key of each issuer, by its value of ``iss``.
        audience: The accepted audiences.
        token_cache_size: The number of tokens that it caches at most.
    """
    now = time.time()
    bodies = {
        issuer_of(key, iss).key_url: json.dumps({"keys": [key.jwk]}).encode() for iss, key in keys.items()
    }

    def cache(issuer: Issuer) -> KeyCache:
        body = bodies[issuer.key_url]
        return KeyCache(
            issuer.key_url,
            issuer.algorithms,
            fetch=lambda *_: FetchResponse(body, {"cache-control": "max-age=20000"}),
            clock=lambda: now,
        )

    issuers = [issuer_of(key, iss) for iss, key in keys.items()]
    made = Verifier(
        audience,
        issuers=issuers,
        token_cache_size=token_cache_size,
        clock=lambda: now,
        key_cache=cache,
    )
    made.warm()
    return made


def refuses_what_is_bad(verifier: Verifier, key: Key, iss: str = ISSUER) -> None:
    """Check that a verifier accepts a good token and refuses bad ones.

    Raises:
        AssertionError: If it accepts a bad one.
    """
    now = int(time.time())
    verifier.verify(key.token(iss=iss))
    bad = [
        Key(key.alg, key.kid).token(iss=iss),
        key.token(iss=iss, iat=now - 7200, exp=now - 3600),
        key.token(iss=iss, aud="https://none-of-them.example.com"),
        key.token(iss="https://another-issuer.example.com"),
    ]
    for token in bad:
        try:
            verifier.verify(token)
        except RefusedError:
            continue
        raise AssertionError("a bad token was accepted")
