"""Websockets through the gateway, to an upstream under uvicorn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from doorward_integrations.gateway import GatewayServer, Upstream
from support.gateway import PATIENCE, door_of, serving
from support.servers import asgi_server
from support.world import World


class Service:
    """An application that does what the path says."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.codes: list[tuple[int, str]] = []
        self.closed = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        self.scopes.append(scope)
        await receive()
        if scope["path"] == "/refuse":
            headers = [(b"content-length", b"0")]
            await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
        cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": cookies})
        if scope["path"] == "/close":
            await send({"type": "websocket.close", "code": 4321, "reason": "enough"})
        await self.echo(receive, send)

    async def echo(self, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            kind = "text" if message.get("text") is not None else "bytes"
            await send({"type": "websocket.send", kind: message[kind]})
        self.codes.append((message["code"], message.get("reason") or ""))
        self.closed.set()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(world: World, service: Service) -> Iterator[GatewayServer]:
    with asgi_server(service) as url, serving(door_of(world), Upstream(url)) as server:
        yield server


def opened(server: GatewayServer, world: World, path: str = "/", **settings: Any) -> ClientConnection:
    headers = {"Authorization": f"Bearer {world.token()}"}
    opened: ClientConnection = connect(
        f"ws://127.0.0.1:{server.port}{path}",
        additional_headers=headers,
        open_timeout=PATIENCE,
        proxy=None,
        **settings,
    )
    return opened


def test_text_and_bytes_go_both_ways(server: GatewayServer, world: World) -> None:
    with opened(server, world) as socket:
        for message in ("é", b"\x00\xff", "", b"", "x" * 900_000):
            socket.send(message)
            assert message == socket.recv(PATIENCE)


def test_the_upstream_chooses_the_subprotocol_and_sets_cookies(
    server: GatewayServer, world: World, service: Service
) -> None:
    with opened(server, world, "/a%2Fb?q=1", subprotocols=["one", "two"]) as socket:
        assert "two" == socket.subprotocol
        assert socket.response is not None
        assert ["a=1", "b=2"] == socket.response.headers.get_all("set-cookie")
    (scope,) = service.scopes
    assert (b"/a%2Fb", b"q=1", ["one", "two"]) == (
        scope["raw_path"],
        scope["query_string"],
        scope["subprotocols"],
    )
    headers = dict(scope["headers"])
    assert headers[b"authorization"].endswith(b".SIGNATURE_REMOVED_BY_GOOGLE")
    assert b"127.0.0.1" == headers[b"x-forwarded-for"]
    assert b"http" == headers[b"x-forwarded-proto"]


def test_no_subprotocol_is_chosen_where_none_is_offered(server: GatewayServer, world: World) -> None:
    with opened(server, world) as socket:
        assert socket.subprotocol is None


def test_the_code_with_which_the_upstream_closes_reaches_the_client(
    server: GatewayServer, world: World
) -> None:
    with opened(server, world, "/close") as socket, pytest.raises(ConnectionClosed):
        socket.recv(PATIENCE)
    assert (4321, "enough") == (socket.close_code, socket.close_reason)


def test_the_code_with_which_the_client_closes_reaches_the_upstream(
    server: GatewayServer, world: World, service: Service
) -> None:
    with opened(server, world) as socket:
        socket.close(4001, "later")
    assert service.closed.wait(PATIENCE)
    assert [(4001, "later")] == service.codes


def test_the_upstream_sees_that_the_client_is_gone(
    server: GatewayServer, world: World, service: Service
) -> None:
    with opened(server, world) as socket:
        socket.socket.close()
        assert service.closed.wait(PATIENCE)
    assert [1000] == [code for code, _ in service.codes]


def test_a_refused_websocket_is_answered_by_the_door(server: GatewayServer, service: Service) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{server.port}/", proxy=None)

    assert 403 == refused.value.response.status_code
    assert b"<title>403 Forbidden</title>" in (refused.value.response.body or b"")
    assert [] == service.scopes


def test_the_status_with_which_the_upstream_refuses_reaches_the_client(
    server: GatewayServer, world: World
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(server, world, "/refuse")

    assert 418 == refused.value.response.status_code


def test_an_upstream_that_is_away_is_502_to_a_websocket(world: World) -> None:
    with serving(door_of(world), Upstream("http://127.0.0.1:1")) as server:
        with pytest.raises(InvalidStatus) as refused:
            opened(server, world)

        assert 502 == refused.value.response.status_code


def test_a_websocket_ends_with_the_request_timeout(world: World, service: Service) -> None:
    with asgi_server(service) as url, serving(door_of(world), Upstream(url, request_timeout=0.2)) as server:
        with opened(server, world) as socket, pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)
        assert (1001, "request timeout") == (socket.close_code, socket.close_reason)
