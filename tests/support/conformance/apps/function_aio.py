"""The service as an asynchronous function of the Functions Framework, which is its only handler."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from doorward_integrations.functions_framework import guarded_http, principal_of
from support.conformance.answers import answer, handler_of
from support.conformance.doors import make_door


@guarded_http(make_door())
async def handle(request: Request) -> Response:
    handler = handler_of(request.scope["path"])
    if handler is None:
        return Response("no such path", 404)
    body = await request.body()
    shown = answer(handler, principal_of(request), request.method, request.headers.get, body)
    return Response(shown, media_type="application/json")
