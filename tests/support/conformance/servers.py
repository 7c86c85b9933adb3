"""The servers, as rows, and how their processes are started and ended."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from support.conformance.table import FOLDED_NAMES, LIMITED_SEEN, Gives

__all__ = ["SERVERS", "Fleet", "Server", "running"]

PATIENCE = 60.0
"""Seconds for a server to start or to end, on a machine that starts many at once."""

AT_ONCE = 4
"""Servers that are starting at the same time."""

_TESTS = Path(__file__).resolve().parents[2]
_EXAMPLES = _TESTS.parent / "examples"


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: Its name, with the settings that make it another one.
        interface: What it calls, as of an `Adapter`.
        command: Its command line after ``python -m``; ``{port}`` stands for the port.
        http2: Whether it serves HTTP/2 without TLS, too.
        websockets: How it answers a websocket that is refused: ``whole``, with the answer of the application;
            ``bare``, with an empty 403; empty if it has no websockets.
        decodes: Whether it gives the decoded path alone: a refusal then shows it encoded anew.
        gives: What it makes of some rows of the table, by their names, and in what they then differ.
        sends_on: Over what it sends on the body that some frameworks give to a HEAD.
    """

    name: str
    interface: str
    command: str
    http2: bool = False
    websockets: str = ""
    decodes: bool = False
    gives: Gives = field(default_factory=dict)
    sends_on: str = ""


_ASGI = "support.conformance.serve_asgi:app"
_WSGI = "support.conformance.serve_wsgi:app"
_UVICORN = "uvicorn --port {port} --log-level warning " + _ASGI
_HYPERCORN = "hypercorn --bind 127.0.0.1:{port} --log-level warning " + _ASGI
_DAPHNE = "daphne -v 0 -b 127.0.0.1 -p {port} " + _ASGI
_GRANIAN = "granian --port {port} --no-access-log --log-level warning --interface "
_WAITRESS = "waitress --listen 127.0.0.1:{port} " + _WSGI
_GUNICORN = "gunicorn --bind 127.0.0.1:{port} --no-control-socket --graceful-timeout 1 --log-level warning "
_FUNCTIONS = (
    "functions_framework --host 127.0.0.1 --port {port} --target handle --source support/conformance/apps"
)

# The parsers in C know the methods of the standards alone.
_STANDARD_METHODS: Gives = {"method of no standard": {"status": 400, "seen": None}}
# gunicorn takes the script name from a header of a client that it trusts, which on loopback is every client:
# the path behind it is then another one than the condition names.
_SCRIPT_NAME: Gives = {"limited caller, script name": {"status": 403}}
_BUFFERED: Gives = {
    # waitress merges the slashes that a path begins with, before an application sees it.
    "limited caller, empty segment": {"status": 200, "seen": LIMITED_SEEN},
    # It gives every body its length.
    "chunked body": {},
}

SERVERS = (
    Server("uvicorn-h11", "asgi", f"{_UVICORN} --http h11 --ws websockets", websockets="whole"),
    Server("uvicorn-wsproto", "asgi", f"{_UVICORN} --http h11 --ws wsproto", websockets="whole"),
    Server(
        "uvicorn-httptools",
        "asgi",
        f"{_UVICORN} --http httptools --ws websockets-sansio",
        websockets="whole",
        gives=_STANDARD_METHODS,
    ),
    Server("hypercorn", "asgi", _HYPERCORN, http2=True, websockets="whole"),
    Server(
        "granian",
        "asgi",
        f"{_GRANIAN} asgi {_ASGI}",
        http2=True,
        websockets="whole",
        sends_on="http2",
    ),
    Server("daphne", "asgi", _DAPHNE, websockets="bare"),
    Server("gunicorn-asgi", "asgi", f"{_GUNICORN} -k asgi {_ASGI}", websockets="bare"),
    Server(
        "gunicorn-uvicorn",
        "asgi",
        f"{_GUNICORN} -k uvicorn_worker.UvicornWorker {_ASGI}",
        websockets="whole",
        gives=_STANDARD_METHODS,
    ),
    Server("gunicorn-sync", "wsgi", f"{_GUNICORN} {_WSGI}", gives=_SCRIPT_NAME),
    Server("gunicorn-gthread", "wsgi", f"{_GUNICORN} --threads 4 {_WSGI}", gives=_SCRIPT_NAME),
    Server("gunicorn-preload", "wsgi", f"{_GUNICORN} --preload --workers 2 {_WSGI}", gives=_SCRIPT_NAME),
    Server(
        "granian-wsgi",
        "wsgi",
        f"{_GRANIAN} wsgi {_WSGI}",
        http2=True,
        decodes=True,
        gives=FOLDED_NAMES,
        sends_on="http2",
    ),
    Server("waitress", "wsgi", _WAITRESS, gives=_BUFFERED, sends_on="http1"),
    Server(
        "aiohttp",
        "aiohttp",
        "support.conformance.apps.aiohttp_app {port}",
        websockets="whole",
        gives=_STANDARD_METHODS,
    ),
    Server("functions-framework", "function", f"{_FUNCTIONS}/function_http.py", gives=_SCRIPT_NAME),
    Server(
        "functions-framework-async",
        "async function",
        f"{_FUNCTIONS}/function_aio.py",
        gives=_STANDARD_METHODS,
    ),
)


