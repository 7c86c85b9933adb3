"""Where the emulator says that it is there, and for whom it issues tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward_integrations.emulator.interface import HEALTH_PATH
from doorward_integrations.emulator.metadata.server import MetadataServer

__all__ = ["NAME", "HealthEndpoint"]

NAME: Final = "doorward"
"""The member ``emulator`` of the answer, by which the emulator is recognised."""


class HealthEndpoint:
    """Answers ``GET /healthz``."""

    def __init__(
        self, metadata: MetadataServer, *, services: Callable[[], Sequence[str]], state: str | None
    ) -> None:
        """Answer for an emulator.

        Args:
            metadata: Its metadata server, with issuer and accounts.
            services: Returns the services whose policy was set.
            state: The folder of its state; None if that is in memory only.
        """
        self._metadata: Final = metadata
        self._services: Final = services
        self._state: Final = state

    def routes(self) -> list[BaseRoute]:
        """Return the one route.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(HEALTH_PATH, self._health)]

    async def _health(self, _: Request) -> Response:
        answer = {
            "status": "ok",
            "emulator": NAME,
            "pid": os.getpid(),
            "issuer": self._metadata.issuer.iss,
            "project": self._metadata.identities.project,
            "account": self._metadata.accounts.default.email,
            "accounts": [account.email for account in self._metadata.accounts],
            "services": list(self._services()),
            "state": self._state,
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})
