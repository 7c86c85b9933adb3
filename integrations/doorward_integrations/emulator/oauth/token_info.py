"""What is known of a token: the tokeninfo endpoint, for ID tokens and access tokens of this emulator.

https://developers.google.com/identity/sign-in/web/backend-auth#calling-the-tokeninfo-endpoint describes it
for ID tokens. The older path, ``/oauth2/v1/tokeninfo``, has other names for the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import TokenError
from doorward.issuers.claim_rule import numeric_date
from doorward.keys.fixed import FixedKeys
from doorward.strictjson import thaw
from doorward.tokens.accepted_issuer import check_signature
from doorward.tokens.jws import MAX_TOKEN_BYTES, read_header, split
from doorward_integrations.emulator.bodies import read_form
from doorward_integrations.emulator.google_errors import OAuthError, answering_errors
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.oauth.access_tokens import AccessTokens, Grant

__all__ = ["TokenInfo"]

_PATHS: Final = ("/tokeninfo", "/oauth2/v3/tokeninfo", "/oauth2/v2/tokeninfo")
_FIRST_PATH: Final = "/oauth2/v1/tokeninfo"
_KINDS: Final = ("id_token", "access_token")
_SCOPES: Final = "https://www.googleapis.com/auth/userinfo."
_EMAIL_SCOPES: Final = frozenset({"email", f"{_SCOPES}email"})
_IDENTITY_SCOPES: Final = _EMAIL_SCOPES | {"openid", "profile", f"{_SCOPES}profile"}

_FIRST_NAMES: Final = {
    "iss": "issuer",
    "azp": "issued_to",
    "aud": "audience",
    "sub": "user_id",
    "iat": "issued_at",
    "email": "email",
    "email_verified": "email_verified",
    "scope": "scope",
    "access_type": "access_type",
}
"""The names of the first version; it has no others."""


class TokenInfo:
    """Answers what a token says, if the emulator has issued it and it has not expired."""

    def __init__(self, issuer: EmulatedIssuer, access_tokens: AccessTokens) -> None:
        """Answer for an emulator.

        Args:
            issuer: Mints the ID tokens, and has the clock.
            access_tokens: Knows the access tokens.
        """
        self._issuer: Final = issuer
        self._access_tokens: Final = access_tokens

    def routes(self) -> list[BaseRoute]:
        """Return the routes.

        Returns:
            Routes for a Starlette application.
        """
        handler = answering_errors(self._info)
        return [Route(path, handler, methods=["GET", "POST"]) for path in (*_PATHS, _FIRST_PATH)]

    async def _info(self, request: Request) -> Response:
        kind, token = await _asked(request)
        # In a thread: the first key may have to be made.
        known = await run_in_threadpool(self._of_id_token if kind == "id_token" else self._of_grant, token)
        seconds = int(numeric_date(known, "exp") - self._issuer.clock())
        if request.url.path == _FIRST_PATH:
            content = _first_form(known, seconds)
        else:
            content = {name: _text(value) for name, value in known.items()}
            if kind == "access_token":
                content["expires_in"] = str(seconds)
        return JSONResponse(content, headers={"Cache-Control": "no-store"})

    def _of_id_token(self, text: str) -> dict[str, object]:
        now = self._issuer.clock()
        if len(text) > MAX_TOKEN_BYTES:
            raise _unknown()
        try:
            token = split(text)
            header = read_header(token.header)
            keys = FixedKeys.from_dict(self._issuer.jwks(), (self._issuer.algorithm,))
            check_signature(token, header, keys.get(header.kid))
            claims = token.read_claims()
            current = numeric_date(claims, "iat") <= now < numeric_date(claims, "exp")
        except TokenError:
            raise _unknown() from None
        if not current or claims.get("iss") != self._issuer.iss:
            raise _unknown()
        return {**claims, "alg": header.alg, "kid": header.kid, "typ": "JWT"}

    def _of_grant(self, text: str) -> dict[str, object]:
        grant = self._access_tokens.find(text)
        if grant is None:
            raise _unknown()
        return _described(grant)


async def _asked(request: Request) -> tuple[str, str]:
    """Read the one token that a request asks about."""
    sent = [*request.query_params.multi_items()]
    if request.method == "POST" and request.headers.get("content-length", "0") != "0":
        sent += (await read_form(request)).items()
    found = [(name, value) for name, value in sent if name in _KINDS and value]
    if len(found) != 1:
        raise OAuthError("invalid_request", "either access_token or id_token is required, and only once")
    return found[0]


def _described(grant: Grant) -> dict[str, object]:
    account, scopes = grant.account, frozenset(grant.scopes)
    client = account.claims()["azp"]
    known: dict[str, object] = {"azp": client, "aud": client}
    if scopes & _IDENTITY_SCOPES:
        known["sub"] = account.subject
    known |= {"scope": " ".join(grant.scopes), "exp": int(grant.expires_at)}
    if scopes & _EMAIL_SCOPES:
        known |= {"email": account.email, "email_verified": True}
    return known | {"access_type": "online"}


def _first_form(known: Mapping[str, object], seconds: int) -> dict[str, object]:
    content = {_FIRST_NAMES[name]: thaw(value) for name, value in known.items() if name in _FIRST_NAMES}
    if "scope" in known and "email" in known:
        content["verified_email"] = content.pop("email_verified")
    return content | {"expires_in": seconds}


def _text(value: object) -> object:
    """Write a value as text, as the endpoint does with numbers and with true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else thaw(value)


def _unknown() -> OAuthError:
    return OAuthError("invalid_token", "Invalid Value")
