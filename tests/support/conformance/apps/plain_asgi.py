"""The service as a plain ASGI application."""

from __future__ import annotations

from typing import Any

from doorward import Door
from doorward_integrations.asgi import InvokerMiddleware, principal_of
from support.conformance.answers import answer, handler_of

__all__ = ["make"]


async def _body(receive: Any) -> bytes:
    whole = b""
    while (message := await receive())["type"] == "http.request":
        whole += message.get("body", b"")
        if not message.get("more_body"):
            break
    return whole


async def _live(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] != "/live":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(principal_of(scope))})
    await send({"type": "websocket.close"})


async def _service(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _live(scope, receive, send)
        return
    headers = dict(scope["headers"])

    def header(name: str) -> str | None:
        value: bytes | None = headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    handler = handler_of(scope["path"])
    status, body = 404, b"no such path"
    if handler is not None:
        status, method = 200, scope["method"]
        body = answer(handler, principal_of(scope), method, header, await _body(receive))
    pairs = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def make(door: Door) -> InvokerMiddleware:
    """Return the guarded application."""
    return InvokerMiddleware(_service, door)
