"""A key endpoint on loopback, in a process of its own: it answers at once or after a delay, and counts."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["Endpoint", "endpoint"]

CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Endpoint:
    """The endpoint, as the process that started it sees it.

    Attributes:
        port: The port that it listens on.
        asked: The number of requests so far, shared with its process.
    """

    port: int
    asked: Any

    def url(self, name: str, milliseconds: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/{milliseconds}/{name}"

    @property
    def requests(self) -> int:
        return int(self.asked.value)


def _serve(ready: Connection, asked: Any, bodies: dict[str, bytes]) -> None:  # noqa: ANN401 - a shared number
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            with asked.get_lock():
                asked.value += 1
            _, milliseconds, name = self.path.split("/", 2)
            body = bodies[name]
            time.sleep(int(milliseconds) / 1000)
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "public, max-age=20000")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ready.send(server.server_port)
    server.serve_forever()


@contextmanager
def endpoint(bodies: dict[str, bytes]) -> Iterator[Endpoint]:
    """Serve ``/MILLISECONDS/NAME``: the body of that name, after that many milliseconds.

    Args:
        bodies: The bodies by name.

    Yields:
        The endpoint.
    """
    ours, theirs = CONTEXT.Pipe()
    asked = CONTEXT.Value("q", 0)
    process = CONTEXT.Process(target=_serve, args=(theirs, asked, bodies), daemon=True)
    process.start()
    try:
        assert ours.poll(30), "the endpoint did not start"
        yield Endpoint(ours.recv(), asked)
    finally:
        process.terminate()
        process.join()
