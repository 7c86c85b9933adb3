"""Hostile requests whose trick is in the headers around the token, or in those that stand for one."""

from __future__ import annotations

import base64
import json
from typing import Final

from doorward.door.credentials import SERVERLESS_AUTHORIZATION
from doorward_integrations.testing.material import Headers, Material, Recipe
from doorward_integrations.testing.unsigned import REMOVED, unsigned, without_signature

__all__ = ["BY_HEADERS"]

_SERVERLESS: Final = SERVERLESS_AUTHORIZATION.decode()
_IDENTITY: Final = (
    *("x-forwarded-user", "x-forwarded-email", "x-forwarded-preferred-username"),
    *("x-auth-request-user", "x-auth-request-email", "remote-user"),
)
"""The headers in which oauth2-proxy and other proxies in front name the user."""

_VERIFY: Final = "Verify the token of every header that is read, as that of Authorization."
_PROXY: Final = (
    "Believe an identity from a verified token only. Every client can send this header, unless a proxy that "
    "removes it is the only way in."
)
_ONE: Final = "Refuse a request with two credentials: what is checked and what is used may differ."


def _forwarded(made: Material) -> Headers:
    return [(name, made.email) for name in _IDENTITY]


def _userinfo(made: Material) -> Headers:
    info = base64.urlsafe_b64encode(json.dumps(made.claims()).encode()).decode()
    return [("x-endpoint-api-userinfo", info), ("x-apigateway-api-userinfo", info)]


def _platform(made: Material) -> Headers:
    said = (("email", made.email), ("id", "1" * 21))
    return [(f"x-goog-authenticated-user-{name}", f"accounts.google.com:{value}") for name, value in said]


def _with_underscores(headers: Headers) -> Headers:
    return [(name.replace("-", "_"), value) for name, value in headers]


BY_HEADERS: Final = (
    Recipe("no-credential", "A request without any credential.", "Refuse what carries none.", lambda _: []),
    Recipe(
        "basic",
        "A name and a password in place of a token.",
        "Accept the scheme Bearer only.",
        lambda made: [(made.header, "Basic " + base64.b64encode(b"admin:admin").decode())],
    ),
    Recipe(
        "two-tokens",
        "Two tokens in one header, a good one and a forged one.",
        _ONE,
        lambda made: f"{made.good}, {made.scheme}{made.forged}",
    ),
    Recipe(
        "doubled-header",
        "Two credential headers, a good one and a forged one.",
        _ONE,
        lambda made: [*made.sent(made.good), *made.sent(made.forged)],
    ),
    Recipe(
        "serverless-forged",
        "A forged token in X-Serverless-Authorization.",
        _VERIFY,
        lambda made: [(_SERVERLESS, f"Bearer {made.forged}")],
    ),
    Recipe(
        "serverless-removed",
        "A token without signature in X-Serverless-Authorization, as Cloud Run hands it to a service.",
        _PROXY,
        lambda made: [(_SERVERLESS, f"Bearer {without_signature(made, REMOVED)}")],
    ),
    Recipe(
        "serverless-underscore",
        "A forged token in X_Serverless_Authorization, which WSGI and some proxies read as dashes.",
        _VERIFY,
        lambda made: _with_underscores([(_SERVERLESS, f"Bearer {made.forged}")]),
    ),
    Recipe(
        "forwarded-authorization",
        "A forged token in X-Forwarded-Authorization.",
        _VERIFY,
        lambda made: [("x-forwarded-authorization", f"Bearer {made.forged}")],
    ),
    Recipe(
        "iap-assertion-unsigned",
        "An unsigned assertion in the header of Identity-Aware Proxy.",
        _VERIFY,
        lambda made: [("x-goog-iap-jwt-assertion", unsigned(made, "none"))],
    ),
    Recipe(
        "iap-identity",
        "The identity headers of Identity-Aware Proxy, without its assertion.",
        _PROXY,
        _platform,
    ),
    Recipe(
        "iap-identity-underscore",
        "The same with underscores, which WSGI and some proxies read as dashes.",
        _PROXY,
        lambda made: _with_underscores(_platform(made)),
    ),
    Recipe(
        "forwarded-identity",
        "The identity headers that proxies in front set, such as X-Forwarded-Email.",
        _PROXY,
        _forwarded,
    ),
    Recipe(
        "gateway-userinfo",
        "The claims in the headers of API Gateway and Cloud Endpoints.",
        _PROXY,
        _userinfo,
    ),
)
"""All of them."""
