"""What the emulator answers to the command line: that it is there, and tokens for any account.

The paths are the emulator's own, and no Google host has them. A request for a token needs the header
`CONTROL_HEADER`, which no web page can add without being asked first (https://fetch.spec.whatwg.org, "CORS
protocol"), and the emulator gives no page that permission.
"""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward.issuers.service_accounts import fold, is_service_account
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.metadata.server import MetadataServer

__all__ = ["CONTROL_HEADER", "HEALTH_PATH", "NAME", "TOKENS_PATH", "CommandLineEndpoint"]

CONTROL_HEADER: Final = "X-Doorward-Emulator"
"""The header that a request to change something, or to mint, must have, with the value ``1``."""

HEALTH_PATH: Final = "/healthz"
TOKENS_PATH: Final = "/_doorward/tokens"
NAME: Final = "doorward"
"""The member ``emulator`` of what `HEALTH_PATH` answers, by which the emulator is recognised."""

_FORMATS: Final = ("standard", "full")
_HOUR: Final = 3_600
_MOST_SECONDS: Final = 24 * _HOUR
_LARGEST_BODY: Final = 64 * 1024


def _bad(reason: str) -> HTTPException:
    return HTTPException(HTTPStatus.BAD_REQUEST, reason)


class CommandLineEndpoint:
    """Answers `HEALTH_PATH` and `TOKENS_PATH`."""

    def __init__(self, metadata: MetadataServer) -> None:
        """Answer for an emulator.

        Args:
            metadata: Its metadata server, with issuer and accounts.
        """
        self._metadata = metadata

    def __repr__(self) -> str:
        """Show no more than the class."""
        return "CommandLineEndpoint()"

    def routes(self) -> list[Route]:
        """Return the routes: health, and tokens for any account.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(HEALTH_PATH, self._health), Route(TOKENS_PATH, self._tokens, methods=["POST"])]

    async def _health(self, _: Request) -> Response:
        answer = {
            "status": "ok",
            "emulator": NAME,
            "pid": os.getpid(),
            "issuer": self._metadata.issuer.iss,
            "project": self._metadata.identities.project,
            "account": self._metadata.accounts.default.email,
            "accounts": [account.email for account in self._metadata.accounts],
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def _tokens(self, request: Request) -> Response:
        if request.headers.get(CONTROL_HEADER) != "1":
            raise HTTPException(HTTPStatus.FORBIDDEN, f"the header {CONTROL_HEADER}: 1 is required")
        asked = await _object(request)
        email = asked.get("account", self._metadata.accounts.default.email)
        audience = asked.get("audience", _default_audience(email))
        if not isinstance(audience, str) or not audience or not isinstance(email, str):
            raise _bad("audience and account must be non-empty strings")
        form, expires = asked.get("format", "standard"), asked.get("expires", _HOUR)
        if form not in _FORMATS:
            raise _bad("format must be standard or full")
        if type(expires) is not int or not -_MOST_SECONDS <= expires <= _MOST_SECONDS:
            raise _bad(f"expires must be whole seconds from now, from -{_MOST_SECONDS} to {_MOST_SECONDS}")
        claims = self._metadata.machine_claims(licenses=False) if form == "full" else {}
        account = self._metadata.identities.find(email)
        if account is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such account")
        if account.hosted_domain is not None:
            claims["hd"] = account.hosted_domain
        token = self._mint(audience, account, claims, expires)
        return JSONResponse({"token": token}, headers={"Cache-Control": "no-store"})

    def _mint(self, audience: str, account: Account, claims: dict[str, object], expires: int) -> str:
        issuer = self._metadata.issuer
        # One that has expired was good for an hour, until then.
        lifetime, issued_at = (expires, None) if expires > 0 else (_HOUR, issuer.clock() + expires - _HOUR)
        return issuer.mint(
            audience,
            email=account.email,
            subject=account.subject,
            claims=claims,
            lifetime=lifetime,
            issued_at=issued_at,
        )


def _default_audience(email: object) -> str | None:
    """Return the audience that ``gcloud auth print-identity-token`` has for users, who choose none."""
    of_user = isinstance(email, str) and "@" in email and not is_service_account(fold(email))
    return GCLOUD_CLIENT_ID if of_user else None


async def _object(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise _bad("the body must be a JSON object")
    return asked
