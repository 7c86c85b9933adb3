"""The keys of every issuer over HTTP: listed, rotated and revoked, for ``doorward keys``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.shown import quoted
from doorward_integrations.emulator.control import read_control
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.interface import KEYS_PATH
from doorward_integrations.emulator.keys.ring import KeyRing
from doorward_integrations.emulator.state_file import StateError

__all__ = ["KeyAdmin"]

T = TypeVar("T")


class KeyAdmin:
    """Lists, rotates and revokes the keys of the issuers of an emulator; no answer holds a private key."""

    def __init__(self, rings: Callable[[], Mapping[str, KeyRing]]) -> None:
        """Administer rings.

        Args:
            rings: Returns the rings by the names of their issuers.
        """
        self._rings: Final = rings

    def routes(self) -> list[BaseRoute]:
        """Return the routes.

        Returns:
            Routes for a Starlette application.
        """
        return [
            Route(KEYS_PATH, answering_errors(self._list)),
            Route(f"{KEYS_PATH}:rotate", answering_errors(self._rotate), methods=["POST"]),
            Route(f"{KEYS_PATH}:revoke", answering_errors(self._revoke), methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        await read_control(request, {})
        listed = [one for name, ring in self._rings().items() for one in await _described(name, ring)]
        return JSONResponse({"keys": listed})

    async def _rotate(self, request: Request) -> Response:
        asked = await read_control(request, {"issuer": str, "withdraw": bool})
        name, ring = self._ring(asked.get("issuer", "google"))
        await _run(lambda: ring.rotate(withdraw=asked.get("withdraw", False)))
        return JSONResponse({"keys": await _described(name, ring)})

    async def _revoke(self, request: Request) -> Response:
        asked = await read_control(request, {"issuer": str, "kid": str})
        name, ring = self._ring(asked.get("issuer", "google"))
        await _run(lambda: ring.revoke(asked.get("kid", "")))
        return JSONResponse({"keys": await _described(name, ring)})

    def _ring(self, name: str) -> tuple[str, KeyRing]:
        ring = self._rings().get(name)
        if ring is None:
            raise GoogleError("NOT_FOUND", f"There is no issuer {quoted(name)} with keys")
        return name, ring


async def _described(name: str, ring: KeyRing) -> list[dict[str, object]]:
    published = await _run(ring.published)
    return [
        {
            "issuer": name,
            "kid": one.key.kid,
            "algorithm": one.key.algorithm,
            "state": "published" if number else "current",
            "since": one.since,
            "until": one.until,
        }
        for number, one in enumerate(published)
    ]


async def _run(work: Callable[[], T]) -> T:
    """Run what may make a key and write the state, in a thread."""
    try:
        return await run_in_threadpool(work)
    except StateError as error:
        raise GoogleError("INTERNAL", error.message) from None
    except ConfigurationError as error:
        raise GoogleError("NOT_FOUND", str(error)) from None
