"""Consumers of the ASGI family, as they are written: any ASGI application, Starlette, Quart and Litestar."""

from __future__ import annotations

from typing import assert_type

from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from litestar.datastructures import State
from quart import Quart
from quart import request as quart_request
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward.door.subprotocol import find_in_subprotocol
from doorward_integrations import asgi, starlette
from doorward_integrations.asgi import ConnectionLifetime, InvokerMiddleware, ReadinessApp
from doorward_integrations.authentication import PrincipalBackend
from doorward_integrations.starlette import Invoker, add_readiness, only, principal_of, service_accounts

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
    exempt=[("GET", "/readyz"), ("OPTIONS", "/{path:path}")],
    credential=find_in_subprotocol,
)


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    assert_type(asgi.principal_of(scope), Principal)
    assert_type(asgi.end_user_of(scope), Principal | None)
    await send({"type": "http.response.start", "status": 200, "headers": []})


guarded = InvokerMiddleware(plain, door, lifetime=ConnectionLifetime(seconds=900))
around_cors = CORSMiddleware(InvokerMiddleware(plain, door, public_prefix="/api"), allow_origins=["*"])
ready = ReadinessApp(door)


@only(service_accounts)
async def reports(request: Request) -> Response:
    return PlainTextResponse(f"Hello, {principal_of(request)}")


@only(members=["user:ann@example.com"])
def in_a_thread(request: Request) -> Response:
    return PlainTextResponse(principal_of(request).member or "")


@requires("service_account")
async def by_scope(request: Request) -> Response:
    return PlainTextResponse(request.user.display_name)


@only(lambda principal: principal.project == "my-project")
async def live(websocket: WebSocket) -> None:
    assert_type(principal_of(websocket), Principal)
    await websocket.accept()


app = Starlette(
    routes=[
        Route("/reports", reports),
        Route("/thread", in_a_thread),
        Route("/scope", by_scope),
        WebSocketRoute("/live", live),
    ],
    middleware=[
        Middleware(CORSMiddleware, allow_origins=["*"]),
        Middleware(AuthenticationMiddleware, backend=PrincipalBackend()),
    ],
)
Invoker(app, door, in_front=[CORSMiddleware], lifetime=ConnectionLifetime())
add_readiness(app, door)
by_class = Starlette(middleware=[Middleware(starlette.InvokerMiddleware, door=door)])

quart = Quart(__name__)
quart.asgi_app = InvokerMiddleware(quart.asgi_app, door)  # type: ignore[assignment,method-assign]  # pyright: ignore[reportAttributeAccessIssue]


@quart.get("/")
async def orders() -> str:
    return f"Hello, {asgi.principal_of(quart_request.scope)}"


@litestar_get("/")
async def litestar_orders(request: LitestarRequest[object, object, State]) -> str:
    return f"Hello, {asgi.principal_of(request)}"


litestar = InvokerMiddleware(Litestar([litestar_orders]), door)
