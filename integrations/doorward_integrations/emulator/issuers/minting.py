"""Tokens over HTTP, for the command line and for programs in other languages."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.shown import first_quoted, quoted
from doorward_integrations.emulator.control import read_control
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.interface import TOKENS_PATH
from doorward_integrations.emulator.issuers.core import TokenChanges
from doorward_integrations.emulator.state_file import StateError

__all__ = ["Mint", "Minting"]

_HOUR: Final = 3_600
_MOST_SECONDS: Final = 24 * _HOUR

_FIELDS: Final = {
    "issuer": str,
    "audience": str,
    "account": str,
    "email": str,
    "subject": str,
    "format": str,
    "lifetime": int,
    "expires": int,
    "claims": dict,
}

Mint = Callable[..., str]
"""Mints a token: takes the audience, then what else the request has, by keyword."""


class Minting:
    """Mints tokens of any issuer of the emulator, at ``POST /doorward/v1/tokens``."""

    def __init__(self, find: Callable[[str], Mint | None], *, clock: Callable[[], float]) -> None:
        """Mint for issuers.

        Args:
            find: Returns what mints the tokens of an issuer, by its name; None if there is no such issuer.
            clock: Returns the time in seconds since the epoch.
        """
        self._find: Final = find
        self._clock: Final = clock

    def routes(self) -> list[BaseRoute]:
        """Return the one route.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(TOKENS_PATH, answering_errors(self._mint), methods=["POST"])]

    async def _mint(self, request: Request) -> Response:
        asked = await read_control(request, _FIELDS)
        name, audience = asked.pop("issuer", "google"), asked.pop("audience", None)
        if audience == "" or (audience is None and name != "google"):
            raise GoogleError("INVALID_ARGUMENT", "The request needs an 'audience'")
        times = self._times(asked)
        try:
            mint = self._find(name)
            if mint is None:
                raise GoogleError("NOT_FOUND", f"There is no issuer {quoted(name)}")
            taken = {*inspect.signature(mint).parameters, *TokenChanges.__annotations__}
            if unknown := asked.keys() - taken:
                raise GoogleError(
                    "INVALID_ARGUMENT", f"Tokens of {quoted(name)} have no {first_quoted(unknown)} to choose"
                )
            # In a thread: a key may have to be made.
            token = await run_in_threadpool(mint, audience, **times, **asked)
        except StateError as error:
            raise GoogleError("INTERNAL", error.message) from None
        except ConfigurationError as error:
            raise GoogleError("INVALID_ARGUMENT", f"No such token can be minted: {error}") from None
        answer = {"token": token, "expires_at": _expires_at(token)}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def _times(self, asked: dict[str, Any]) -> TokenChanges:
        """Take the time of expiry out of a request: one that has expired was good for an hour, until then."""
        expires = asked.pop("expires", None)
        if expires is None:
            return {}
        if "lifetime" in asked:
            raise GoogleError("INVALID_ARGUMENT", "Say 'expires' or 'lifetime', not both")
        if not -_MOST_SECONDS <= expires <= _MOST_SECONDS:
            raise GoogleError(
                "INVALID_ARGUMENT",
                f"Invalid value at 'expires': write seconds from now, -{_MOST_SECONDS} to {_MOST_SECONDS}",
            )
        if expires > 0:
            return {"lifetime": expires}
        return {"lifetime": _HOUR, "issued_at": self._clock() + expires - _HOUR}


def _expires_at(token: str) -> object:
    """Return the claim ``exp`` of a token that was minted here; None if it has none."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("exp")
