"""Real servers on free ports of this machine, started and stopped around a block.

Each start has a time limit, and each server has ended when the block ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from waitress import wasyncore  # type: ignore[import-untyped]  # it ships no types
from waitress.server import create_server  # type: ignore[import-untyped]  # it ships no types

from doorward_integrations.emulator import LoopbackServer

__all__ = ["Keys", "Reply", "asgi_server", "exchange", "gunicorn", "key_server", "waitress"]

PATIENCE = 20.0
"""Seconds of each wait in this module at most."""

_TESTS = Path(__file__).resolve().parents[1]


@dataclass
class Keys:
    """A key endpoint over real HTTP.

    Attributes:
        body: The key set of each answer.
        delay: Seconds after the first request before which no request is answered. None where a test sets
            `answering` itself, to fix the order of events.
        url: The URL of the key set.
        fetches: The number of requests so far.
        asked: Set with the first request.
        answering: Set from when requests are answered.
    """

    body: bytes
    delay: float | None
    url: str = ""
    fetches: int = 0
    asked: threading.Event = field(default_factory=threading.Event)
    answering: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self) -> bytes:
        with self._lock:
            self.fetches += 1
            if self.fetches == 1 and self.delay is not None:
                timer = threading.Timer(self.delay, self.answering.set)
                timer.daemon = True
                timer.start()
        self.asked.set()
        assert self.answering.wait(PATIENCE), "the test left the endpoint hanging"
        return self.body


@contextlib.contextmanager
def key_server(body: bytes, delay: float | None = 0.0) -> Iterator[Keys]:
    """Serve a key set over HTTP, under any path; see `Keys`."""
    keys = Keys(body, delay)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = keys.answer()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("cache-control", "public, max-age=3600")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    keys.url = f"http://127.0.0.1:{server.server_port}/oauth2/v3/certs"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="test-keys", daemon=True)
    thread.start()
    try:
        yield keys
    finally:
        keys.answering.set()
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


@contextlib.contextmanager
def asgi_server(app: ASGIApp) -> Iterator[str]:
    """Serve an ASGI application with uvicorn, websockets too; yields its base URL.

    uvicorn's log goes to the root logger, so that ``caplog`` has the errors of the application.
    """
    with LoopbackServer(app, websockets=True) as server:
        yield server.url


@contextlib.contextmanager
def waitress(app: Callable[..., Any]) -> Iterator[str]:
    """Serve a WSGI application with waitress, in a thread; yields its base URL."""
    sockets: dict[int, Any] = {}
    server: Any = create_server(app, sockets, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, name="test-waitress", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        # In its own thread: no other one may use its sockets. Awake for another reason, it may have closed
        # them, the trigger among them, before that is pulled.
        with contextlib.suppress(OSError):
            server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
        thread.join(PATIENCE)
        server.task_dispatcher.shutdown()
        assert not thread.is_alive(), "waitress did not stop"


_LISTENING = re.compile(rb"Listening at: (http://127\.0\.0\.1:\d+)")


@contextlib.contextmanager
def gunicorn(target: str, environ: Mapping[str, str], *options: str) -> Iterator[str]:
    """Serve a WSGI application with gunicorn, as a process of its own; yields its base URL.

    Args:
        target: The application, as on gunicorn's command line: ``support.applications:make()``.
        environ: Variables to set in its environment.
        options: Further options of its command line.
    """
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "1", "--threads", "4"]
    # The modules come from where the tests have them, which need not be where the environment installed them.
    path = os.pathsep.join([str(_TESTS), *filter(None, sys.path)])
    process = subprocess.Popen(
        [*command, "--graceful-timeout", "1", "--no-control-socket", *options, target],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": path, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        yield _await_gunicorn(process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def _await_gunicorn(process: subprocess.Popen[bytes]) -> str:
    """Read its log until a worker has started; later lines stay in the pipe, which is large enough.

    Returns:
        The base URL.
    """
    assert process.stderr is not None
    descriptor = process.stderr.fileno()
    log = b""
    deadline = time.monotonic() + PATIENCE
    while b"Booting worker" not in log:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 65_536) if readable else b""
        log += piece
        assert piece, f"gunicorn did not start:\n{log.decode()}"
    found = _LISTENING.search(log)
    assert found is not None, log.decode()
    return found[1].decode()


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str | None:
        """Return the only header of a name in lower case; None if there is none."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None


def exchange(base: str, request: bytes) -> Reply:
    """Send the exact bytes of a request, read until the server closes, and parse the answer.

    The request must carry ``Connection: close``.
    """
    host, _, port = base.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(request)
        whole = b""
        while piece := connection.recv(65_536):
            whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
    return Reply(int(first.split()[1]), headers, body)
