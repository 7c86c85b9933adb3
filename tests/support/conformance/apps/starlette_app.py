"""The service in Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from doorward import Door
from doorward_integrations.starlette import Invoker, principal_of
from support.conformance.answers import METHODS, answer

__all__ = ["make"]


def _route(path: str, handler: str) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        shown = answer(handler, principal_of(request), request.method, request.headers.get, body)
        return Response(shown, media_type="application/json")

    return Route(path, endpoint, methods=METHODS)


async def _live(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(str(principal_of(socket)))
    await socket.close()


def make(door: Door) -> Starlette:
    """Return the guarded application."""
    app = Starlette(
        routes=[
            _route("/orders", "orders"),
            _route("/orders/{rest:path}", "orders"),
            _route("/healthz", "health"),
            Mount("/sub", routes=[_route("/orders", "sub")]),
            WebSocketRoute("/live", _live),
        ]
    )
    app.router.redirect_slashes = False
    Invoker(app, door)
    return app
