"""The contenders of ``keys``, and the clock by which their keys age.

No hour passes: the contenders' clocks are moved. doorward takes a clock as an argument. For the others the
name ``time``, in their modules that compute the age of keys, is replaced by an object that is the standard
module but for an offset. The clock by which they judge the ``exp`` of a token stays as it is, and so does the
clock of doorward's verifier: tokens are made for the real time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import auth_jwks.base
import cachecontrol.controller
import google.auth.transport.requests
import google.oauth2.id_token
import httpx  # noqa: F401 - imported before anything is measured; doorward would import it at its first fetch
import jwt.api_jwk
import jwt.jwk_set_cache
import jwt.jwks_client
import requests
from harness.tokens import AUDIENCE, ISSUER

from doorward import Issuer, KeyCache, Verifier
from suites._keys_endpoint import CONTEXT, MAX_AGE

__all__ = ["CLOCK", "CONTENDERS", "DAY", "Contender"]

DAY = 86_400.0


class Moved:
    """The standard module `time`, but for an offset that is shared with the process of the endpoint."""

    def __init__(self) -> None:
        self.shared = CONTEXT.RawValue("d", 0.0)

    @property
    def offset(self) -> float:
        return float(self.shared.value)

    def move(self, seconds: float) -> None:
        self.shared.value += seconds

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def time(self) -> float:
        return time.time() + self.offset

    def monotonic(self) -> float:
        return time.monotonic() + self.offset


CLOCK = Moved()
for module in (jwt.api_jwk, jwt.jwk_set_cache, jwt.jwks_client, cachecontrol.controller, auth_jwks.base):
    assert vars(module)["time"] is time, f"{module.__name__} no longer reads the time through the name time"
    vars(module)["time"] = CLOCK


@dataclass
class Contender:
    """One key cache, with the verification around it.

    Attributes:
        check: Verifies one token; raises if it refuses.
        fresh_for: Seconds after which it considers its keys too old.
        busy: Returns whether a fetch is in progress that no caller waits for.
        close: Releases its resources.
    """

    check: Callable[[str], object]
    fresh_for: float
    busy: Callable[[], bool] = lambda: False
    close: Callable[[], object] = lambda: None

    def settle(self) -> None:
        while self.busy():
            time.sleep(0.001)


def doorward_cache(url: str) -> Contender:
    issuer = Issuer(name="bench", iss_values=(ISSUER,), key_url=url)
    cache = KeyCache(url, clock=CLOCK.time, monotonic=CLOCK.monotonic)
    verifier = Verifier(AUDIENCE, issuers=[issuer], key_cache=lambda _: cache, token_cache_size=0)
    return Contender(verifier.verify, MAX_AGE, busy=lambda: cache.refreshing)


def pyjwt_client(url: str, *, lifespan: float = 300.0, cache_keys: bool = False) -> Contender:
    client = jwt.PyJWKClient(url, lifespan=lifespan, cache_keys=cache_keys)

    def check(token: str) -> None:
        key = client.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)

    return Contender(check, lifespan)


def google_auth(url: str, *, cached: bool) -> Contender:
    session = requests.session()
    request = google.auth.transport.requests.Request(
        session=cachecontrol.CacheControl(session) if cached else session
    )

    def check(token: str) -> None:
        google.oauth2.id_token.verify_token(token, request, AUDIENCE, certs_url=url)

    return Contender(check, MAX_AGE if cached else 0.0, close=session.close)


def auth_jwks_client(url: str) -> Contender:
    """Verify in an event loop of its own; the wait of a caller is that of its task."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> auth_jwks.JWKS:
        return auth_jwks.JWKS(jwks_uri=url, issuer=ISSUER, aud=AUDIENCE)

    jwks = asyncio.run_coroutine_threadsafe(make(), loop).result()

    def check(token: str) -> None:
        asyncio.run_coroutine_threadsafe(jwks.verify_token(token), loop).result()

    def close() -> None:
        asyncio.run_coroutine_threadsafe(jwks.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    return Contender(check, 900.0, close=close)


CONTENDERS: dict[str, Callable[[str], Contender]] = {
    "doorward": doorward_cache,
    "PyJWKClient": pyjwt_client,
    "PyJWKClient, lifespan=86400": partial(pyjwt_client, lifespan=DAY),
    "PyJWKClient, cache_keys=True": partial(pyjwt_client, cache_keys=True),
    "google-auth": partial(google_auth, cached=False),
    "google-auth, CacheControl": partial(google_auth, cached=True),
    "auth-jwks": auth_jwks_client,
}
