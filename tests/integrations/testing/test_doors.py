"""Finding the doors of an application, of each framework and however it is wrapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import httpx
import pytest
from aiohttp import web
from asgiref.wsgi import WsgiToAsgi
from fastapi import APIRouter, Depends, FastAPI
from litestar import Litestar
from litestar.middleware import DefineMiddleware
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.testclient import TestClient

from doorward import Admission, ConfigurationError, Door, PlainRequest, Principal, Refusal, Verifier
from doorward.services.services import Services
from doorward_integrations import aiohttp as for_aiohttp
from doorward_integrations import fastapi as for_fastapi
from doorward_integrations import flask as for_flask
from doorward_integrations import starlette as for_starlette
from doorward_integrations import wsgi
from doorward_integrations.asgi import InvokerMiddleware
from doorward_integrations.grpc import AioInvokerInterceptor, InvokerInterceptor
from doorward_integrations.testing import as_principal
from doorward_integrations.testing.doors import doors_of, verifiers_of
from support.clock import ManualClock
from support.tokens import AUDIENCE, CALLER, MEMBER


def litestar(**settings: Any) -> Litestar:
    """Make an application that leaves the log of this process as it is."""
    return Litestar(logging_config=None, **settings)


def bare(*_: object) -> Any: ...


guard: Any = InvokerMiddleware


def invoked(make: Callable[[], Any], invoker: Any) -> Callable[[Door], Any]:
    def made(door: Door) -> Any:
        app = make()
        invoker(app, door)
        return app

    return made


def quart(door: Door) -> Any:
    app = Quart("orders")
    app.asgi_app = InvokerMiddleware(app.asgi_app, door)  # type: ignore[method-assign, assignment]
    return app


def depending(door: Door, *, how: str) -> FastAPI:
    app, dependency = FastAPI(), for_fastapi.InvokerDependency(door)
    if how == "app":
        return FastAPI(dependencies=[Depends(dependency)])
    router = APIRouter(dependencies=[Depends(dependency)] if how == "router" else [])

    async def user(who: Principal = Depends(dependency)) -> str:  # noqa: B008 - a local name

        return str(who)

    if how == "only":
        router.get("/", dependencies=[Depends(dependency.only(lambda _: True))])(bare)
    elif how == "nested":

        @router.get("/")
        async def orders(who: str = Depends(user)) -> str:  # noqa: FAST002 - a local name
            return who
    else:
        router.get("/")(bare)
    app.include_router(router, dependencies=[Depends(dependency)] if how == "include" else [])
    return app


APPLICATIONS: dict[str, Callable[[Door], Any]] = {
    "door": lambda door: door,
    "asgi": lambda door: InvokerMiddleware(bare, door),
    "asgi, wrapped": lambda door: httpx.ASGITransport(InvokerMiddleware(bare, door)),
    "wsgi": lambda door: wsgi.InvokerMiddleware(bare, door),
    "wsgi under asgi": lambda door: WsgiToAsgi(wsgi.InvokerMiddleware(bare, door)),  # type: ignore[no-untyped-call]
    "starlette": invoked(Starlette, for_starlette.Invoker),
    "starlette, middleware": lambda door: Starlette(middleware=[Middleware(InvokerMiddleware, door)]),
    "starlette, mounted": lambda door: Starlette(routes=[Mount("/a", InvokerMiddleware(bare, door))]),
    "fastapi": invoked(FastAPI, for_fastapi.Invoker),
    **{
        f"fastapi, {how}": lambda door, how=how: depending(door, how=how)  # type: ignore[misc]
        for how in ("app", "router", "include", "only", "nested")
    },
    "flask": invoked(lambda: flask.Flask("orders"), for_flask.Invoker),
    "flask, client": lambda door: invoked(lambda: flask.Flask("a"), for_flask.Invoker)(door).test_client(),
    "quart": quart,
    "litestar": lambda door: InvokerMiddleware(litestar(), door),
    "litestar, middleware": lambda door: litestar(middleware=[DefineMiddleware(guard, door=door)]),
    "aiohttp": invoked(web.Application, for_aiohttp.Invoker),
    "aiohttp, middleware": lambda door: web.Application(middlewares=[for_aiohttp.invoker_middleware(door)]),
    "client": lambda door: TestClient(InvokerMiddleware(bare, door)),
    "grpc interceptor": InvokerInterceptor,
    "grpc aio interceptor": AioInvokerInterceptor,
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_door_is_found(door: Door, name: str) -> None:
    assert [door] == doors_of(APPLICATIONS[name](door))


def test_it_is_found_once_the_application_has_started(door: Door, client: TestClient) -> None:
    client.get("/orders")
    assert [door] == doors_of(client)


def test_each_of_several_is_found_once(door: Door) -> None:
    other = Door(Verifier("https://other.example"), door.policy)
    app = Starlette(
        routes=[Mount("/a", InvokerMiddleware(bare, door)), Mount("/b", InvokerMiddleware(bare, other))]
    )
    assert [door, other] == doors_of(app)


def test_no_door_is_no_error() -> None:
    assert [] == doors_of(FastAPI())
    assert [] == doors_of(httpx.Client(trust_env=False))


def test_the_verifiers_of_callers_and_of_end_users_are_found(door: Door) -> None:
    users = Verifier("https://web.example")
    both = Door(door.verifier, door.policy, end_user=users, end_user_callers=["user:ann@example.com"])
    assert ([both], [door.verifier, users]) == verifiers_of(both)


def test_what_an_application_holds_besides_is_not_touched(door: Door) -> None:
    class Raises:
        @property
        def app(self) -> object:
            raise ZeroDivisionError

    app = flask.Flask("orders")
    for_flask.Invoker(app, door)
    app.extensions["other"] = Raises()
    assert [door] == doors_of(app)


def test_those_of_many_services_are_found_and_each_takes_its_caller(clock: ManualClock, door: Door) -> None:
    services = Services(clock=clock)
    orders = services.put("orders", audience=AUDIENCE, policy=door.policy, hosts=["orders.example"])
    there = "https://other.example"
    other = services.put("other", audience=there, policy=door.policy, hosts=["other.example"])
    app = InvokerMiddleware(bare, services)

    assert [orders, other] == doors_of(app)
    with as_principal(app, CALLER):
        found = [
            services.admit([(b"host", host)], PlainRequest("/", host=host.decode()))
            for host in (b"orders.example", b"other.example", b"third.example")
        ]
    assert [MEMBER, MEMBER, 404] == [
        found[0].principal.member if isinstance(found[0], Admission) else found[0],
        found[1].principal.member if isinstance(found[1], Admission) else found[1],
        found[2].status if isinstance(found[2], Refusal) else found[2],
    ]
    with (
        pytest.raises(ConfigurationError, match="has doors for several audiences"),
        as_principal(TestClient(app), CALLER),
    ):
        pass
    with as_principal(TestClient(app), CALLER, door=orders) as client:
        assert client.headers["x-serverless-authorization"].startswith("Bearer ")
