"""The service as a function of the Functions Framework, which is its only handler."""

from __future__ import annotations

import flask
import functions_framework

from doorward_integrations.functions_framework import current_principal, guard_functions
from support.conformance.answers import answer, handler_of
from support.conformance.doors import make_door

guard_functions(make_door())


@functions_framework.http
def handle(request: flask.Request) -> flask.Response:
    handler = handler_of(request.path)
    if handler is None:
        return flask.Response("no such path", 404)
    shown = answer(handler, current_principal(), request.method, request.headers.get, request.get_data())
    return flask.Response(shown, content_type="application/json")
