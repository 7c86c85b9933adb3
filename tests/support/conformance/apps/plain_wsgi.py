"""The service as a plain WSGI application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from doorward import Door
from doorward_integrations.wsgi import InvokerMiddleware, principal_of
from support.conformance.answers import answer, handler_of

__all__ = ["make"]


def _body(environ: dict[str, Any]) -> bytes:
    if environ["REQUEST_METHOD"] != "POST":
        return b""
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    body: bytes = stream.read(int(length)) if length else stream.read()  # without a length, in pieces
    return body


def _service(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    def header(name: str) -> str | None:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    handler = handler_of(environ["PATH_INFO"])
    method = environ["REQUEST_METHOD"]
    status, body = "404 Not Found", b"no such path"
    if handler is not None:
        status, body = "200 OK", answer(handler, principal_of(environ), method, header, _body(environ))
    pairs = [("content-type", "application/json"), ("content-length", str(len(body)))]
    start_response(status, pairs)
    return [] if method == "HEAD" else [body]


def make(door: Door) -> InvokerMiddleware:
    """Return the guarded application."""
    return InvokerMiddleware(_service, door)
