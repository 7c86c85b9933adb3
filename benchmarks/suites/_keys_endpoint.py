"""The key endpoint of ``keys``: it answers as each run says, counts the requests, and dates its answers."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, ClassVar

__all__ = ["CONTEXT", "MAX_AGE", "Run", "endpoint"]

ANSWER_AFTER = 0.1
MAX_AGE = 300
CONTEXT = multiprocessing.get_context("spawn")


class Endpoint(BaseHTTPRequestHandler):
    """Answers ``/keys/N`` for run N, in the way that was last sent to ``/control/N``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    runs: ClassVar[dict[str, dict[str, Any]]] = {}
    offset: ClassVar[Any] = None
    lock: ClassVar[threading.Lock] = threading.Lock()

    def do_PUT(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.lock:
            self.runs[self.path.rpartition("/")[2]] = wanted | {"fetches": 0}
        self.answer(200, b"")

    def do_GET(self) -> None:
        _, what, name = self.path.split("/")
        with self.lock:
            run = self.runs[name]
            run["fetches"] += what == "keys"
        if what == "control":
            self.answer(200, json.dumps(run["fetches"]).encode())
        elif run["down"]:
            self.close_connection = True
        else:
            time.sleep(run["delay"])
            body = json.dumps({"keys": run["keys"]}).encode()
            etag = f'"{run["keys"][0]["kid"]}"'
            unchanged = self.headers.get("if-none-match") == etag
            self.answer(304 if unchanged else 200, b"" if unchanged else body, etag)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.offset.value if timestamp is None else timestamp)

    def answer(self, status: int, body: bytes, etag: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if etag is not None:
            self.send_header("cache-control", f"public, max-age={MAX_AGE}")
            self.send_header("etag", etag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        """Log nothing of a client that has closed its connection."""


def serve(pipe: Connection, offset: Any) -> None:  # noqa: ANN401 - the result of RawValue has no public type
    Endpoint.offset = offset
    server = Server(("127.0.0.1", 0), Endpoint)
    pipe.send(server.server_address[1])
    server.serve_forever()


@dataclass
class Run:
    """One run of one scenario, with an address of its own.

    Attributes:
        base: The URL of the endpoint.
        name: The name of the run.
    """

    base: str
    name: str

    @property
    def url(self) -> str:
        return f"{self.base}/keys/{self.name}"

    def publish(self, *keys: dict[str, Any], delay: float = ANSWER_AFTER, down: bool = False) -> None:
        """Set the answer from now on, and set the count of fetches to zero.

        Args:
            keys: The published keys.
            delay: Seconds before each answer.
            down: Whether to close every connection without an answer.
        """
        body = json.dumps({"keys": keys, "delay": delay, "down": down}).encode()
        request = urllib.request.Request(f"{self.base}/control/{self.name}", body, method="PUT")
        urllib.request.urlopen(request).close()

    @property
    def fetches(self) -> int:
        with urllib.request.urlopen(f"{self.base}/control/{self.name}") as answer:
            return int(json.load(answer))


@contextmanager
def endpoint(offset: Any) -> Iterator[str]:  # noqa: ANN401 - as `serve`
    """Serve keys on loopback, from a process of its own.

    Args:
        offset: The seconds by which the clock is moved, shared with that process.

    Yields:
        The URL of the endpoint.
    """
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=serve, args=(theirs, offset), daemon=True)
    process.start()
    try:
        assert ours.poll(30), "the endpoint did not start"
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
