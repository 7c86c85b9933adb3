"""The servers, as rows, and how their processes are started and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from support.conformance.doors import LIMITED
from support.tokens import MEMBER

__all__ = ["SERVERS", "Fleet", "Server", "running"]

Gives: TypeAlias = Mapping[str, Mapping[str, Any]]

PATIENCE = 60.0
"""Seconds for a server to start or to end, on a machine that starts many at once."""

AT_ONCE = 4
"""Servers that are starting at the same time."""

_TESTS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: Its name, with the settings that make it another one.
        interface: What it calls: ``asgi``, ``wsgi``, or the functions of the Functions Framework.
        command: Its command line after ``python -m``; ``{port}`` stands for the port.
        http2: Whether it serves HTTP/2 without TLS, too.
        websockets: How it answers a websocket that is refused: ``whole``, with the answer of the application;
            ``bare``, with an empty 403; empty if it has no websockets.
        decodes: Whether it gives the decoded path alone: a refusal then shows it encoded anew.
        gives: What it makes of some rows of the table, by their names, and in what they then differ.
        fails: The rows that it breaks over HTTP/2, in whatever application.
    """

    name: str
    interface: str
    command: str
    http2: bool = False
    websockets: str = ""
    decodes: bool = False
    gives: Gives = field(default_factory=dict)
    fails: frozenset[str] = frozenset()


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

# httptools knows the methods of the standards alone.
_HTTPTOOLS: Gives = {"method of no standard": {"status": 400, "seen": None}}
# gunicorn takes the script name from a header of a client that it trusts, which on loopback is every client:
# the path behind it is then another one than the condition names.
_SCRIPT_NAME: Gives = {"limited caller, script name": {"status": 403}}
_TWIN: Gives = {
    # granian's WSGI gives names with '_' and with '-' as one and the same.
    "underscore twin": {
        "status": 200,
        "seen": {"caller": MEMBER, "x-serverless-authorization": "Bearer {seen_good}"},
    },
    "underscore twin beside a good one": {"status": 401},
}
# waitress merges the slashes that a path begins with, before an application sees it.
_SLASHES: Gives = {
    "limited caller, empty segment": {
        "status": 200,
        "seen": {"caller": f"serviceAccount:{LIMITED}", "authorization": "Bearer {seen_limited}"},
    }
}

SERVERS = (
    Server("uvicorn-h11", "asgi", f"{_UVICORN} --http h11 --ws websockets", websockets="whole"),
    Server("uvicorn-wsproto", "asgi", f"{_UVICORN} --http h11 --ws wsproto", websockets="whole"),
    Server(
        "uvicorn-httptools",
        "asgi",
        f"{_UVICORN} --http httptools --ws websockets-sansio",
        websockets="whole",
        gives=_HTTPTOOLS,
    ),
    Server("hypercorn", "asgi", _HYPERCORN, http2=True, websockets="whole"),
    Server(
        "granian",
        "asgi",
        f"{_GRANIAN} asgi {_ASGI}",
        http2=True,
        websockets="whole",
        # An application that sends a body all the same, as Starlette does, has it sent on.
        fails=frozenset({"HEAD, good"}),
    ),
    Server("daphne", "asgi", _DAPHNE, websockets="bare"),
    Server("gunicorn-asgi", "asgi", f"{_GUNICORN} -k asgi {_ASGI}", websockets="bare"),
    Server(
        "gunicorn-uvicorn",
        "asgi",
        f"{_GUNICORN} -k uvicorn_worker.UvicornWorker {_ASGI}",
        websockets="whole",
        gives=_HTTPTOOLS,
    ),
    Server("gunicorn-sync", "wsgi", f"{_GUNICORN} {_WSGI}", gives=_SCRIPT_NAME),
    Server("gunicorn-gthread", "wsgi", f"{_GUNICORN} --threads 4 {_WSGI}", gives=_SCRIPT_NAME),
    Server("gunicorn-preload", "wsgi", f"{_GUNICORN} --preload --workers 2 {_WSGI}", gives=_SCRIPT_NAME),
    Server("granian-wsgi", "wsgi", f"{_GRANIAN} wsgi {_WSGI}", decodes=True, gives=_TWIN),
    Server("waitress", "wsgi", _WAITRESS, gives=_SLASHES),
    Server("functions-framework", "function", f"{_FUNCTIONS}/function_http.py", gives=_SCRIPT_NAME),
    Server("functions-framework-async", "async function", f"{_FUNCTIONS}/function_aio.py", gives=_HTTPTOOLS),
)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


class _Process:
    """A server that runs."""

    def __init__(self, server: Server, environ: Mapping[str, str], folder: Path) -> None:
        self.server = server
        self.port = _free_port()
        self._log = folder / f"{server.name}.log"
        path = os.pathsep.join([str(_TESTS), *filter(None, sys.path)])
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", *server.command.format(port=self.port).split()],
                cwd=_TESTS,
                env={**os.environ, "PYTHONPATH": path, **environ},
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
    """

    def __init__(self, servers: list[Server], environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self._started: list[_Process] = []
        self._pool = ThreadPoolExecutor(AT_ONCE, "test-fleet")
        self._ports: dict[str, Future[int]] = {
            one.name: self._pool.submit(self._start, one) for one in servers
        }

    def port(self, server: Server) -> int:
        """Return the port of a server, once it listens."""
        return self._ports[server.name].result(PATIENCE)

    def _start(self, server: Server) -> int:
        log = ""
        for _ in range(3):  # another process may take the port first
            process = _Process(server, self._environ, self._folder)
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
def running(servers: list[Server], environ: Mapping[str, str], folder: Path) -> Iterator[Fleet]:
    """Run servers for the time of a block."""
    fleet = Fleet(servers, environ, folder)
    try:
        yield fleet
    finally:
        fleet.end()
