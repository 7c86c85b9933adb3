"""The token endpoint, where a service account gets tokens for its key file."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.shown import quoted
from doorward_integrations.emulator.bodies import read_form
from doorward_integrations.emulator.google_errors import GoogleError, OAuthError, answering_errors
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.oauth.access_tokens import AccessTokens
from doorward_integrations.emulator.oauth.account_keys import AccountKeys
from doorward_integrations.emulator.oauth.assertion import Assertion, read_assertion
from doorward_integrations.emulator.state_file import StateError

__all__ = ["JWT_BEARER", "TOKEN_SECONDS", "TokenEndpoint"]

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""The grant type of an assertion (RFC 7523, section 2.1)."""

TOKEN_SECONDS: Final = 3_599
"""How long an access token is good, in seconds."""

_PATHS: Final = ("/token", "/oauth2/v4/token", "/o/oauth2/token")


class TokenEndpoint:
    """Gives a token for an assertion: ``POST /token``, and the older paths of it."""

    def __init__(
        self,
        *,
        issuer: EmulatedIssuer,
        identities: Identities,
        keys: AccountKeys,
        access_tokens: AccessTokens,
    ) -> None:
        """Answer for an emulator.

        Args:
            issuer: Mints the ID tokens, and has the clock.
            identities: Which accounts there are.
            keys: The keys of the accounts.
            access_tokens: Issues the access tokens.
        """
        self._issuer: Final = issuer
        self._identities: Final = identities
        self._keys: Final = keys
        self._access_tokens: Final = access_tokens

    def routes(self) -> list[BaseRoute]:
        """Return the routes.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(path, answering_errors(self._token), methods=["POST"]) for path in _PATHS]

    async def _token(self, request: Request) -> Response:
        form = await read_form(request)
        kind, assertion = form.get("grant_type"), form.get("assertion")
        if kind is None:
            raise OAuthError("invalid_request", "Required parameter is missing: grant_type")
        if kind != JWT_BEARER:
            raise OAuthError(
                "unsupported_grant_type", f"Invalid grant_type: {quoted(kind)}; the emulator has {JWT_BEARER}"
            )
        if assertion is None:
            raise OAuthError("invalid_request", "Required parameter is missing: assertion")
        asked = read_assertion(
            assertion,
            find=self._identities.find,
            keys_of=self._keys.of,
            token_url=str(request.url.replace(query="", fragment="")),
            now=self._issuer.clock(),
        )
        try:
            # In a thread: a key may have to be made, and the state to be written.
            answer = await run_in_threadpool(self._answer, asked)
        except StateError as error:
            raise GoogleError("INTERNAL", error.message) from None
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})  # RFC 6749, section 5.1

    def _answer(self, asked: Assertion) -> dict[str, object]:
        account, audience = asked.account, asked.target_audience
        if audience is not None:
            return {"id_token": self._issuer.mint_for(account, audience)}
        token = self._access_tokens.issue(account, asked.scopes, lifetime=TOKEN_SECONDS)
        return {"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"}
