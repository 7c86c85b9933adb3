"""The server on loopback: start, stop, and what it refuses."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
import websockets.sync.client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol

from doorward import ConfigurationError
from doorward_integrations.emulator import LoopbackServer
from support.forks import forked, forking


async def hello(_: Request) -> Response:
    return PlainTextResponse("Hello")


APP = Starlette(routes=[Route("/", hello)])


def get(server: LoopbackServer) -> str:
    with httpx.Client(trust_env=False) as client:
        return client.get(f"{server.url}/").text


def test_it_serves_when_it_has_started_and_not_after() -> None:
    with LoopbackServer(APP) as server:
        port = server.port
        assert "Hello" == get(server)
        assert f"127.0.0.1:{port}" == server.host
        assert f"http://127.0.0.1:{port}" == server.url
        assert f"LoopbackServer(http://127.0.0.1:{port})" == repr(server)

    assert "LoopbackServer(stopped)" == repr(server)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))
    with pytest.raises(RuntimeError, match="is not running"):
        _ = server.url


def test_it_starts_again_on_the_same_port() -> None:
    with LoopbackServer(APP) as server:
        port = server.port
    again = LoopbackServer(APP, port=port)
    for _ in range(2):
        with again:
            assert port == again.port
            assert "Hello" == get(again)
    again.stop()


def test_it_starts_once_at_a_time() -> None:
    with LoopbackServer(APP) as server, pytest.raises(RuntimeError, match="is running already"):
        server.start()


def test_a_port_that_is_taken_is_refused() -> None:
    with LoopbackServer(APP) as server:
        second = LoopbackServer(APP, port=server.port)
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {server.port}"):
            second.start()
        assert "Hello" == get(server)


def test_it_serves_on_the_loopback_address_of_ipv6() -> None:
    server = LoopbackServer(APP, host="::1")
    try:
        server.start()
    except ConfigurationError:
        # A machine without IPv6 cannot listen there: nothing more can be tested on it.
        return
    try:
        assert f"http://[::1]:{server.port}" == server.url
        assert "Hello" == get(server)
    finally:
        server.stop()


def test_an_answer_is_sent_at_once() -> None:
    nodelay = []

    class Watched(LoopbackServer):
        def _make_server(self, notify: Any) -> uvicorn.Server:
            server = super()._make_server(notify)
            servers.append(server)
            return server

    async def look(_: Request) -> Response:
        for connection in servers[0].server_state.connections:
            assert isinstance(connection, H11Protocol)
            accepted = connection.transport.get_extra_info("socket")
            nodelay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return PlainTextResponse("Hello")

    servers: list[uvicorn.Server] = []
    with Watched(Starlette(routes=[Route("/", look)])) as server:
        get(server)
    assert [True] == [option != 0 for option in nodelay]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", "example.com", ""])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a loopback address"):
        LoopbackServer(APP, host=host)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="port=65536"):
        LoopbackServer(APP, port=65_536)
    with pytest.raises(ConfigurationError, match="grace=-1"):
        LoopbackServer(APP, grace=-1)


def test_without_uvicorn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'doorward\[emulator\]'"):
        LoopbackServer(APP)


def test_without_websockets_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(
        importlib.import_module("uvicorn.config").WS_PROTOCOLS, "websockets-sansio", raising=False
    )

    with pytest.raises(ConfigurationError, match="needs the package websockets"):
        LoopbackServer(APP, websockets=True)


def test_websockets_are_served_on_request() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("Hello")
        await websocket.receive()

    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    with (
        LoopbackServer(app, websockets=True) as server,
        websockets.sync.client.connect(f"ws://{server.host}/", proxy=None) as connection,
    ):
        assert "Hello" == connection.recv(5)


def test_the_lifespan_of_the_application_runs_once_around() -> None:
    events = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        events.append("up")
        yield
        events.append("down")

    with LoopbackServer(Starlette(lifespan=lifespan)):
        assert ["up"] == events
    assert ["up", "down"] == events


def test_an_application_that_does_not_start_is_reported_and_leaves_no_thread() -> None:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    server = LoopbackServer(Starlette(lifespan=lifespan))
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="its lifespan failed"):
        server.start()
    assert "LoopbackServer(stopped)" == repr(server)
    assert before == set(threading.enumerate())


def test_an_idle_connection_does_not_hold_up_the_stop() -> None:
    server = LoopbackServer(APP, grace=30).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    connection.getresponse().read()
    begun = time.monotonic()
    server.stop()

    assert 10 > time.monotonic() - begun
    connection.close()


def test_a_request_that_does_not_end_is_cancelled_after_the_grace() -> None:
    ended = threading.Event()

    async def forever() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def stream(_: Request) -> Response:
        return StreamingResponse(forever())

    server = LoopbackServer(Starlette(routes=[Route("/", stream)]), grace=0).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert b"first" == answer.read1()
    begun = time.monotonic()
    server.stop()

    assert 4 > time.monotonic() - begun
    assert ended.is_set()
    connection.close()
    answer.close()


def test_an_application_that_never_ends_is_left_running_with_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward_integrations.threaded_server._STOP_SECONDS", 0.1)
    release = threading.Event()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        release.wait(30)

    server = LoopbackServer(Starlette(lifespan=lifespan), grace=0).start()
    thread = next(one for one in threading.enumerate() if one.name == f"doorward-server-{server.port}")
    server.stop()

    assert "doorward.emulator" in {record.name for record in caplog.records}
    assert "does not end" in caplog.text
    release.set()
    thread.join(30)
    assert not thread.is_alive()


@forking
def test_a_child_can_use_a_server_of_its_parent_and_does_not_stop_it() -> None:
    with LoopbackServer(APP) as server:

        def child() -> object:
            server.stop()
            return [get(server), server.port]

        assert ["Hello", server.port] == forked(child)
        assert "Hello" == get(server)


@forking
def test_a_child_starts_a_server_of_its_own_on_a_free_port() -> None:
    with LoopbackServer(APP) as server:

        def child() -> object:
            with server as own:
                return [get(own), own.port]

        said, port = forked(child)
        assert "Hello" == said
        assert server.port != port
