"""Any ASGI application on a port of this machine, served from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import ipaddress
import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Self

from doorward.errors import ConfigurationError
from doorward.extras import needs_extra
from doorward.forks import renew_in_children
from doorward.hostport import is_loopback_address

if TYPE_CHECKING:
    from types import TracebackType

    import uvicorn
    from starlette.types import ASGIApp

__all__ = ["LoopbackServer"]

_START_SECONDS: Final = 30.0
_LAST_PORT: Final = 65_535
# Added to the grace: two ticks of uvicorn's, and the shutdown of the application.
_STOP_SECONDS: Final = 5.0

_log = logging.getLogger("doorward.emulator")


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


def _check_settings(host: str, port: int, grace: int) -> None:
    if not is_loopback_address(host):
        raise ConfigurationError(
            f"host={host!r} must be a loopback address, such as 127.0.0.1 or ::1: this server is for "
            "this machine only"
        )
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(f"port={port} must be between 0 and {_LAST_PORT}; 0 takes a free one")
    if grace < 0:
        raise ConfigurationError(f"grace={grace} must be 0 seconds or more")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # The protocol is named, since asyncio turns Nagle's algorithm off only where it is: else each answer
        # waits some 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if sys.platform == "win32":
                # On other systems a port in use is refused without an option.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                # A port that was served a moment ago is free again; one that is being served is not.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}. Choose another port, or 0 for a free one"
        ) from error
    return listener


class LoopbackServer:
    """Serves an ASGI application under uvicorn, to this machine only.

    ::

        with LoopbackServer(app) as server:
            httpx.get(server.url)

    It can be started again after it was stopped.
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
        _check_settings(host, port, grace)
        self._uvicorn = _import_uvicorn()
        self._ws = _websocket_protocol(wanted=websockets)
        self._app = app
        # The short form of an IPv6 address, as clients write it in Host.
        self._address = (str(ipaddress.ip_address(host)), port)
        self._log_level = log_level
        self._grace = grace
        self._listening: tuple[str, int] | None = None
        self._failure: BaseException | None = None
        self._begin()
        renew_in_children(self, LoopbackServer._begin)

    def _begin(self) -> None:
        """Begin without a thread: a server that runs in a parent process is not the child's to stop."""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()

    def __repr__(self) -> str:
        """Show the URL that it serves at, or that it is stopped."""
        where = self.url if self._listening else "stopped"
        return f"{type(self).__name__}({where})"

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
    def host(self) -> str:
        """The address as ``HOST:PORT``; raises RuntimeError if the server is not running."""
        host = self._address[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end; raises RuntimeError if the server is not running."""
        return f"http://{self.host}"

    def start(self) -> Self:
        """Serve, and return when requests are being answered.

        Returns:
            The server itself.

        Raises:
            ConfigurationError: If the port is taken.
            RuntimeError: If it is running already, or the application did not start.
        """
        if self._thread is not None:
            raise RuntimeError(f"the server is running already, at {self.url}")
        listener = _bind(*self._address)
        server = self._server = self._make_server()
        self._ready.clear()
        self._failure = None
        self._listening = (self._address[0], listener.getsockname()[1])
        # A daemon, so that an application that does not end cannot keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, args=(server, listener), name=f"doorward-server-{self.port}", daemon=True
        )
        try:
            self._thread.start()
            in_time = self._ready.wait(_START_SECONDS)
        except BaseException:  # a signal ends the process meanwhile: no `with` has begun that would stop it
            self.stop()
            raise
        if not server.started:
            self.stop()
            reason = "its lifespan failed" if in_time else f"it took more than {_START_SECONDS:.0f} s"
            raise RuntimeError(f"the application did not start: {reason}") from self._failure
        _log.info("serving at %s", self.url)
        return self

    def stop(self) -> None:
        """Stop serving, and return when the port is free; does nothing if the server is not running.

        Idle connections are closed at once. Running requests are cancelled after the grace.
        """
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        server.should_exit = True
        with contextlib.suppress(RuntimeError):  # a signal has come before the thread had begun
            thread.join(self._grace + _STOP_SECONDS)
        if thread.is_alive():
            _log.warning("the application at %s does not end; its thread goes on running", self.url)
        self._server = self._thread = self._listening = None

    def _make_server(self) -> uvicorn.Server:
        async def notify() -> None:
            self._ready.set()

        config = self._uvicorn.Config(
            self._app,
            # The plain protocol and, in `_run`, the plain loop: the optional packages change nothing.
            http="h11",
            ws=self._ws,
            log_config=None,
            log_level=self._log_level,
            proxy_headers=False,
            server_header=False,
            # uvicorn calls this on the first tick after startup, which is when requests are answered.
            callback_notify=notify,
            timeout_graceful_shutdown=self._grace,
        )
        server: uvicorn.Server = self._uvicorn.Server(config)
        return server

    def _run(self, server: uvicorn.Server, listener: socket.socket) -> None:
        try:
            # uvicorn installs signal handlers in the main thread only.
            asyncio.run(server.serve(sockets=[listener]))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is raised again, by `start`
            # uvicorn raises SystemExit if the lifespan of the application fails.
            self._failure = error
        finally:
            listener.close()
            self._ready.set()
