"""The door in front of a Starlette application, with its middleware and with `Invoker`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.asyncio.client
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from doorward import ConfigurationError, Door, InvokerPolicy, PlainRequest, Refusal
from doorward_integrations import asgi
from doorward_integrations.starlette import Invoker, InvokerMiddleware, principal_of
from support.servers import asgi_server
from support.tokens import MEMBER
from support.world import World


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {"authorization": f"Bearer {world.token()}"}


async def show_caller(request: Request) -> Response:
    return PlainTextResponse(str(principal_of(request)))


class Service:
    """A Starlette application behind the door, and what its handlers have seen."""

    def __init__(self, door: Door, static: Path) -> None:
        self.calls: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/orders", self.orders),
                Route("/echo", self.echo, methods=["POST"]),
                WebSocketRoute("/feed", self.feed),
                Mount("/static", StaticFiles(directory=static)),
            ],
            middleware=[Middleware(InvokerMiddleware, door=door)],
            lifespan=self.lifespan,
        )

    async def orders(self, request: Request) -> Response:
        self.calls.append("orders")
        signature = request.headers["authorization"].rpartition(".")[2]
        return PlainTextResponse(f"{principal_of(request)} {signature} {request.state.ready}")

    async def echo(self, request: Request) -> Response:
        self.calls.append("echo")
        return Response(await request.body())

    async def feed(self, websocket: WebSocket) -> None:
        self.calls.append("feed")
        await websocket.accept()
        await websocket.send_text(str(principal_of(websocket)))
        await websocket.close()

    def lifespan(self, app: Starlette) -> Any:
        service = self

        class Lifespan:
            async def __aenter__(self) -> dict[str, str]:
                service.calls.append("startup")
                return {"ready": "ready"}

            async def __aexit__(self, *_: object) -> None:
                service.calls.append("shutdown")

        return Lifespan()


@pytest.fixture
def service(door: Door, tmp_path: Path) -> Service:
    (tmp_path / "page.txt").write_text("static")
    return Service(door, tmp_path)


@pytest.fixture
def base(service: Service) -> Iterator[str]:
    with asgi_server(service.app) as base:
        yield base


def test_the_endpoint_gets_the_caller_and_the_replaced_signature(base: str, bearer: dict[str, str]) -> None:
    answer = httpx.get(f"{base}/orders", headers=bearer)
    assert (200, f"{MEMBER} SIGNATURE_REMOVED_BY_GOOGLE ready") == (answer.status_code, answer.text)


def test_the_lifespan_runs_without_a_credential(door: Door, tmp_path: Path) -> None:
    service = Service(door, tmp_path)
    with asgi_server(service.app):
        assert ["startup"] == service.calls
    assert ["startup", "shutdown"] == service.calls


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE"])
def test_every_path_is_refused_to_the_byte(base: str, service: Service, door: Door, method: str) -> None:
    for path in ("/orders", "/nowhere", "/static/page.txt", "/static/%2e%2e/x", "//", "/*"):
        refused = httpx.request(method, base + path)
        expected = door.admit([], PlainRequest(path))
        assert isinstance(expected, Refusal)
        assert (403, expected.body) == (refused.status_code, refused.content)
        sent = [(name.lower(), value) for name, value in refused.headers.raw]
        assert list(expected.headers) == [pair for pair in sent if pair[0] not in {b"date", b"server"}]
    assert ["startup"] == service.calls


def test_a_static_file_is_served_to_a_caller_that_may_invoke(base: str, bearer: dict[str, str]) -> None:
    assert "static" == httpx.get(f"{base}/static/page.txt", headers=bearer).text


def test_the_body_arrives_whole(base: str, bearer: dict[str, str]) -> None:
    body = bytes(range(256)) * 4096
    assert body == httpx.post(f"{base}/echo", headers=bearer, content=body).content


def test_a_refused_head_request_has_no_body_but_its_length(base: str, door: Door) -> None:
    refused = httpx.head(f"{base}/orders")
    expected = door.admit([], PlainRequest("/orders"))
    assert isinstance(expected, Refusal)
    assert (403, b"", str(len(expected.body))) == (
        refused.status_code,
        refused.content,
        refused.headers["content-length"],
    )


def test_a_connection_serves_on_after_a_refusal(base: str, bearer: dict[str, str]) -> None:
    with httpx.Client(base_url=base) as client:
        statuses = [
            client.get("/orders", headers=headers).status_code for headers in ({}, bearer, {}, bearer)
        ]
    assert [403, 200, 403, 200] == statuses


def test_two_authorization_headers_are_refused(base: str, world: World, service: Service) -> None:
    headers = [("authorization", f"Bearer {world.token(sub=sub)}") for sub in ("1", "2")]
    assert 401 == httpx.get(f"{base}/orders", headers=headers).status_code
    assert ["startup"] == service.calls


class TestWebSocket:
    def test_without_a_credential_the_handler_never_runs(
        self, base: str, service: Service, door: Door
    ) -> None:
        async def connect() -> InvalidStatus:
            with pytest.raises(InvalidStatus) as refused:
                await websockets.asyncio.client.connect(base.replace("http:", "ws:") + "/feed", proxy=None)
            return refused.value

        answer = asyncio.run(connect()).response
        expected = door.admit([], PlainRequest("/feed"))
        assert isinstance(expected, Refusal)
        assert (403, expected.body) == (answer.status_code, answer.body)
        assert ["startup"] == service.calls

    def test_with_a_credential_the_handler_sees_the_caller(self, base: str, bearer: dict[str, str]) -> None:
        async def connect() -> object:
            async with websockets.asyncio.client.connect(
                base.replace("http:", "ws:") + "/feed", additional_headers=bearer, proxy=None
            ) as connection:
                return await connection.recv()

        assert MEMBER == asyncio.run(connect())


class TestInvoker:
    def test_the_caller_is_in_the_endpoint(self, door: Door, bearer: dict[str, str]) -> None:
        app = Starlette(routes=[Route("/orders", show_caller)])
        assert door is Invoker(app, door).door
        assert [(403, None), (200, MEMBER)] == [seen(app, "/orders", headers) for headers in ({}, bearer)]

    @pytest.mark.parametrize("path", ["/nowhere", "/static/page.txt", "/inner/orders", "/broken"])
    def test_everything_is_behind_it(
        self, door: Door, bearer: dict[str, str], tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "page.txt").write_text("static")
        reached: list[str] = []

        async def missing(request: Request, _: Exception) -> Response:
            reached.append(request.url.path)
            return PlainTextResponse(str(principal_of(request)), 404)

        app = Starlette(
            routes=[
                Mount("/static", StaticFiles(directory=tmp_path)),
                Mount("/inner", Starlette(routes=[Route("/orders", show_caller)])),
            ],
            exception_handlers={404: missing},
        )
        Invoker(app, door)
        assert (403, None) == seen(app, path, {})
        assert [] == reached
        assert seen(app, path, bearer)[1] in {MEMBER, "static"}

    def test_a_route_that_is_added_later_is_behind_it(self, door: Door, bearer: dict[str, str]) -> None:
        app = Starlette()
        Invoker(app, door)
        app.router.routes.append(Route("/late", show_caller))
        assert [(403, None), (200, MEMBER)] == [seen(app, "/late", headers) for headers in ({}, bearer)]

    def test_every_middleware_is_behind_it_whenever_it_was_added(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        calls: list[str] = []
        app = Starlette(
            routes=[Route("/orders", show_caller)], middleware=[Middleware(Noting, calls, "given")]
        )
        app.add_middleware(Noting, calls, "before")
        Invoker(app, door)
        app.add_middleware(Noting, calls, "after")
        assert (403, None) == seen(app, "/orders", {})
        assert [] == calls
        assert (200, MEMBER) == seen(app, "/orders", bearer)
        assert [f"{name} {MEMBER}" for name in ("after", "before", "given")] == calls

    @pytest.mark.parametrize("again", ["its own way", "the way of its class"])
    def test_a_stack_that_is_built_anew_has_it_once(
        self, door: Door, bearer: dict[str, str], again: str
    ) -> None:
        """Instrumentations replace the method that builds it, and may put back the one of the class."""
        app = Starlette(routes=[Route("/orders", show_caller)])
        Invoker(app, door)
        build = (
            app.build_middleware_stack
            if again == "its own way"
            else partial(type(app).build_middleware_stack, app)
        )
        for _ in range(2):
            app.middleware_stack = build()
            assert [(403, None), (200, MEMBER)] == [seen(app, "/orders", headers) for headers in ({}, bearer)]

    def test_it_stays_in_front_where_the_list_of_middleware_was_cleared(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        app = Starlette(routes=[Route("/orders", show_caller)])
        Invoker(app, door)
        app.user_middleware.clear()
        assert [(403, None), (200, MEMBER)] == [seen(app, "/orders", headers) for headers in ({}, bearer)]

    def test_the_lifespan_runs_behind_it(self, door: Door) -> None:
        calls: list[str] = []

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            calls.append("startup")
            yield
            calls.append("shutdown")

        app = Starlette(lifespan=lifespan)
        Invoker(app, door)
        with asgi_server(app) as base:
            assert 403 == httpx.get(f"{base}/orders").status_code
        assert ["startup", "shutdown"] == calls

    def test_a_websocket_is_behind_it(self, door: Door, bearer: dict[str, str]) -> None:
        async def feed(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(str(principal_of(websocket)))
            await websocket.close()

        app = Starlette(routes=[WebSocketRoute("/feed", feed)])
        Invoker(app, door)
        with asgi_server(app) as base:
            url = base.replace("http:", "ws:") + "/feed"
            with pytest.raises(InvalidStatus, match="403"), connect(url, proxy=None):
                pass
            with connect(url, additional_headers=bearer, proxy=None) as connection:
                assert MEMBER == connection.recv(10)

    @pytest.mark.parametrize("wrong", [None, "door", Door], ids=["none", "a string", "the class"])
    def test_without_a_door_it_is_not_made(self, wrong: Any) -> None:
        app = Starlette()
        with pytest.raises(ConfigurationError, match="needs a Door"):
            Invoker(app, wrong)
        assert [] == app.user_middleware

    def test_the_door_and_the_application_in_the_other_order_are_refused(self, door: Door) -> None:
        swapped: Any = (door, Starlette())
        with pytest.raises(ConfigurationError, match=r"Invoker\(app, door\) needs a Door, not Starlette"):
            Invoker(*swapped)

    @pytest.mark.parametrize("wrong", [None, show_caller], ids=["none", "a function"])
    def test_without_an_application_it_is_not_made(self, door: Door, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"InvokerMiddleware\(app, door\) guards any ASGI"):
            Invoker(wrong, door)

    def test_an_application_that_has_started_is_not_guarded_too_late(self, door: Door) -> None:
        app = Starlette()
        assert 404 == seen(app, "/orders", {})[0]
        with pytest.raises(ConfigurationError, match="has started"):
            Invoker(app, door)

    @pytest.mark.parametrize("first", ["Invoker", "add_middleware", "a subclass"])
    def test_a_second_door_is_refused(self, door: Door, first: str) -> None:
        class Mine(InvokerMiddleware): ...

        app = Starlette()
        if first == "Invoker":
            Invoker(app, door)
        else:
            app.add_middleware(Mine if first == "a subclass" else InvokerMiddleware, door=door)
        with pytest.raises(ConfigurationError, match="has a door already"):
            Invoker(app, door)


class Noting:
    """A middleware that notes the caller."""

    def __init__(self, app: ASGIApp, calls: list[str], name: str) -> None:
        self.app = app
        self.calls = calls
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append(f"{self.name} {principal_of(scope)}")
        await self.app(scope, receive, send)


def seen(app: Starlette, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """Return the status of an answer, and its text unless the door refused."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            return await client.get(path, headers=headers)

    answer = asyncio.run(get())
    return answer.status_code, None if answer.status_code == 403 else answer.text


def test_the_middleware_is_the_one_for_asgi() -> None:
    assert asgi.InvokerMiddleware is InvokerMiddleware
