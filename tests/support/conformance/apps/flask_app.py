"""The service in Flask, with a blueprint."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, request
from flask.sansio.scaffold import Scaffold

from doorward import Door
from doorward_integrations.flask import Invoker, current_principal
from support.conformance.answers import METHODS, answer

__all__ = ["make"]


def _add(routes: Scaffold, path: str, handler: str) -> None:
    def endpoint(rest: str = "") -> Response:
        body = request.get_data()
        shown = answer(handler, current_principal, request.method, request.headers.get, body)
        return Response(shown, content_type="application/json")

    settings: dict[str, Any] = {
        "methods": METHODS,
        "provide_automatic_options": False,
        "merge_slashes": False,
    }
    routes.add_url_rule(path, f"{handler} {path.count('<')}", endpoint, **settings)


def make(door: Door) -> Flask:
    """Return the guarded application."""
    app, sub = Flask("conformance"), Blueprint("sub", "conformance")
    _add(app, "/orders", "orders")
    _add(app, "/orders/<path:rest>", "orders")
    _add(app, "/healthz", "health")
    _add(sub, "/orders", "sub")
    app.register_blueprint(sub, url_prefix="/sub")
    Invoker(app, door)
    return app
