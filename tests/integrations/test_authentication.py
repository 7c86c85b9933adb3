"""Starlette's `request.user`, `request.auth` and `requires`, filled from the door."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from doorward import ConfigurationError, Door, InvokerPolicy
from doorward_integrations.authentication import PrincipalBackend, PrincipalUser
from doorward_integrations.starlette import Invoker
from support.servers import asgi_server
from support.tokens import CALLER, MEMBER
from support.world import World

ANN = {"email": "ann@example.com", "sub": "7"}


async def show(request: Request) -> JSONResponse:
    user = request.user
    principal = user.principal.member if isinstance(user, PrincipalUser) else None
    return JSONResponse([user.is_authenticated, user.display_name, principal, request.auth.scopes])


@requires("service_account", status_code=404)
async def services(request: Request) -> JSONResponse:
    return JSONResponse(request.user.identity)


@requires("admin")
async def admin(request: Request) -> JSONResponse:
    return JSONResponse("inside")


async def feed(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json([websocket.user.identity, websocket.auth.scopes])
    await websocket.close()


def app_of(backend: PrincipalBackend) -> Starlette:
    routes = [
        Route("/", show),
        Route("/services", services),
        Route("/admin", admin),
        WebSocketRoute("/feed", feed),
    ]
    return Starlette(routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=backend)])


def guarded(world: World, backend: PrincipalBackend | None = None) -> Starlette:
    app = app_of(backend or PrincipalBackend())
    Invoker(app, Door(world.verifier(), InvokerPolicy.all_users()))
    return app


def asked(app: Starlette, token: str | None = None, path: str = "/") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            return await client.get(path, headers={"authorization": f"Bearer {token}"} if token else {})

    return asyncio.run(ask())


def test_the_user_is_the_verified_caller(world: World) -> None:
    expected = [True, CALLER, MEMBER, ["authenticated", "service_account"]]
    assert expected == asked(guarded(world), world.token()).json()


def test_an_unverified_caller_is_not_authenticated(world: World) -> None:
    app = guarded(world)
    assert [[False, "", None, []]] * 2 == [asked(app, token).json() for token in (None, "a.b.c")]


def test_requires_asks_for_the_kind_of_caller(world: World) -> None:
    app = guarded(world)
    tokens = (world.token(), world.token(**ANN), None)
    assert [200, 404, 404] == [asked(app, token, "/services").status_code for token in tokens]
    assert MEMBER == asked(app, world.token(), "/services").json()


def test_an_application_may_give_scopes_of_its_own(world: World) -> None:
    backend = PrincipalBackend(lambda who: ["admin"] if who.email == "ann@example.com" else [])
    app = guarded(world, backend)
    tokens = (world.token(), world.token(**ANN), None)
    assert [403, 200, 403] == [asked(app, token, "/admin").status_code for token in tokens]


def test_a_caller_without_an_address_is_named_by_its_id(world: World) -> None:
    token = world.token(email=None, email_verified=None, sub="42")
    assert [True, "subject:42", None, ["authenticated", "account"]] == asked(guarded(world), token).json()


def test_a_websocket_has_its_user_too(world: World) -> None:
    headers = {"authorization": f"Bearer {world.token()}"}
    with asgi_server(guarded(world)) as base:
        url = base.replace("http:", "ws:") + "/feed"
        with connect(url, additional_headers=headers, proxy=None) as socket:
            assert f'["{MEMBER}",["authenticated","service_account"]]' == socket.recv(10)


def test_without_a_door_it_raises_and_vouches_for_no_caller() -> None:
    with pytest.raises(ConfigurationError, match="no door has decided"):
        asked(app_of(PrincipalBackend()))


@pytest.mark.parametrize("wrong", [None, ["admin"]])
def test_scopes_that_are_no_function_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="function of the principal"):
        PrincipalBackend(wrong)


def test_scopes_that_are_one_string_are_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match="a list of names"):
        asked(guarded(world, PrincipalBackend(lambda _: "admin")), world.token())
