"""The methods of IAM Credentials.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.shown import quoted
from doorward.strictjson import StrictJSONError, read_object, thaw
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.bodies import read_json
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.iam_credentials.asked import (
    HOUR,
    check_names,
    read_bytes,
    read_flag,
    read_seconds,
    read_text,
    read_texts,
)
from doorward_integrations.emulator.iam_credentials.callers import authenticate, authorize, find_account
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.identities.permissions import (
    GET_ACCESS_TOKEN,
    GET_OPEN_ID_TOKEN,
    SIGN_BLOB,
    SIGN_JWT,
)
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.issuers.self_signed import SelfSigners
from doorward_integrations.emulator.oauth.access_tokens import AccessTokens
from doorward_integrations.emulator.state_file import StateError

__all__ = ["IamCredentials"]

_PATH: Final = "/v1/projects/{project}/serviceAccounts/{account}"
_LATEST_EXPIRY: Final = 12 * HOUR

_Body = Mapping[str, object]


class _Method(NamedTuple):
    permission: str
    members: tuple[str, ...]
    answer: Callable[[Account, _Body], dict[str, object]]


class IamCredentials:
    """Gives tokens and signatures of a service account to those who may act as it."""

    def __init__(
        self,
        *,
        issuer: EmulatedIssuer,
        identities: Identities,
        signers: SelfSigners,
        access_tokens: AccessTokens,
    ) -> None:
        """Answer for an emulator.

        Args:
            issuer: Mints the ID tokens, and has the clock.
            identities: Which accounts there are, and who may act as whom.
            signers: Have the keys with which Google signs for the accounts.
            access_tokens: Issues the access tokens, and knows the callers by theirs.
        """
        self._issuer: Final = issuer
        self._identities: Final = identities
        self._signers: Final = signers
        self._access_tokens: Final = access_tokens

    def routes(self) -> list[BaseRoute]:
        """Return the routes, one for each method.

        Returns:
            Routes for a Starlette application.
        """
        methods = {
            "generateAccessToken": _Method(GET_ACCESS_TOKEN, ("scope", "lifetime"), self._access_token),
            "generateIdToken": _Method(
                GET_OPEN_ID_TOKEN, ("audience", "includeEmail", "useEmailAzp"), self._id_token
            ),
            "signBlob": _Method(SIGN_BLOB, ("payload",), self._signed_bytes),
            "signJwt": _Method(SIGN_JWT, ("payload",), self._signed_jwt),
        }
        return [
            Route(f"{_PATH}:{name}", answering_errors(self._handler(method)), methods=["POST"])
            for name, method in methods.items()
        ]

    def _handler(self, method: _Method) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            caller = authenticate(request, self._access_tokens)
            if request.path_params["project"] != "-":
                raise GoogleError("INVALID_ARGUMENT", "The project in the name must be the wildcard '-'")
            body = await read_json(request)
            check_names(body, "delegates", *method.members)
            account = find_account(self._identities, request.path_params["account"])
            chain = [find_account(self._identities, name) for name in read_texts(body, "delegates")]
            authorize(self._identities, caller, chain, account, method.permission)
            try:
                # In a thread: a key may have to be made, and the state to be written.
                answer = await run_in_threadpool(method.answer, account, body)
            except StateError as error:
                raise GoogleError("INTERNAL", error.message) from None
            except ConfigurationError as error:
                raise GoogleError("RESOURCE_EXHAUSTED", str(error)) from None
            return JSONResponse(answer, headers={"Cache-Control": "no-store"})

        return handle

    def _access_token(self, account: Account, body: _Body) -> dict[str, object]:
        scopes, seconds = read_texts(body, "scope"), read_seconds(body, "lifetime")
        if not scopes:
            raise GoogleError("INVALID_ARGUMENT", "Invalid value at 'scope': at least one scope is needed")
        token = self._access_tokens.issue(account, scopes, lifetime=seconds)
        expires = datetime.fromtimestamp(int(self._issuer.clock() + seconds), UTC)
        return {"accessToken": token, "expireTime": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}

    def _id_token(self, account: Account, body: _Body) -> dict[str, object]:
        audience = read_text(body, "audience")
        claims: dict[str, object] = {}
        if not read_flag(body, "includeEmail"):
            claims |= {"email": None, "email_verified": None}
        if read_flag(body, "useEmailAzp"):
            claims["azp"] = account.email
        token = self._issuer.mint_for(account, audience, claims=claims)
        return {"token": token}

    def _signed_bytes(self, account: Account, body: _Body) -> dict[str, object]:
        raw = read_bytes(body, "payload")
        key = self._signers(account.email).current
        return {"keyId": key.kid, "signedBlob": base64.b64encode(key.sign_bytes(raw)).decode("ascii")}

    def _signed_jwt(self, account: Account, body: _Body) -> dict[str, object]:
        try:
            claims = read_object(read_text(body, "payload").encode())
        except StrictJSONError as error:
            raise GoogleError("INVALID_ARGUMENT", f"Invalid value at 'payload': {error}") from None
        if "exp" in claims:
            self._check_expiry(claims["exp"])
        key = self._signers(account.email).current
        signed = key.sign(
            {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"},
            {name: thaw(value) for name, value in claims.items()},
        )
        return {"keyId": key.kid, "signedJwt": signed}

    def _check_expiry(self, exp: object) -> None:
        now = self._issuer.clock()
        if type(exp) is not int or not now <= exp <= now + _LATEST_EXPIRY:
            raise GoogleError(
                "INVALID_ARGUMENT",
                f"Invalid value at 'payload': 'exp' is {quoted(exp)}, and must be a time in seconds since "
                "the epoch that is not past and at most 12 hours away",
            )
