"""What every application of the suite answers, to the byte, so that answers can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable

from doorward import Principal

__all__ = ["METHODS", "SHOWN", "answer", "handler_of"]

METHODS = ["GET", "HEAD", "OPTIONS", "POST"]
"""What every route of every application takes."""

SHOWN = ("authorization", "x-serverless-authorization", "x-goog-authenticated-user-email")
"""The headers whose values the application shows."""


def answer(
    handler: str, principal: Principal, method: str, header: Callable[[str], str | None], body: bytes
) -> bytes:
    """Return the body of an answer: what the application was called with.

    Args:
        handler: Which of its handlers was called: ``orders``, ``health`` or ``sub``.
        principal: The caller, as the adapter gives it.
        method: The method.
        header: Returns the value of a header of that name, as the framework gives it; None without one.
        body: The body of the request.
    """
    seen = {name: value for name in SHOWN if (value := header(name)) is not None}
    shown = {"handler": handler, "caller": str(principal), "method": method, **seen, "body": body.decode()}
    return json.dumps(shown).encode()


def handler_of(path: str) -> str | None:
    """Return the handler of a path, for services that have no router."""
    if path == "/orders" or path.startswith("/orders/"):
        return "orders"
    return {"/healthz": "health", "/sub/orders": "sub"}.get(path)
