"""The service in aiohttp, with a sub-application; this file is its server, too."""

from __future__ import annotations

import sys

from aiohttp import web
from aiohttp.typedefs import Handler

from doorward import Door
from doorward_integrations.aiohttp import Invoker, principal_of
from support.conformance.answers import METHODS, answer
from support.conformance.doors import make_door

__all__ = ["make"]


def _handler(name: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        shown = answer(name, principal_of(request), request.method, request.headers.get, body)
        return web.Response(body=shown, content_type="application/json")

    return handle


async def _live(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(str(principal_of(request)))
    await socket.close()
    return socket


def make(door: Door) -> web.Application:
    """Return the guarded application."""
    app, sub = web.Application(), web.Application()
    for method in METHODS:
        app.router.add_route(method, "/orders", _handler("orders"))
        app.router.add_route(method, "/orders/{rest:.*}", _handler("orders"))
        app.router.add_route(method, "/healthz", _handler("health"))
        sub.router.add_route(method, "/orders", _handler("sub"))
    app.router.add_get("/live", _live)
    app.add_subapp("/sub", sub)
    Invoker(app, door)
    return app


if __name__ == "__main__":
    web.run_app(make(make_door()), host="127.0.0.1", port=int(sys.argv[1]), print=lambda *_: None)
