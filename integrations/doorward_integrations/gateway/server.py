"""The gateway on a port: uvicorn with the strict parser, and a stop that loses no request."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from doorward.errors import ConfigurationError
from doorward_integrations.gateway.protocol import GatewayProtocol, protocol_with_limit
from doorward_integrations.gateway.websocket_exchange import LARGEST_MESSAGE
from doorward_integrations.threaded_server import ThreadedServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from doorward_integrations.gateway.gateway import Gateway

__all__ = ["GatewayServer"]

_log: Final = logging.getLogger("doorward.gateway")
_BACKLOG: Final = 2_048
_TURNS: Final = 3


class GatewayServer(ThreadedServer):
    """Serves a gateway, in a thread of its own.

    ::

        with GatewayServer(gateway, port=8443) as server:
            print(server.url)

    Args:
        gateway: The gateway.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        grace: Seconds that running requests have to finish when the server stops.
        linger: Seconds at a stop in which nothing new is accepted, and clients read with each answer that
            their connection ends, before the connections without a request are closed.
        keepalive: Seconds for which an idle connection of a client is kept.

    Raises:
        ConfigurationError: If a number is out of range.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grace: float = 30.0,
        linger: float = 0.5,
        keepalive: float = 75.0,
    ) -> None:
        """Prepare to serve; nothing listens yet."""
        for name, seconds in (("grace", grace), ("linger", linger), ("keepalive", keepalive)):
            if not seconds >= 0:
                raise ConfigurationError(f"{name}={seconds} must be 0 or more seconds")
        self._gateway: Final = gateway
        self._grace: Final = grace
        self._linger: Final = linger
        self._keepalive: Final = keepalive
        super().__init__(host, port, what="gateway", stops_within=linger + grace, log=_log)

    def _make_server(self, notify: Callable[[], Coroutine[Any, Any, None]]) -> _Server:
        protocol = protocol_with_limit(self._gateway.max_header_bytes)
        config = uvicorn.Config(
            self._gateway,
            http=protocol,
            ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE,
            lifespan="on",
            log_config=None,
            log_level="critical",  # the access log says what went wrong with each request
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=_BACKLOG,
            callback_notify=notify,
            timeout_keep_alive=self._keepalive,  # type: ignore[arg-type]  # it goes to call_later
            timeout_graceful_shutdown=self._grace,  # type: ignore[arg-type]  # it goes to wait_for
        )
        return _Server(config, protocol, self._linger)

    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which lets clients finish before it closes what they hold open."""

    def __init__(self, config: uvicorn.Config, protocol: type[GatewayProtocol], linger: float) -> None:
        super().__init__(config)
        self._protocol = protocol
        self._linger = linger

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)  # connections that the kernel has made already are accepted
        for server in self.servers:
            server.close()
        self._protocol.draining = True
        for connection in list(self.server_state.connections):
            cycle: Any = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        if not self.force_exit:
            await asyncio.sleep(self._linger)
        await super().shutdown(sockets)
