"""The door in Starlette: the middleware, and the caller of a request, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus

from doorward import ConfigurationError, Door, InvokerPolicy, PlainRequest, Refusal
from doorward_integrations import asgi
from doorward_integrations.starlette import InvokerMiddleware, principal_of
from support.servers import asgi_server
from support.tokens import MEMBER
from support.world import World


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {"authorization": f"Bearer {world.token()}"}


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


def test_a_static_file_is_served_to_whom_may_invoke(base: str, bearer: dict[str, str]) -> None:
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


class TestPrincipalOf:
    def test_where_everybody_may_come_it_is_anonymous(self, world: World) -> None:
        door = Door(world.verifier(), InvokerPolicy.all_users())
        admission = door.admit([])
        request = Request({"type": "http", "headers": [], asgi.ADMISSION: admission})
        assert principal_of(request).anonymous

    @pytest.mark.parametrize(
        "scope",
        [
            pytest.param({}, id="no middleware"),
            pytest.param({asgi.ADMISSION: None}, id="none"),
            pytest.param({asgi.ADMISSION: {"principal": MEMBER}}, id="something that looks like it"),
        ],
    )
    def test_without_an_admission_it_raises(self, scope: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="InvokerMiddleware"):
            principal_of(Request({"type": "http", "headers": [], **scope}))

    def test_a_refusal_is_no_admission(self, door: Door) -> None:
        refusal = door.admit([])
        assert isinstance(refusal, Refusal)
        with pytest.raises(ConfigurationError):
            principal_of(Request({"type": "http", "headers": [], asgi.ADMISSION: refusal}))


def test_the_middleware_is_the_one_for_asgi() -> None:
    assert asgi.InvokerMiddleware is InvokerMiddleware
