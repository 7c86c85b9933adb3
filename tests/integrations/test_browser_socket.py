"""A browser's websocket: its token comes in a subprotocol, which the application neither sees nor chooses."""

# No `from __future__ import annotations`: FastAPI resolves those in the module, and here they name locals.

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from doorward import Door, InvokerPolicy, Principal
from doorward.door.subprotocol import find_in_subprotocol
from doorward_integrations import fastapi, starlette
from doorward_integrations.asgi import InvokerMiddleware
from support.servers import asgi_server
from support.tokens import MEMBER
from support.world import World


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), credential=find_in_subprotocol)


def app_of(door: Door, choice: str | None = None) -> Starlette:
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol=choice)
        offered = websocket.headers.get("sec-websocket-protocol")
        await websocket.send_json(
            [str(starlette.principal_of(websocket)), websocket["subprotocols"], offered]
        )
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/feed", feed)])
    starlette.Invoker(app, door)
    return app


def opened(base: str, *offers: str) -> tuple[str | None, str | bytes]:
    """Return the subprotocol that was chosen, and what the application has seen."""
    url = base.replace("http:", "ws:") + "/feed"
    with connect(url, subprotocols=[Subprotocol(one) for one in offers], proxy=None) as socket:
        return socket.subprotocol, socket.recv(10)


def test_an_application_that_chooses_none_has_the_name_chosen_for_it(door: Door, world: World) -> None:
    with asgi_server(app_of(door)) as base:
        chosen, seen = opened(base, "doorward.bearer", f"doorward.bearer.{world.token()}")
    assert ("doorward.bearer", f'["{MEMBER}",["doorward.bearer"],"doorward.bearer"]') == (chosen, seen)


def test_an_application_chooses_among_the_others(door: Door, world: World) -> None:
    with asgi_server(app_of(door, "chat")) as base:
        chosen, seen = opened(base, "chat", f"doorward.bearer.{world.token()}", "doorward.bearer")
    assert "chat" == chosen
    assert f'["{MEMBER}",["chat","doorward.bearer"],"chat, doorward.bearer"]' == seen


def test_where_the_token_is_the_only_offer_none_is_chosen(door: Door, world: World) -> None:
    with asgi_server(app_of(door)) as base:
        assert (None, f'["{MEMBER}",[],null]') == opened(base, f"doorward.bearer.{world.token()}")


def test_a_refusal_chooses_none_and_repeats_no_token(door: Door, world: World) -> None:
    token = world.token(aud="https://other")
    with asgi_server(app_of(door)) as base, pytest.raises(InvalidStatus) as refused:
        opened(base, "doorward.bearer", f"doorward.bearer.{token}")
    answer = refused.value.response
    assert (401, None) == (answer.status_code, answer.headers.get("sec-websocket-protocol"))
    assert token[:17] not in f"{answer.headers} {answer.body!r}"


def test_as_a_dependency_it_hides_the_token_as_well(door: Door, world: World) -> None:
    app, invoker = FastAPI(), fastapi.InvokerDependency(door)
    invoker.install(app)

    @app.websocket("/feed")
    async def feed(websocket: WebSocket, who: Annotated[Principal, Depends(invoker)]) -> None:
        await websocket.accept(subprotocol="chat")
        await websocket.send_json(
            [str(who), websocket["subprotocols"], websocket.headers["sec-websocket-protocol"]]
        )
        await websocket.close()

    with asgi_server(app) as base:
        assert ("chat", f'["{MEMBER}",["chat"],"chat"]') == opened(
            base, "chat", f"doorward.bearer.{world.token()}"
        )


class TestScope:
    """Message by message."""

    def passed(self, door: Door, *offers: str, accept: dict[str, Any] | None = None) -> tuple[Any, list[Any]]:
        seen: list[Any] = []
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope)
            await send({"type": "websocket.accept", **(accept or {})})

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"sec-websocket-protocol", ", ".join(offers).encode())]
        scope = {"type": "websocket", "path": "/feed", "headers": headers, "subprotocols": list(offers)}
        asyncio.run(InvokerMiddleware(app, door)(scope, receive, send))
        assert list(offers) == scope["subprotocols"]  # that of the server stays as it was
        return seen[0]["subprotocols"], sent

    @pytest.mark.parametrize("accept", [{}, {"subprotocol": None}, {"subprotocol": ""}])
    def test_the_name_is_chosen_where_none_is(self, door: Door, world: World, accept: dict[str, Any]) -> None:
        token = f"doorward.bearer.{world.token()}"
        seen, sent = self.passed(door, token, "doorward.bearer", accept=accept)
        assert (["doorward.bearer"], "doorward.bearer") == (seen, sent[0]["subprotocol"])

    def test_a_choice_of_the_application_stays(self, door: Door, world: World) -> None:
        token = f"doorward.bearer.{world.token()}"
        _, sent = self.passed(door, token, "doorward.bearer", "chat", accept={"subprotocol": "chat"})
        assert [{"type": "websocket.accept", "subprotocol": "chat"}] == sent

    def test_what_was_not_offered_is_not_chosen(self, door: Door, world: World) -> None:
        _, sent = self.passed(door, f"doorward.bearer.{world.token()}", "chat")
        assert [{"type": "websocket.accept"}] == sent

    def test_a_door_that_does_not_look_there_changes_nothing(self, world: World) -> None:
        door = Door(world.verifier(), InvokerPolicy.all_users())
        offers = ("doorward.bearer.a.b.c", "doorward.bearer")
        assert (list(offers), [{"type": "websocket.accept"}]) == self.passed(door, *offers)
