"""Each framework with the door and with a guard that does nothing, as functions that answer one request."""

# ruff: noqa: ANN401 - applications, guards and messages of nine frameworks

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
from aiohttp import ClientSession, web
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import path
from fastapi import Depends, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import Door
from doorward_integrations import aiohttp, asgi, fastapi, flask, starlette, wsgi
from doorward_integrations.grpc import AioInvokerInterceptor, InvokerInterceptor

__all__ = ["Ask", "aiohttp_asks", "asgi_apps", "asgi_ask", "grpc_asks", "wsgi_apps", "wsgi_ask"]

Ask = Callable[[], float]
"""Has one request answered many times, and returns the seconds of one."""
Pair = tuple[Any, Any]
"""Something with a guard that does nothing, and with the door."""


class Nothing:
    """The least middleware of ASGI: it looks at no request."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def nothing() -> None:
    """Do nothing, as a dependency; one that is not async would run in a thread."""


async def plain_asgi(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"orders"})


def plain_wsgi(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"orders"]


async def orders(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("orders")


def starlette_apps(door: Door) -> Pair:
    apps = [Starlette(routes=[Route("/orders", orders)]) for _ in range(2)]
    apps[0].add_middleware(Nothing)
    starlette.Invoker(apps[1], door)
    return apps[0], apps[1]


def fastapi_apps(door: Door, *, dependency: bool) -> Pair:
    apps, invoker = [FastAPI(), FastAPI()], fastapi.InvokerDependency(door)
    guards: list[Any] = [nothing, invoker] if dependency else [None, None]
    for app, guard in zip(apps, guards, strict=True):
        app.get("/orders", dependencies=[Depends(guard)] if guard else [])(_fastapi_orders)
    if dependency:
        invoker.install(apps[1])
    else:
        apps[0].add_middleware(Nothing)
        fastapi.Invoker(apps[1], door)
    return apps[0], apps[1]


async def _fastapi_orders() -> str:
    return "orders"


def asgi_apps(door: Door) -> Mapping[str, Pair]:
    return {
        "ASGI": (Nothing(plain_asgi), asgi.InvokerMiddleware(plain_asgi, door)),
        "Starlette": starlette_apps(door),
        "FastAPI, middleware": fastapi_apps(door, dependency=False),
        "FastAPI, dependency": fastapi_apps(door, dependency=True),
    }


def asgi_ask(app: Any, headers: list[tuple[bytes, bytes]], runner: asyncio.Runner, times: int) -> Ask:
    """Call an application as a server does, without one."""
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/orders", "query_string": b""}
    scope |= {"raw_path": b"/orders", "root_path": "", "scheme": "http", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def many() -> float:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.append(message["status"])

        began = time.perf_counter()
        for _ in range(times):
            await app(dict(scope), receive, send)
        seconds = time.perf_counter() - began
        assert statuses == [200] * times, set(statuses)
        return seconds / times

    return lambda: runner.run(many())


def wsgi_apps(door: Door) -> Mapping[str, Pair]:
    flasks = [Flask("orders"), Flask("orders")]
    for app in flasks:
        app.add_url_rule("/orders", view_func=lambda: "orders", endpoint="orders")
    flasks[0].wsgi_app = _nothing_wsgi(flasks[0].wsgi_app)  # type: ignore[method-assign]
    flask.Invoker(flasks[1], door)
    return {
        "WSGI": (_nothing_wsgi(plain_wsgi), wsgi.InvokerMiddleware(plain_wsgi, door)),
        "Flask": (flasks[0].wsgi_app, flasks[1].wsgi_app),
        "Django": _django_apps(door),
    }


def _nothing_wsgi(app: Any) -> Any:
    def serve(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    return serve


def nothing_django(get_response: Any) -> Any:
    def respond(request: Any) -> Any:
        return get_response(request)

    return respond


urlpatterns = [path("orders", lambda _: HttpResponse(b"orders"))]


def _django_apps(door: Door) -> Pair:
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of the benchmark", DOORWARD_DOOR=door
    )
    made = []
    for name in (f"{__name__}.nothing_django", "doorward_integrations.django.InvokerMiddleware"):
        settings.MIDDLEWARE = [name]
        made.append(WSGIHandler())
    return made[0], made[1]


def wsgi_ask(app: Any, headers: list[tuple[bytes, bytes]], times: int) -> Ask:
    """Call an application as a server does, without one."""
    environ: dict[str, Any] = {
        "HTTP_" + name.decode().upper().replace("-", "_"): value.decode() for name, value in headers
    }
    del environ["HTTP_CONTENT_TYPE"], environ["HTTP_CONTENT_LENGTH"]
    environ |= {"REQUEST_METHOD": "GET", "PATH_INFO": "/orders", "SCRIPT_NAME": "", "QUERY_STRING": ""}
    environ |= {"SERVER_NAME": "orders", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}
    environ |= {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO()}

    def ask() -> float:
        statuses: list[str] = []
        began = time.perf_counter()
        for _ in range(times):
            answer = app(dict(environ), lambda status, *_: statuses.append(status))
            b"".join(answer)
            getattr(answer, "close", str)()
        seconds = time.perf_counter() - began
        assert {one[:3] for one in statuses} == {"200"}, set(statuses)
        return seconds / times

    return ask


def aiohttp_asks(
    door: Door, token: str, runner: asyncio.Runner, stack: ExitStack, times: int
) -> tuple[Ask, Ask]:
    """Serve on loopback, in the loop of the client."""

    @web.middleware
    async def nothing_at_all(request: web.Request, handler: Any) -> Any:
        return await handler(request)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="orders")

    async def start(guard: Any) -> tuple[web.AppRunner, str]:
        app = web.Application(middlewares=[guard])
        app.router.add_get("/orders", answer)
        served = web.AppRunner(app, access_log=None)
        await served.setup()
        await web.TCPSite(served, "127.0.0.1", 0).start()
        return served, f"http://127.0.0.1:{served.addresses[0][1]}/orders"

    async def many(url: str) -> float:
        async with ClientSession(headers={"authorization": f"Bearer {token}"}) as session:
            began = time.perf_counter()
            for _ in range(times):
                async with session.get(url) as response:
                    assert response.status == 200, response.status
                    await response.read()
            return (time.perf_counter() - began) / times

    asks = []
    for guard in (nothing_at_all, aiohttp.invoker_middleware(door)):
        served, url = runner.run(start(guard))
        stack.callback(lambda served=served: runner.run(served.cleanup()))
        asks.append(lambda url=url: runner.run(many(url)))
    return asks[0], asks[1]


class _Nothing(grpc.ServerInterceptor):
    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return continuation(handler_call_details)


class _AioNothing(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return await continuation(handler_call_details)


def _handlers(*, asynchronous: bool) -> list[grpc.GenericRpcHandler]:
    async def in_loop(request: bytes, _context: Any) -> bytes:
        return request

    def in_thread(request: bytes, _context: Any) -> bytes:
        return request

    method: Any = grpc.unary_unary_rpc_method_handler(in_loop if asynchronous else in_thread)
    return [grpc.method_handlers_generic_handler("shop.Orders", {"GetOrder": method})]


def grpc_asks(
    door: Door, token: str, runner: asyncio.Runner, stack: ExitStack, times: int
) -> Mapping[str, tuple[Ask, Ask]]:
    """Serve on loopback: with threads to a blocking client, and in the loop of an asynchronous one."""
    metadata, method = (("authorization", f"Bearer {token}"),), "/shop.Orders/GetOrder"

    def threads(guard: Any) -> Ask:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        server = grpc.server(pool, handlers=_handlers(asynchronous=False), interceptors=[guard])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(None).wait(10))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        call: Any = channel.unary_unary(method)

        def ask() -> float:
            began = time.perf_counter()
            for _ in range(times):
                call(b"order", metadata=metadata)
            return (time.perf_counter() - began) / times

        return ask

    def in_loop(guard: Any) -> Ask:
        async def start() -> tuple[Any, Any]:
            server = grpc.aio.server(handlers=_handlers(asynchronous=True), interceptors=[guard])
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            return server, grpc.aio.insecure_channel(f"127.0.0.1:{port}")

        server, channel = runner.run(start())
        stack.callback(lambda: runner.run(server.stop(None)))
        stack.callback(lambda: runner.run(channel.close()))
        call = channel.unary_unary(method)

        async def many() -> float:
            began = time.perf_counter()
            for _ in range(times):
                await call(b"order", metadata=metadata)
            return (time.perf_counter() - began) / times

        return lambda: runner.run(many())

    return {
        "gRPC, threads": (threads(_Nothing()), threads(InvokerInterceptor(door))),
        "gRPC, aio": (in_loop(_AioNothing()), in_loop(AioInvokerInterceptor(door))),
    }
