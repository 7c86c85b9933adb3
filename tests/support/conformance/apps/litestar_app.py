"""The service in Litestar."""

from __future__ import annotations

from typing import Any

from litestar import HttpMethod, Litestar, Request, Response, WebSocket, route, websocket

from doorward import Door
from doorward_integrations.asgi import InvokerMiddleware, principal_of
from support.conformance.answers import METHODS, answer

__all__ = ["make"]


async def _response(handler: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    shown = answer(handler, principal_of(request), request.method, request.headers.get, await request.body())
    return Response(shown, media_type="application/json", status_code=200)


_METHODS: Any = [HttpMethod(method) for method in METHODS]


@route(["/orders", "/orders/{rest:path}"], http_method=_METHODS)
async def _orders(request: Request[Any, Any, Any]) -> Response[bytes]:
    return await _response("orders", request)


@route("/healthz", http_method=_METHODS)
async def _health(request: Request[Any, Any, Any]) -> Response[bytes]:
    return await _response("health", request)


@route("/sub/orders", http_method=_METHODS)
async def _sub(request: Request[Any, Any, Any]) -> Response[bytes]:
    return await _response("sub", request)


@websocket("/live")
async def _live(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(str(principal_of(socket)))
    await socket.close()


def make(door: Door) -> InvokerMiddleware:
    """Return the guarded application."""
    return InvokerMiddleware(Litestar([_orders, _health, _sub, _live]), door)
