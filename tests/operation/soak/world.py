"""What the servers of the soak live in: a key endpoint, a policy file and a clock, all changed meanwhile.

Time runs faster for keys and tokens, so that their freshness ends in seconds. Everything that waits (sockets,
looks at files) runs in real time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.tokens import SigningKey, jwks

__all__ = ["MAX_AGE", "SPEED", "KeyEndpoint", "PolicyFile", "fast_clock"]

SPEED = 20.0
"""Seconds that pass for keys and tokens in one real second."""
MAX_AGE = 60
"""Seconds for which the endpoint lets its keys be kept, the least that a key cache obeys: three real ones."""
_LONGEST_HANG = 30.0


def fast_clock(start: float) -> float:
    """Return the time by which tokens are made and checked, in seconds since the epoch.

    Args:
        start: When the soak began, on the real clock: the same for every process.
    """
    return start + (time.time() - start) * SPEED


class KeyEndpoint:
    """A key endpoint over HTTP, with faults that are switched on and off.

    Attributes:
        keys: What it publishes.
        fault: ``None``, ``hang``, ``500``, ``429``, ``garbage``, or ``private``: it publishes a private key.
        fetches: How many requests came.
    """

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = keys
        self.fetches = 0
        self._fault: str | None = None
        self._changed = threading.Event()

    @property
    def fault(self) -> str | None:
        return self._fault

    @fault.setter
    def fault(self, fault: str | None) -> None:
        self._fault = fault
        self._changed.set()
        self._changed = threading.Event()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve on a free port of this machine; gives the URL of the key set."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base names it
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/certs"
        finally:
            self.fault = None
            server.shutdown()
            server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.fetches += 1
        fault = self._fault
        if fault == "hang":
            self._changed.wait(_LONGEST_HANG)
            request.close_connection = True
            return
        status, extra, body = 200, {"Cache-Control": f"public, max-age={MAX_AGE}"}, jwks(*self.keys)
        if fault == "500":
            status, extra, body = 500, {}, b"away"
        elif fault == "429":
            status, extra, body = 429, {"Retry-After": "300"}, b"later"
        elif fault == "garbage":
            body = b"<html>" + body[: len(body) // 2]
        elif fault == "private":
            body = json.dumps({"keys": [{**key.jwk(), "d": "AQAB"} for key in self.keys]}).encode()
        try:
            request.send_response(status)
            for name, value in {**extra, "Content-Length": str(len(body))}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            request.close_connection = True  # who asked has given up


class PolicyFile:
    """The policy that both servers watch: it names some members, or is broken.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, *members: str) -> None:
        self.path = path
        self.write(*members)

    def write(self, *members: str) -> None:
        """Put another policy in its place, whole, as `gcloud` and an editor's rename do."""
        policy = {"bindings": [{"role": "roles/run.invoker", "members": list(members)}]}
        self._replace(json.dumps(policy).encode())

    def break_off(self) -> None:
        """Put the first half of a policy there, as a writer that was killed leaves it."""
        self._replace(self.path.read_bytes()[:20])

    def remove(self) -> None:
        """Take the file away."""
        self.path.unlink()

    def _replace(self, content: bytes) -> None:
        aside = self.path.with_suffix(".new")
        aside.write_bytes(content)
        aside.replace(self.path)
