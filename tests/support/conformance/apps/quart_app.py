"""The service in Quart, with a blueprint."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Quart, Response, request, websocket

from doorward import Door
from doorward_integrations.asgi import InvokerMiddleware, principal_of
from support.conformance.answers import METHODS, answer

__all__ = ["make"]


def _add(routes: Quart | Blueprint, path: str, handler: str) -> None:
    async def endpoint(rest: str = "") -> Response:
        body: Any = await request.get_data(as_text=False)
        shown = answer(handler, principal_of(request.scope), request.method, request.headers.get, body)
        return Response(shown, content_type="application/json")

    settings: dict[str, Any] = {"methods": METHODS, "merge_slashes": False}
    settings["provide_automatic_options"] = False
    routes.add_url_rule(path, f"{handler} {path.count('<')}", endpoint, **settings)


def make(door: Door) -> Quart:
    """Return the guarded application."""
    app, sub = Quart("conformance"), Blueprint("sub", "conformance")
    _add(app, "/orders", "orders")
    _add(app, "/orders/<path:rest>", "orders")
    _add(app, "/healthz", "health")
    _add(sub, "/orders", "sub")
    app.register_blueprint(sub, url_prefix="/sub")

    @app.websocket("/live")
    async def live() -> None:
        await websocket.send(str(principal_of(websocket.scope)))

    guarded: Any = InvokerMiddleware(app.asgi_app, door)
    app.asgi_app = guarded  # type: ignore[method-assign]  # as Quart documents it
    return app
