"""Any ASGI application on a port of this machine, served from a thread of its own."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import ipaddress
import logging
from typing import TYPE_CHECKING, Any, Final

from doorward.errors import ConfigurationError
from doorward.extras import needs_extra
from doorward.hostport import is_loopback_address
from doorward_integrations.threaded_server import ThreadedServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    import uvicorn
    from starlette.types import ASGIApp

__all__ = ["LoopbackServer"]

_log: Final = logging.getLogger("doorward.emulator")


def _import_uvicorn() -> Any:  # noqa: ANN401 - the module, which is there only with the extra
    with needs_extra("emulator"):
        return importlib.import_module("uvicorn")


def _websocket_protocol(*, wanted: bool) -> str:
    """Return uvicorn's websocket implementation: the one that uses nothing deprecated, or none."""
    if not wanted:
        return "none"
    known = importlib.import_module("uvicorn.config").WS_PROTOCOLS
    if "websockets-sansio" not in known or importlib.util.find_spec("websockets") is None:
        raise ConfigurationError(
            "serving websockets needs the package websockets and uvicorn 0.35 or newer: install both, or "
            "leave websockets=False"
        )
    return "websockets-sansio"


def _check_settings(host: str, grace: int) -> None:
    if not is_loopback_address(host):
        raise ConfigurationError(
            f"host={host!r} must be a loopback address, such as 127.0.0.1 or ::1: this server is for "
            "this machine only"
        )
    if grace < 0:
        raise ConfigurationError(f"grace={grace} must be 0 seconds or more")


class LoopbackServer(ThreadedServer):
    """Serves an ASGI application under uvicorn, to this machine only.

    ::

        with LoopbackServer(app) as server:
            httpx.get(server.url)

    It can be started again after it was stopped. At a stop, idle connections are closed at once, and running
    requests are cancelled after the grace.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        websockets: bool = False,
        log_level: str | None = "warning",
        grace: int = 1,
    ) -> None:
        """Prepare to serve; nothing listens yet.

        Args:
            app: Any ASGI application. Its lifespan runs, if it has one.
            host: A loopback address, such as ``127.0.0.1`` or ``::1``.
            port: The port; 0 takes a free one at each start.
            websockets: Whether to serve websockets too, which needs the package websockets.
            log_level: The level of uvicorn's loggers, for the whole process; None does not change it.
            grace: Seconds that running requests have to finish when the server stops.

        Raises:
            ConfigurationError: If the address is no loopback address, a number is out of range, or a package
                is missing.
        """
        _check_settings(host, grace)
        self._uvicorn: Final = _import_uvicorn()
        self._ws: Final = _websocket_protocol(wanted=websockets)
        self._app: Final = app
        self._log_level: Final = log_level
        # The short form of an IPv6 address, as clients write it in Host.
        super().__init__(str(ipaddress.ip_address(host)), port, what="server", stops_within=grace, log=_log)

    def _make_server(self, notify: Callable[[], Coroutine[Any, Any, None]]) -> uvicorn.Server:
        config = self._uvicorn.Config(
            self._app,
            # The plain protocol and, in `_serve`, the plain loop: the optional packages change nothing.
            http="h11",
            ws=self._ws,
            log_config=None,
            log_level=self._log_level,
            proxy_headers=False,
            server_header=False,
            # uvicorn calls this on the first tick after startup, which is when requests are answered.
            callback_notify=notify,
            timeout_graceful_shutdown=self._stops_within,
        )
        server: uvicorn.Server = self._uvicorn.Server(config)
        return server

    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        # uvicorn installs signal handlers in the main thread only.
        asyncio.run(server.serve(sockets=[listener]))
