"""The readiness probe in every framework: 200 or 503, and what is not ready as JSON without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import ConfigurationError, Door, InvokerPolicy
from doorward_integrations import asgi, fastapi, flask, starlette, wsgi
from doorward_integrations.readiness import readiness_answer
from support.servers import asgi_server, waitress
from support.tokens import MEMBER
from support.world import World

Serve = Callable[[Door], AbstractContextManager[httpx.Client]]
PROBE = ("GET", "/readyz")


class Away:
    """A source of a policy whose last error holds what no caller should read."""

    def __init__(self) -> None:
        self.current = InvokerPolicy.from_members([MEMBER])

    def health(self) -> dict[str, Any]:
        return {"ready": False, "state": "dead", "last_error": "/etc/secret: member 'person@example.com'"}


def catch_all(_: Any) -> PlainTextResponse:
    return PlainTextResponse("of the application")


def asgi_app(door: Door) -> Any:
    return asgi.ReadinessApp(door)


def wsgi_app(door: Door) -> Any:
    return wsgi.ReadinessApp(door)


def starlette_app(door: Door) -> Any:
    app = Starlette(routes=[Route("/{path:path}", catch_all)])
    starlette.add_readiness(app, door)
    starlette.Invoker(app, door)
    return app


def fastapi_app(door: Door) -> Any:
    app = FastAPI()
    app.add_api_route("/{path:path}", lambda: "of the application")
    fastapi.add_readiness(app, door)
    fastapi.Invoker(app, door)
    return app


def flask_app(door: Door) -> Any:
    app = Flask(__name__)
    app.add_url_rule("/<path:path>", "all", lambda path: path)
    flask.add_readiness(app, door)
    flask.Invoker(app, door)
    return app


@pytest.fixture(
    params=[asgi_app, wsgi_app, starlette_app, fastapi_app, flask_app], ids=lambda one: one.__name__
)
def serve(request: pytest.FixtureRequest) -> Serve:
    """Serve the probe in one of the frameworks, over real HTTP."""

    @contextlib.contextmanager
    def serving(door: Door) -> Iterator[httpx.Client]:
        app = request.param(door)
        server = waitress if request.param in (wsgi_app, flask_app) else asgi_server
        with server(app) as base, httpx.Client(base_url=base, trust_env=False) as client:
            yield client

    return serving


def test_a_door_that_can_decide_is_answered_with_200(serve: Serve, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=[PROBE, ("HEAD", "/readyz")])
    door.verifier.warm()

    with serve(door) as client:
        answer = client.get("/readyz")
        head = client.head("/readyz")

    assert (200, "application/json", "no-store") == (
        answer.status_code,
        answer.headers["content-type"],
        answer.headers["cache-control"],
    )
    assert {
        "ready": True,
        "parts": [
            {"part": "keys", "name": "google", "ready": True, "state": "fresh", "why": None},
            {"part": "policy", "name": "InvokerPolicy", "ready": True, "state": None, "why": None},
        ],
    } == answer.json()
    assert (200, b"", answer.headers["content-length"]) == (
        head.status_code,
        head.content,
        head.headers["content-length"],
    )


def test_a_door_that_cannot_is_answered_with_503_and_why_without_a_secret(serve: Serve, world: World) -> None:
    door = Door(world.verifier(), Away(), exempt=[PROBE])
    world.endpoint.down()

    with serve(door) as client:
        answer = client.get("/readyz")

    assert 503 == answer.status_code
    keys, policy = answer.json()["parts"]
    assert (False, "empty") == (keys["ready"], keys["state"])
    assert (
        "the policy cannot decide now, in the state 'dead'; the last attempt to renew failed" == policy["why"]
    )
    assert "secret" not in answer.text
    assert "example.com" not in answer.text


@pytest.mark.parametrize("make", [starlette_app, fastapi_app, flask_app])
def test_behind_the_door_the_probe_is_answered_only_where_it_is_exempt(make: Any, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    server = waitress if make is flask_app else asgi_server
    with server(make(door)) as base:
        assert 403 == httpx.get(f"{base}/readyz", trust_env=False).status_code


@pytest.mark.parametrize(
    "make",
    [
        asgi.ReadinessApp,
        wsgi.ReadinessApp,
        lambda door: starlette.add_readiness(Starlette(), door),
        lambda door: fastapi.add_readiness(FastAPI(), door),
        lambda door: flask.add_readiness(Flask(__name__), door),
    ],
)
def test_what_is_not_a_door_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs a Door, not str"):
        make("door")


def test_the_probe_is_no_part_of_the_published_description_of_an_api(world: World) -> None:
    app = FastAPI()
    fastapi.add_readiness(app, Door(world.verifier(), InvokerPolicy.from_members([MEMBER])))

    assert {} == app.openapi()["paths"]


def test_a_websocket_is_no_probe(world: World) -> None:
    app = asgi.ReadinessApp(Door(world.verifier(), InvokerPolicy.from_members([MEMBER])))

    async def ask() -> None:
        await app({"type": "websocket"}, None, None)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="'websocket'"):
        asyncio.run(ask())


def test_the_body_is_json_of_the_length_that_its_header_says(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    status, headers, body = readiness_answer(door)

    assert (503, str(len(body))) == (status, dict(headers)["content-length"])
    assert json.loads(body)["ready"] is False
