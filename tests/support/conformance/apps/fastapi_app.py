"""The service in FastAPI, with a sub-application and a router."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response, WebSocket

from doorward import Door, Principal
from doorward_integrations.fastapi import Invoker, caller
from support.conformance.answers import METHODS, answer

__all__ = ["make"]

Caller = Annotated[Principal, Depends(caller)]


def _add(routes: FastAPI | APIRouter, path: str, handler: str) -> None:
    async def endpoint(request: Request, who: Caller) -> Response:
        shown = answer(handler, who, request.method, request.headers.get, await request.body())
        return Response(shown, media_type="application/json")

    routes.add_api_route(path, endpoint, methods=METHODS)


def make(door: Door) -> FastAPI:
    """Return the guarded application."""
    app, sub, router = FastAPI(redirect_slashes=False), FastAPI(), APIRouter(prefix="/orders")
    _add(router, "", "orders")
    _add(router, "/{rest:path}", "orders")
    _add(app, "/healthz", "health")
    _add(sub, "/orders", "sub")

    @app.websocket("/live")
    async def live(socket: WebSocket, who: Caller) -> None:
        await socket.accept()
        await socket.send_text(str(who))
        await socket.close()

    app.include_router(router)
    app.mount("/sub", sub)
    Invoker(app, door)
    return app
