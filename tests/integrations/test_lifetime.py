"""An end for websockets and event streams that outlive the decision on them; the clock is moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Any

import httpx
import pytest
import trio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from doorward import ConfigurationError, Door, InvokerPolicy
from doorward_integrations import fastapi, starlette
from doorward_integrations.asgi import ConnectionLifetime, InvokerMiddleware
from support.clock import ManualClock
from support.servers import asgi_server
from support.tokens import MEMBER
from support.world import World


class Alarm:
    """A sleep that ends when the clock is moved by hand past its time, in any event loop."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[float] = []
        self._sleepers: list[tuple[float, Any]] = []

    async def sleep(self, seconds: float) -> None:
        import anyio  # noqa: PLC0415 - as the code under test

        self.asked.append(seconds)
        event = anyio.Event()
        self._sleepers.append((self.clock.now + seconds, event))
        await event.wait()

    def move(self, seconds: float) -> None:
        self.clock.move(seconds)
        for until, event in self._sleepers:
            if until <= self.clock.now:
                event.set()


@pytest.fixture
def alarm(world: World) -> Alarm:
    return Alarm(world.clock)


@pytest.fixture
def door(world: World) -> Door:
    """A door that has its keys, so that no connection waits for a fetch."""
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    door.verifier.warm()
    return door


class Wire:
    """The server's side of one connection, of which the client says nothing until it is asked to."""

    def __init__(self, *incoming: dict[str, Any]) -> None:
        self.incoming = list(incoming)
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        import anyio  # noqa: PLC0415 - as the code under test

        if not self.incoming:
            await anyio.sleep_forever()
        return self.incoming.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]


def scope_of(kind: str, token: str | None) -> dict[str, Any]:
    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    scope: dict[str, Any] = {
        "type": kind,
        "path": "/live",
        "raw_path": b"/live",
        "headers": headers,
        "query_string": b"",
    }
    more: dict[str, Any] = {"method": "GET"} if kind == "http" else {"subprotocols": []}
    return scope | more


async def settled() -> None:
    """Let every other task go as far as it can."""
    import anyio  # noqa: PLC0415 - as the code under test

    for _ in range(20):
        await anyio.lowlevel.checkpoint()


LOOPS = [
    pytest.param(lambda work: asyncio.run(work()), id="asyncio"),
    pytest.param(trio.run, id="trio"),
]


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return request.param  # type: ignore[no-any-return]


async def beside(work: Any, *steps: Callable[[], object]) -> None:
    """Run a connection, and take steps beside it."""
    import anyio  # noqa: PLC0415 - as the code under test

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        for step in steps:
            await settled()
            step()


