"""What the parts of ``growth`` verify with: clocks that stand still, and keys without a network."""

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
    """Make an issuer that signs with one key; its keys stand under a URL of its own."""
    return Issuer(
        name=key.kid, iss_values=(iss,), key_url=f"https://keys.example.com/{key.kid}", algorithms=(key.alg,)
    )


def verifier_of(
    keys: dict[str, Key], audience: str | Sequence[str] = AUDIENCE, remember: int = 8192
) -> Verifier:
    """Make a verifier that has its keys already.

    Args:
        keys: By issuer.
        audience: What it accepts.
        remember: How many tokens it keeps.
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
    made = Verifier(audience, issuers=issuers, token_cache_size=remember, clock=lambda: now, key_cache=cache)
    for one in made.key_caches:
        one.warm()
    return made


def refuses_what_is_bad(verifier: Verifier, key: Key, iss: str = ISSUER) -> None:
    """See to it that it does the work: good passes, bad does not."""
    now = int(time.time())
    verifier.verify(key.token(iss=iss))
    stranger = Key(key.alg, key.kid)
    bad = [
        stranger.token(iss=iss),
        key.token(iss=iss, iat=now - 7200, exp=now - 3600),
        key.token(iss=iss, aud="https://none-of-them.example.com"),
        key.token(iss="https://another-issuer.example.com"),
    ]
    for token in bad:
        try:
            verifier.verify(token)
        except RefusedError:
            continue
        raise AssertionError("a bad token was let through")
