"""uvicorn on a port, in a thread of its own: what the emulator's server and the gateway's have in common."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Self

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Any

    import uvicorn

__all__ = ["ThreadedServer", "check_port"]

_START_SECONDS: Final = 30.0
_LAST_PORT: Final = 65_535
# Added to the grace: two ticks of uvicorn's, and the shutdown of the application.
_STOP_SECONDS: Final = 5.0


def check_port(port: int) -> None:
    """Refuse what is no port.

    Args:
        port: The port; 0 takes a free one.

    Raises:
        ConfigurationError: If it is none.
    """
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(f"port={port} must be between 0 and {_LAST_PORT}; 0 takes a free one")


class ThreadedServer(ABC):
    """Serves while it is open, and may be started again after it was stopped."""

    def __init__(self, host: str, port: int, *, what: str, stops_within: float, log: logging.Logger) -> None:
        """Prepare to serve; nothing listens yet.

        Args:
            host: The address to listen on.
            port: The port; 0 takes a free one at each start.
            what: What is served, for errors and the name of the thread, such as ``gateway``.
            stops_within: Seconds that running requests have to finish when it stops.
            log: Where it is said that it serves, and that it does not end.

        Raises:
            ConfigurationError: If the port is none.
        """
        check_port(port)
        self._address: Final = (host, port)
        self._what: Final = what
        self._stops_within: Final = stops_within
        self._log: Final = log
        self._listening: tuple[str, int] | None = None
        self._failure: BaseException | None = None
        self._begin()
        renew_in_children(self, ThreadedServer._begin)

    def _begin(self) -> None:
        """Begin without a thread: a server that runs in a parent process is not the child's to stop."""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()

    @abstractmethod
    def _make_server(self, notify: Callable[[], Coroutine[Any, Any, None]]) -> uvicorn.Server:
        """Make what serves; it calls `notify` when requests are answered."""

    @abstractmethod
    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        """Serve in this thread, until the server is to exit."""

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
            ConfigurationError: If the address cannot be listened on.
            RuntimeError: If it is running already, or does not start.
        """
        if self._thread is not None:
            raise RuntimeError(f"the {self._what} is running already, at {self.url}")

        async def notify() -> None:
            self._ready.set()

        server = self._make_server(notify)
        listener = _bind(*self._address)
        self._server = server
        self._ready.clear()
        self._failure = None
        self._listening = (self._address[0], listener.getsockname()[1])
        # A daemon, so that an application that does not end cannot keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, args=(server, listener), name=f"doorward-{self._what}-{self.port}", daemon=True
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
            raise RuntimeError(f"the {self._what} did not start: {reason}") from self._failure
        self._log.info("serving at %s", self.url)
        return self

    def stop(self) -> None:
        """Stop serving, and return when the port is free; does nothing if the server is not running."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        server.should_exit = True
        with contextlib.suppress(RuntimeError):  # a signal has come before the thread had begun
            thread.join(self._stops_within + _STOP_SECONDS)
        if thread.is_alive():
            self._log.warning("the %s at %s does not end; its thread goes on running", self._what, self.url)
        self._server = self._thread = self._listening = None

    def _run(self, server: uvicorn.Server, listener: socket.socket) -> None:
        try:
            self._serve(server, listener)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is raised again, by `start`
            # uvicorn raises SystemExit if the lifespan of the application fails.
            self._failure = error
        finally:
            listener.close()
            self._ready.set()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol is named, since asyncio turns Nagle's algorithm off only where it is: else each answer
        # waits some 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            if sys.platform == "win32":
                # On other systems a port in use is refused without an option.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                # A port that was served a moment ago is free again; one that is being served is not.
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