class _Ports:
    """Gives each port once, from below those that the system gives to whatever asks for any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._candidates = random.sample(range(20_000, 30_000), 1_000)

    def take(self) -> int:
        with self._lock:
            while True:
                port = self._candidates.pop()
                with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                    return port


_ports = _Ports()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


class _Process:
    """A server that runs."""

    def __init__(self, server: Server, environ: Mapping[str, str], folder: Path, cwd: Path) -> None:
        self.server = server
        self.port = _ports.take()
        self._log = folder / f"{server.name}.log"
        path = os.pathsep.join([str(_TESTS), str(_EXAMPLES), *filter(None, sys.path)])
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", *server.command.format(port=self.port).split()],
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": path, "PORT": str(self.port), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, with its workers
            )

    def await_ready(self) -> bool:
        """Return whether it listens; False if it has ended, as it does where another took its port."""
        deadline = time.monotonic() + PATIENCE
        while not _answers(self.port):
            if self._popen.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"{self.server.name} did not start:\n{self.log()}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(0.05)
        return self._popen.poll() is None

    def log(self) -> str:
        """Return what it wrote."""
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """End it, and every process that it started."""
        self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait(PATIENCE)


class Fleet:
    """Servers that start beside each other, each in a process of its own, and all end with the block.

    Args:
        servers: Those to start.
        environ: Variables for their environment.
        folder: For their logs.
        cwd: Where they run.
    """

    def __init__(
        self, servers: list[Server], environ: Mapping[str, str], folder: Path, cwd: Path = _TESTS
    ) -> None:
        self._environ = environ
        self._cwd = cwd
        self._folder = folder
        self._started: list[_Process] = []
        self._pool = ThreadPoolExecutor(AT_ONCE, "test-fleet")
        self._ports: dict[str, Future[int]] = {
            one.name: self._pool.submit(self._start, one) for one in servers
        }

    def port(self, server: Server) -> int:
        """Return the port of a server, once it listens."""
        return self._ports[server.name].result(PATIENCE * len(self._ports))

    def _start(self, server: Server) -> int:
        log = ""
        for _ in range(3):  # another process may take the port first
            process = _Process(server, self._environ, self._folder, self._cwd)
            self._started.append(process)
            if process.await_ready():
                return process.port
            log = process.log()
        raise AssertionError(f"{server.name} did not start:\n{log}")

    def end(self) -> None:
        """End all servers, beside each other."""
        self._pool.shutdown(cancel_futures=True)
        with ThreadPoolExecutor(len(self._started) or 1) as pool:
            list(pool.map(_Process.end, self._started))


@contextlib.contextmanager
def running(
    servers: list[Server], environ: Mapping[str, str], folder: Path, cwd: Path = _TESTS
) -> Iterator[Fleet]:
    """Run servers for the time of a block; see `Fleet`."""
    fleet = Fleet(servers, environ, folder, cwd)
    try:
        yield fleet
    finally:
        fleet.end()
