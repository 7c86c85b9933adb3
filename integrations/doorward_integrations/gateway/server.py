"""The gateway on a port: uvicorn with the strict parser, and a stop that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import uvicorn

from doorward.errors import ConfigurationError
from doorward_integrations.gateway.protocol import GatewayProtocol, protocol_with_limit
from doorward_integrations.gateway.websocket_exchange import LARGEST_MESSAGE

if TYPE_CHECKING:
    from types import TracebackType

    from doorward_integrations.gateway.gateway import Gateway

__all__ = ["GatewayServer"]

_LAST_PORT: Final = 65_535
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_BACKLOG: Final = 2_048
_TURNS: Final = 3


class GatewayServer:
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
        if not 0 <= port <= _LAST_PORT:
            raise ConfigurationError(f"port={port} must be between 0 and {_LAST_PORT}; 0 takes a free one")
        for name, seconds in (("grace", grace), ("linger", linger), ("keepalive", keepalive)):
            if not seconds >= 0:
                raise ConfigurationError(f"{name}={seconds} must be 0 or more seconds")
        self._gateway: Final = gateway
        self._address: Final = (host, port)
        self._grace: Final = grace
        self._linger: Final = linger
        self._keepalive: Final = keepalive
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._listening: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        """Start, as `start` does."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, as `stop` does."""
        self.stop()

    @property
    def port(self) -> int:
        """The port that is served; raises RuntimeError if the server is not running."""
        if self._listening is None:
            raise RuntimeError("the server is not running: start it, or use it in a with statement")
        return self._listening[1]

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end; raises RuntimeError if the server is not running."""
        host = self._address[0]
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> Self:
        """Serve, and return when requests are being answered.

        Returns:
            The server itself.

        Raises:
            ConfigurationError: If the address cannot be listened on.
            RuntimeError: If it is running already, or does not start.
        """
        if self._thread is not None:
            raise RuntimeError(f"the gateway is running already, at {self.url}")
        listener = _bind(*self._address)
        ready = threading.Event()
        server = self._server = self._make_server(ready)
        self._listening = (self._address[0], listener.getsockname()[1])
        self._thread = threading.Thread(
            target=_run, args=(server, listener, ready), name=f"doorward-gateway-{self.port}", daemon=True
        )
        self._thread.start()
        if not ready.wait(_START_SECONDS) or not server.started:
            self.stop()
            raise RuntimeError("the gateway did not start")
        return self

    def stop(self) -> None:
        """Stop, and return when every accepted request has its answer, or the grace is over."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        server.should_exit = True
        thread.join(self._linger + self._grace + _STOP_SECONDS)
        self._server = self._thread = self._listening = None

    def _make_server(self, ready: threading.Event) -> _Server:
        async def notify() -> None:
            ready.set()

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


def _run(server: _Server, listener: socket.socket, ready: threading.Event) -> None:
    try:
        with contextlib.suppress(SystemExit):  # as uvicorn ends where the lifespan fails
            server.run(sockets=[listener])
    finally:
        listener.close()
        ready.set()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol is named, since asyncio turns Nagle's algorithm off only where it is.
        listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        try:
            if sys.platform != "win32":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}. Choose another port, or 0 for a free one"
        ) from error
    return listener
