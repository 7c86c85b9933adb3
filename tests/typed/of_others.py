"""Consumers of the adapters with servers of their own, as they are written: aiohttp, gRPC, functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, assert_type

import grpc
from aiohttp import web
from cloudevents.http import CloudEvent
from starlette.requests import Request

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward_integrations import aiohttp
from doorward_integrations import functions_framework as functions
from doorward_integrations import grpc as guarded_grpc
from doorward_integrations.grpc import HEALTH, REFLECTION, AioInvokerInterceptor, InvokerInterceptor

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
    exempt=[*HEALTH, *REFLECTION],
)

routes = web.RouteTableDef()


@routes.get("/orders")
@aiohttp.only(aiohttp.service_accounts)
async def orders(request: web.Request) -> web.Response:
    assert_type(aiohttp.principal_of(request), Principal)
    assert_type(aiohttp.end_user_of(request), Principal | None)
    return web.Response()


@routes.view("/views")
@aiohttp.only(members=["user:ann@example.com"])
class Orders(web.View):
    @aiohttp.only(lambda principal: principal.project == "my-project")
    async def get(self) -> web.Response:
        return web.Response(text=str(aiohttp.principal_of(self.request)))


app = web.Application()
app.add_routes(routes)
aiohttp.Invoker(app, door)
aiohttp.add_readiness(app, door)
ordered = web.Application(middlewares=[aiohttp.invoker_middleware(door)])


def get_order(request: bytes, context: grpc.ServicerContext) -> bytes:
    assert_type(guarded_grpc.current_principal(), Principal)
    assert_type(guarded_grpc.principal_of(context), Principal)
    assert_type(guarded_grpc.end_user_of(context), Principal | None)
    return request


class Servicer:
    @guarded_grpc.only(guarded_grpc.service_accounts)
    def watch(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield request

    @guarded_grpc.only(members=["user:ann@example.com"])
    async def put(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return str(guarded_grpc.principal_of(context)).encode()

    @guarded_grpc.only(lambda principal: principal.email is not None)
    async def talk(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


threads = grpc.server(ThreadPoolExecutor(), interceptors=[InvokerInterceptor(door)])


def serve() -> Any:
    return grpc.aio.server(interceptors=[AioInvokerInterceptor(door)])


functions.guard_functions(door)


@functions.guarded_http(door)
@functions.only(functions.service_accounts)
async def function(request: Request) -> str:
    return f"Hello, {functions.principal_of(request)}, {functions.end_user_of(request)}"


@functions.guarded_cloud_event(door)
def on_order(event: CloudEvent) -> None:
    assert_type(functions.current_principal(), Principal)