class TestWebSocket:
    def run(
        self, loop: Any, door: Door, lifetime: ConnectionLifetime, app: Any, token: str | None, *steps: Any
    ) -> Wire:
        wire = Wire({"type": "websocket.connect"})
        middleware = InvokerMiddleware(app, door, lifetime=lifetime)

        async def work() -> None:
            await middleware(scope_of("websocket", token), wire.receive, wire.send)

        loop(lambda: beside(work, *steps))
        return wire

    def test_it_is_closed_with_1008_when_its_token_has_expired(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        received: list[dict[str, Any]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            received.append(await receive())

        token = world.token(exp=int(world.clock.now) + 600)
        wires: list[Wire] = []
        lifetime = ConnectionLifetime(sleep=alarm.sleep)
        open_still: list[bool] = []
        wires.append(
            self.run(
                loop,
                door,
                lifetime,
                app,
                token,
                lambda: alarm.move(629),
                lambda: open_still.append(received == []),
                lambda: alarm.move(1),
            )
        )
        assert [630] == alarm.asked[:1]
        assert [True] == open_still
        assert [{"type": "websocket.disconnect", "code": 1008}] == received
        assert [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1008}] == wires[0].sent

    def test_an_application_that_sends_afterwards_learns_that_the_client_has_gone(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        failed: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError as error:
                failed.append(str(error))
            assert "websocket.disconnect" == (await receive())["type"]

        lifetime = ConnectionLifetime(seconds=60, sleep=alarm.sleep)
        wire = self.run(loop, door, lifetime, app, world.token(), lambda: alarm.move(60))
        assert 1 == len(failed)
        assert ["websocket.accept", "websocket.close"] == wire.types

    def test_one_that_does_not_end_is_cancelled_five_seconds_later(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        import anyio  # noqa: PLC0415 - as the code under test

        ends: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            try:
                await anyio.sleep_forever()
            finally:
                ends.append(f"{alarm.clock.now:.0f}")

        began = world.clock.now
        lifetime = ConnectionLifetime(seconds=60, sleep=alarm.sleep)
        steps = (lambda: alarm.move(60), lambda: alarm.move(4), lambda: alarm.move(1))
        self.run(loop, door, lifetime, app, world.token(), *steps)
        assert [f"{began + 65:.0f}"] == ends

    def test_one_that_was_not_accepted_is_refused(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await receive()

        lifetime = ConnectionLifetime(seconds=60, sleep=alarm.sleep)
        assert ["websocket.close"] == self.run(
            loop, door, lifetime, app, world.token(), lambda: alarm.move(60)
        ).types

    @pytest.mark.parametrize("by", ["the application", "the client"])
    def test_one_that_has_ended_already_is_not_closed_again(
        self, loop: Any, door: Door, world: World, alarm: Alarm, by: str
    ) -> None:
        import anyio  # noqa: PLC0415 - as the code under test

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if by == "the application":
                await send({"type": "websocket.close", "code": 1000})
            else:
                wire.incoming.append({"type": "websocket.disconnect", "code": 1001})
                await receive()
                await receive()
            with contextlib.suppress(TimeoutError):
                with anyio.fail_after(10):
                    await anyio.sleep_forever()

        wire = Wire({"type": "websocket.connect"})
        lifetime = ConnectionLifetime(seconds=60, sleep=alarm.sleep)
        middleware = InvokerMiddleware(app, door, lifetime=lifetime)

        async def work() -> None:
            await middleware(scope_of("websocket", world.token()), wire.receive, wire.send)

        loop(lambda: beside(work, lambda: alarm.move(60), lambda: alarm.move(5)))
        assert [1000] * (by == "the application") == [message["code"] for message in wire.sent]

    def test_a_server_that_fails_to_close_harms_nothing(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        received: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            received.extend([(await receive())["type"], (await receive())["type"]])

        async def send(_: Any) -> None:
            raise RuntimeError("the client has gone")

        wire = Wire({"type": "websocket.connect"})
        middleware = InvokerMiddleware(app, door, lifetime=ConnectionLifetime(seconds=60, sleep=alarm.sleep))

        async def work() -> None:
            await middleware(scope_of("websocket", world.token()), wire.receive, send)

        loop(lambda: beside(work, lambda: alarm.move(60)))
        assert ["websocket.connect", "websocket.disconnect"] == received

    def test_what_the_application_raises_passes_through_as_it_is(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise KeyError("mine")

        middleware = InvokerMiddleware(app, door, lifetime=ConnectionLifetime(seconds=60, sleep=alarm.sleep))
        wire = Wire({"type": "websocket.connect"})
        with pytest.raises(KeyError, match="mine"):
            loop(lambda: middleware(scope_of("websocket", world.token()), wire.receive, wire.send))

    def test_without_a_token_only_a_fixed_time_ends_it(self, loop: Any, world: World, alarm: Alarm) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        public = Door(world.verifier(), InvokerPolicy.all_users())
        self.run(loop, public, ConnectionLifetime(sleep=alarm.sleep), app, None)
        assert [] == alarm.asked
        self.run(loop, public, ConnectionLifetime(seconds=9, sleep=alarm.sleep), app, None)
        assert [9] == alarm.asked

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, 3630),
            ({"seconds": 60}, 60),
            ({"seconds": 7200}, 3630),
            ({"seconds": 7200, "with_token": False}, 7200),
            ({"seconds": 0.5}, 0.5),
        ],
    )
    def test_the_earlier_end_counts(
        self, door: Door, world: World, alarm: Alarm, settings: dict[str, Any], expected: float
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await settled()

        lifetime = ConnectionLifetime(sleep=alarm.sleep, **settings)
        self.run(trio.run, door, lifetime, app, world.token())
        assert [expected] == alarm.asked

    def test_the_token_of_an_end_user_counts_too(self, world: World, alarm: Alarm) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await settled()

        door = Door(
            world.verifier(),
            InvokerPolicy.from_members([MEMBER]),
            end_user=world.verifier("https://web"),
            end_user_callers=[MEMBER],
        )
        user = world.token(aud="https://web", exp=int(world.clock.now) + 100)
        scope = scope_of("websocket", user)
        scope["headers"].append((b"x-serverless-authorization", b"Bearer " + world.token().encode()))
        middleware = InvokerMiddleware(app, door, lifetime=ConnectionLifetime(sleep=alarm.sleep))
        wire = Wire()
        trio.run(middleware, scope, wire.receive, wire.send)
        assert [130] == alarm.asked


class TestEventStream:
    def run(self, loop: Any, door: Door, alarm: Alarm, token: str, app: Any, *steps: Any) -> Wire:
        wire = Wire({"type": "http.request", "body": b"", "more_body": False})
        middleware = InvokerMiddleware(app, door, lifetime=ConnectionLifetime(sleep=alarm.sleep))

        async def work() -> None:
            await middleware(scope_of("http", token), wire.receive, wire.send)

        loop(lambda: beside(work, *steps))
        return wire

    @pytest.mark.parametrize("media", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
    def test_it_ends_in_order_when_its_token_has_expired(
        self, loop: Any, door: Door, world: World, alarm: Alarm, media: str
    ) -> None:
        import anyio  # noqa: PLC0415 - as the code under test

        cleaned: list[bool] = []

        async def events() -> AsyncIterator[str]:
            try:
                yield "data: 1\n\n"
                await anyio.sleep_forever()
            finally:
                cleaned.append(True)

        async def live(request: Request) -> Response:
            return StreamingResponse(events(), headers={"content-type": media})

        app = Starlette(routes=[Route("/live", live)])
        wire = self.run(loop, door, alarm, world.token(), app, lambda: alarm.move(3630))
        assert [True] == cleaned
        assert [3630] == alarm.asked
        last = {"type": "http.response.body", "body": b"", "more_body": False}
        assert (["http.response.start", *["http.response.body"] * 2], last) == (wire.types, wire.sent[-1])

    def test_one_that_ends_by_itself_is_not_ended_again(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        async def live(request: Request) -> Response:
            return Response("data: 1\n\n", media_type="text/event-stream")

        app = Starlette(routes=[Route("/live", live)])
        wire = self.run(loop, door, alarm, world.token(), app)
        assert ["http.response.start", "http.response.body"] == wire.types

    def test_one_that_begins_after_the_expiry_ends_at_once(
        self, loop: Any, door: Door, world: World, alarm: Alarm
    ) -> None:
        async def live(request: Request) -> Response:
            alarm.move(4000)
            return Response("data: 1\n\n", media_type="text/event-stream")

        self.run(loop, door, alarm, world.token(), Starlette(routes=[Route("/live", live)]))
        assert [0.0] == alarm.asked

    @pytest.mark.parametrize("media", ["text/plain", "application/octet-stream", "text/event-streams"])
    def test_no_other_answer_is_cut_short(
        self, loop: Any, door: Door, world: World, alarm: Alarm, media: str
    ) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            alarm.move(8000)
            await settled()
            yield b"b"

        async def live(request: Request) -> Response:
            return StreamingResponse(parts(), headers={"content-type": media})

        wire = self.run(loop, door, alarm, world.token(), Starlette(routes=[Route("/live", live)]))
        assert ([], b"ab") == (alarm.asked, b"".join(one.get("body", b"") for one in wire.sent))


def test_a_real_websocket_is_closed_under_starlette(door: Door, world: World, caplog: Any) -> None:
    ended: list[int] = []

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("open")
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as error:
            ended.append(error.code)

    app = Starlette(routes=[WebSocketRoute("/live", live)])
    starlette.Invoker(app, door, lifetime=ConnectionLifetime(seconds=0.05))
    with asgi_server(app) as base:
        url = f"{base.replace('http:', 'ws:')}/live"
        headers = {"authorization": f"Bearer {world.token()}"}
        with connect(url, additional_headers=headers, proxy=None) as socket:
            assert "open" == socket.recv(10)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(10)
    assert closed.value.rcvd is not None
    assert (1008, [1008]) == (closed.value.rcvd.code, ended)
    assert [] == [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_real_event_stream_ends_under_fastapi(door: Door, world: World, caplog: Any) -> None:
    async def events() -> AsyncIterator[str]:
        yield "data: 1\n\n"
        await asyncio.Event().wait()

    app = FastAPI()
    fastapi.Invoker(app, door, lifetime=ConnectionLifetime(seconds=0.05))
    app.get("/live")(lambda: StreamingResponse(events(), media_type="text/event-stream"))
    app.get("/plain")(lambda: PlainTextResponse("whole"))
    with asgi_server(app) as base:
        headers = {"authorization": f"Bearer {world.token()}"}
        answers = [httpx.get(f"{base}{path}", headers=headers) for path in ("/live", "/plain")]
    assert ["data: 1\n\n", "whole"] == [answer.text for answer in answers]
    assert [] == [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "settings",
    [
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"seconds": "60"},
        {"seconds": True},
        {"with_token": False},
    ],
)
def test_a_lifetime_without_an_end_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="seconds="):
        ConnectionLifetime(**settings)


@pytest.mark.parametrize("wrong", [60, "token", ConnectionLifetime])
def test_what_is_no_lifetime_is_refused(door: Door, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a ConnectionLifetime"):
        InvokerMiddleware(Starlette(), door, lifetime=wrong)
