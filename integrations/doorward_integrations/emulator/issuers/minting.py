"""Tokens over HTTP, for the command line and for programs in other languages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.shown import first_quoted, quoted
from doorward_integrations.emulator.control import read_control
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.issuers.core import TokenChanges
from doorward_integrations.emulator.state_file import StateError

__all__ = ["TOKENS_PATH", "Mint", "Minting"]

TOKENS_PATH: Final = "/doorward/v1/tokens"
"""Where tokens are minted."""

_FIELDS: Final = {
    "issuer": str,
    "audience": str,
    "email": str,
    "subject": str,
    "lifetime": int,
    "claims": dict,
}

Mint = Callable[..., str]
"""Mints a token: takes the audience, then what else the request has, by keyword."""


class Minting:
    """Mints tokens of any issuer of the emulator, at ``POST /doorward/v1/tokens``."""

    def __init__(self, find: Callable[[str], Mint | None]) -> None:
        """Mint for issuers.

        Args:
            find: Returns what mints the tokens of an issuer, by its name; None if there is no such issuer.
        """
        self._find: Final = find

    def routes(self) -> list[BaseRoute]:
        """Return the one route.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(TOKENS_PATH, answering_errors(self._mint), methods=["POST"])]

    async def _mint(self, request: Request) -> Response:
        asked = await read_control(request, "mint", _FIELDS)
        name, audience = asked.pop("issuer", "google"), asked.pop("audience", "")
        if not audience:
            raise GoogleError("INVALID_ARGUMENT", "The request needs an 'audience'")
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
            token = await run_in_threadpool(mint, audience, **asked)
        except StateError as error:
            raise GoogleError("INTERNAL", error.message) from None
        except ConfigurationError as error:
            raise GoogleError("INVALID_ARGUMENT", f"No such token can be minted: {error}") from None
        return JSONResponse({"token": token})
