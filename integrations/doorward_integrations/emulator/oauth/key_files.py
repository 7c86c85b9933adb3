"""Key files over HTTP, for ``doorward emulator key``.

The path is the emulator's own, and `doorward_integrations.emulator.control` says who may ask there.
"""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward_integrations.emulator.control import read_control
from doorward_integrations.emulator.google_errors import GoogleError, answering_errors
from doorward_integrations.emulator.interface import KEY_FILES_PATH
from doorward_integrations.emulator.oauth.account_keys import AccountKeys

__all__ = ["KeyFiles"]


class KeyFiles:
    """Makes a key of an account at ``POST /doorward/v1/accounts/ACCOUNT/keys``, and answers its key file."""

    def __init__(self, keys: AccountKeys) -> None:
        """Make keys.

        Args:
            keys: Knows which keys are whose.
        """
        self._keys: Final = keys

    def routes(self) -> list[BaseRoute]:
        """Return the one route.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(KEY_FILES_PATH, answering_errors(self._make), methods=["POST"])]

    async def _make(self, request: Request) -> Response:
        await read_control(request, {})
        host = request.headers.get("host", "")
        # Of the names that the emulator answers to, the file can point at those of this machine only.
        if not is_on_this_machine(host):
            raise GoogleError("PERMISSION_DENIED", "Key files are made for programs of this machine only")
        try:
            # In a thread: to make a key takes a while.
            content = await run_in_threadpool(
                self._keys.make_file, request.path_params["account"], f"http://{host}"
            )
        except ConfigurationError as error:
            raise GoogleError("NOT_FOUND", str(error)) from None
        return JSONResponse(content, headers={"Cache-Control": "no-store"})
