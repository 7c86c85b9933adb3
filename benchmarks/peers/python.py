"""The Python libraries that a service may verify Google's ID tokens with, called as they document it.

A library that takes a parsed key gets one. Issuer, audience and expiry are checked by the library itself, by
settings that require them; where there is no such setting, its note says so.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec

import auth_jwks
import authlib.deprecate
import cachecontrol
import google.auth.transport.requests
import jose.jwk
import jose.jwt
import joserfc.jwk
import joserfc.jwt
import jwcrypto.jwk
import jwcrypto.jwt
import jwt
import oxyjwt
import requests
from google.oauth2 import id_token
from harness.tokens import AUDIENCE, ISSUER
from jwt.types import Options

from peers.contender import Contender, Given, Verify, same

with warnings.catch_warnings():
    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)  # it became joserfc
    import authlib.jose

__all__ = ["CONTENDERS", "NOTES"]

Fresh = Callable[[], Verify]

REQUIRED = ["exp", "iss", "aud"]

# Google's own, which looks for certificates at a fixed address: the transport replaces that address.


@dataclass
class _Body:
    """An answer, in the form of google-auth's transports."""

    data: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def google_in_memory(given: Given) -> Fresh:
    body = _Body(json.dumps(given.certificates).encode())

    def request(_url: str, **_settings: object) -> _Body:
        return body

    return same(lambda token: id_token.verify_oauth2_token(token, request, AUDIENCE))


def google_fetching(given: Given, *, cached: bool) -> Fresh:
    session = requests.session()
    over = google.auth.transport.requests.Request(cachecontrol.CacheControl(session) if cached else session)
    url = given.certificates_url

    def request(_url: str, **settings: object) -> object:
        return over(url, **settings)

    return same(lambda token: id_token.verify_oauth2_token(token, request, AUDIENCE))


# PyJWT, alone and with the libraries that use it.


def pyjwt(given: Given) -> Fresh:
    key, algorithms = jwt.PyJWK(given.key.jwk), [given.key.alg]
    options: Options = {"require": REQUIRED}
    decode = jwt.decode
    return same(
        lambda token: decode(token, key, algorithms, audience=AUDIENCE, issuer=ISSUER, options=options)
    )


def pyjwk_client(given: Given) -> Fresh:
    client, algorithms = jwt.PyJWKClient(given.jwks_url), [given.key.alg]
    options: Options = {"require": REQUIRED}

    def verify(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms, audience=AUDIENCE, issuer=ISSUER, options=options)

    return same(verify)


def auth_jwks_client(given: Given) -> Fresh:
    client = auth_jwks.JWKS(jwks_uri=given.jwks_url, issuer=ISSUER, aud=AUDIENCE)
    return same(client.verify_token)


# The JOSE libraries.


def authlib_(given: Given) -> Fresh:
    keys = authlib.jose.JsonWebKey.import_key_set({"keys": [given.key.jwk]})
    decode = authlib.jose.JsonWebToken([given.key.alg]).decode
    options = {
        "iss": {"essential": True, "value": ISSUER},
        "aud": {"essential": True, "value": AUDIENCE},
        "exp": {"essential": True},
    }
    return same(lambda token: decode(token, keys, claims_options=options).validate())


def joserfc_(given: Given) -> Fresh:
    keys = joserfc.jwk.KeySet.import_key_set({"keys": [given.key.jwk]})
    decode, algorithms = joserfc.jwt.decode, [given.key.alg]
    validate = joserfc.jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    ).validate
    return same(lambda token: validate(decode(token, keys, algorithms).claims))


def python_jose(given: Given) -> Fresh:
    key, algorithms = jose.jwk.construct(given.key.jwk), [given.key.alg]
    decode, options = jose.jwt.decode, {f"require_{claim}": True for claim in REQUIRED}
    return same(
        lambda token: decode(token, key, algorithms, audience=AUDIENCE, issuer=ISSUER, options=options)
    )


def jwcrypto_(given: Given) -> Fresh:
    keys, algorithms = jwcrypto.jwk.JWKSet.from_json(given.key.jwks), [given.key.alg]
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": None}  # None: present, and checked against the clock
    make = jwcrypto.jwt.JWT
    return same(
        lambda token: make(jwt=token, key=keys, algs=algorithms, check_claims=claims, expected_type="JWS")
    )


# Compiled.


def oxyjwt_(given: Given) -> Fresh:
    key, algorithms = oxyjwt.DecodingKey.from_jwk(given.key.jwk), [given.key.alg]
    decode = oxyjwt.decode
    # With a setting that requires an expiry, it leaves its quickest path.
    return same(lambda token: decode(token, key, algorithms, audience=AUDIENCE, issuer=ISSUER)["exp"])


def ryjwt_(given: Given) -> Fresh:
    import ryjwt  # noqa: PLC0415 - it is not available for every Python

    from_jwks, algorithms = ryjwt.PublicKey.from_jwks, [given.key.alg]
    decode = from_jwks(given.key.jwks, algorithms=algorithms, audience=AUDIENCE, issuer=ISSUER).decode
    return same(lambda token: decode(token)["exp"])


ONE_KEY = "one key, whatever the key id says"
READS_CERTIFICATE = "reads the certificate each time"
EXPIRY = "the presence of an expiry is checked around it"

CONTENDERS = (
    Contender("google-auth, certificates in memory", google_in_memory, READS_CERTIFICATE),
    Contender(
        "google-auth, CacheControl",
        lambda given: google_fetching(given, cached=True),
        READS_CERTIFICATE,
    ),
    Contender(
        "google-auth, as documented",
        lambda given: google_fetching(given, cached=False),
        "fetches each time, here from loopback, without TLS",
    ),
    Contender("PyJWT", pyjwt, ONE_KEY),
    Contender("PyJWKClient", pyjwk_client),
    Contender("auth-jwks", auth_jwks_client, "awaited, all in one event loop", awaited=True),
    Contender("Authlib", authlib_),
    Contender("joserfc", joserfc_),
    Contender("python-jose", python_jose, ONE_KEY),
    Contender("jwcrypto", jwcrypto_),
    Contender("oxyjwt", oxyjwt_, f"{ONE_KEY}; {EXPIRY}"),
    Contender("ryjwt", ryjwt_, EXPIRY, missing="" if find_spec("ryjwt") else "needs Python 3.12"),
)

NOTES = {
    ("PyJWKClient", "unknown key id"): "refuses without asking while it cools down from having asked",
    ("auth-jwks", "unknown key id"): "asks the key endpoint for each, here on loopback",
}
"""Further notes, by contender and kind of bad token."""
