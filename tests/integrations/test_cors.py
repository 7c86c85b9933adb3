"""CORS: preflights pass or are answered by one setting, and refusals carry the headers that a page needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from flask import Flask, Response, request
from flask_cors import CORS, cross_origin
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import ConfigurationError, Door, InvokerPolicy, PlainRequest, Refusal
from doorward_integrations import asgi, fastapi, flask, starlette, wsgi
from doorward_integrations.admission import principal_of
from support.tokens import MEMBER
from support.world import World

PAGE = "https://ui.example.com"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization",
}
BAD = {"origin": PAGE, "authorization": "Bearer a.b.c"}
PREFLIGHTS = [("OPTIONS", "/{path:path}")]
ALLOWED: dict[str, Any] = {"allow_origins": [PAGE], "allow_headers": ["authorization"]}


def door_of(world: World, **settings: Any) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), **settings)


async def orders(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(principal_of(request)))


def starlette_app(*middleware: Any) -> Starlette:
    routes = [Route("/orders/{number}", orders)]
    return Starlette(routes=routes, middleware=[Middleware(one, **ALLOWED) for one in middleware])


def asked(app: Any, method: str, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """Return the status of an answer, and the origin that may read it."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            return await client.request(method, path, headers=headers)

    answer = asyncio.run(ask())
    return answer.status_code, answer.headers.get("access-control-allow-origin")


def in_front_of_starlette(world: World) -> Any:
    app = starlette_app(CORSMiddleware)
    starlette.Invoker(app, door_of(world), in_front=[CORSMiddleware])
    return app


def in_front_of_fastapi(world: World) -> Any:
    app = FastAPI()
    fastapi.Invoker(app, door_of(world), in_front=[CORSMiddleware])
    app.add_middleware(CORSMiddleware, **ALLOWED)
    app.get("/orders/{number}")(_number)
    return app


def around_any_asgi(world: World) -> Any:
    return CORSMiddleware(asgi.InvokerMiddleware(starlette_app(), door_of(world)), **ALLOWED)


def around_a_dependency(world: World) -> Any:
    app, invoker = FastAPI(), fastapi.InvokerDependency(door_of(world))
    invoker.install(app)
    app.add_middleware(CORSMiddleware, **ALLOWED)
    app.get("/orders/{number}", dependencies=[Depends(invoker)])(_number)
    return app


async def _number(number: str) -> str:
    return number


class TestInFrontOfTheDoor:
    @pytest.fixture(params=[in_front_of_starlette, in_front_of_fastapi, around_any_asgi, around_a_dependency])
    def app(self, request: pytest.FixtureRequest, world: World) -> Any:
        return request.param(world)

    @pytest.mark.parametrize("path", ["/orders/1", "/orders/2", "/nowhere"])
    def test_preflights_are_answered(self, app: Any, path: str) -> None:
        assert (200, PAGE) == asked(app, "OPTIONS", path, PREFLIGHT)

    def test_refusals_may_be_read_by_the_page(self, app: Any) -> None:
        assert [(403, PAGE), (401, PAGE)] == [
            asked(app, "GET", "/orders/1", headers) for headers in ({"origin": PAGE}, BAD)
        ]

    def test_another_page_is_still_turned_away(self, app: Any) -> None:
        evil = "https://evil.example.com"
        assert 400 == asked(app, "OPTIONS", "/orders/1", PREFLIGHT | {"origin": evil})[0]
        assert (403, None) == asked(app, "GET", "/orders/1", {"origin": evil})

    def test_what_is_no_preflight_is_refused(self, app: Any) -> None:
        assert asked(app, "OPTIONS", "/orders/1", {"origin": PAGE})[0] in {403, 405}

    def test_a_caller_is_let_in(self, app: Any, world: World) -> None:
        headers = {"origin": PAGE, "authorization": f"Bearer {world.token()}"}
        assert (200, PAGE) == asked(app, "GET", "/orders/1", headers)


class TestExempt:
    """The door lets every preflight pass, and the application answers it."""

    def test_middleware_behind_the_door_answers_preflights(self, world: World) -> None:
        app = starlette_app(CORSMiddleware)
        starlette.Invoker(app, door_of(world, exempt=PREFLIGHTS))
        assert [(200, PAGE)] * 2 == [asked(app, "OPTIONS", path, PREFLIGHT) for path in ("/orders/1", "/x")]
        assert (403, None) == asked(app, "GET", "/orders/1", {"origin": PAGE})

    def test_without_a_setting_they_are_refused_as_on_cloud_run(self, world: World) -> None:
        app = starlette_app(CORSMiddleware)
        starlette.Invoker(app, door_of(world))
        assert (403, None) == asked(app, "OPTIONS", "/orders/1", PREFLIGHT)

    def test_any_wsgi_application_receives_them(self, world: World) -> None:
        app = flask_app()
        app.wsgi_app = wsgi.InvokerMiddleware(app.wsgi_app, door_of(world, exempt=PREFLIGHTS))  # type: ignore[method-assign]
        assert PAGE == app.test_client().options("/orders/1", headers=PREFLIGHT).headers[ALLOW]


class TestOrder:
    def test_only_what_is_named_runs_before_the_door(self, world: World) -> None:
        app = starlette_app(CORSMiddleware)
        starlette.Invoker(app, door_of(world), in_front=(one for one in [CORSMiddleware]))
        app.add_middleware(GZipMiddleware)
        app.build_middleware_stack()
        assert ["CORSMiddleware", "InvokerMiddleware", "GZipMiddleware"] == [
            getattr(entry.cls, "__name__", "") for entry in app.user_middleware
        ]

    def test_several_keep_the_order_of_the_application(self, world: World) -> None:
        app = Starlette(middleware=[Middleware(GZipMiddleware), Middleware(CORSMiddleware)])
        starlette.Invoker(app, door_of(world), in_front=[CORSMiddleware, GZipMiddleware])
        for _ in range(2):  # an instrumentation may build the stack anew
            app.build_middleware_stack()
        assert ["GZipMiddleware", "CORSMiddleware", "InvokerMiddleware"] == [
            getattr(entry.cls, "__name__", "") for entry in app.user_middleware
        ]

    def test_a_middleware_that_is_missing_is_found_when_the_application_starts(self, world: World) -> None:
        app = starlette_app()
        starlette.Invoker(app, door_of(world), in_front=[CORSMiddleware])
        with pytest.raises(ConfigurationError, match="in_front names CORSMiddleware, which"):
            asked(app, "GET", "/orders/1", {})

    @pytest.mark.parametrize("wrong", [["CORSMiddleware"], [Middleware(CORSMiddleware)], 7, "cors"])
    def test_what_is_no_class_is_refused(self, world: World, wrong: Any) -> None:
        app = starlette_app()
        with pytest.raises(ConfigurationError, match="in_front must be a list of middleware classes"):
            starlette.Invoker(app, door_of(world), in_front=wrong)
        assert [] == app.user_middleware


ALLOW = "access-control-allow-origin"


def flask_app(hook: Callable[[Response], Response] | None = None) -> Flask:
    """Return an application whose hook does as that of flask-cors."""
    app = Flask("orders")

    @app.after_request
    def add_headers(response: Response) -> Response:
        if request.headers.get("origin") == PAGE:
            response.headers[ALLOW] = PAGE
            response.headers["access-control-allow-headers"] = "authorization"
            response.vary.add("origin")
        return response if hook is None else hook(response)

    app.add_url_rule("/orders/<number>", view_func=lambda number: number, endpoint="order")
    return app


class TestFlask:
    def guarded(self, world: World, hook: Callable[[Response], Response] | None = None) -> Flask:
        app = flask_app(hook)
        flask.Invoker(app, door_of(world, exempt=PREFLIGHTS), after_request=True)
        return app

    @pytest.mark.parametrize("path", ["/orders/1", "/orders/2"])
    def test_preflights_are_answered_by_the_application(self, world: World, path: str) -> None:
        answer = self.guarded(world).test_client().options(path, headers=PREFLIGHT)
        assert (200, PAGE) == (answer.status_code, answer.headers[ALLOW])

    def test_refusals_may_be_read_by_the_page(self, world: World) -> None:
        client = self.guarded(world).test_client()
        answers = [client.get("/orders/1", headers=headers) for headers in ({"origin": PAGE}, BAD)]
        assert [(403, PAGE, "origin"), (401, PAGE, "origin")] == [
            (one.status_code, one.headers[ALLOW], one.headers["vary"]) for one in answers
        ]

    def test_they_are_the_doors_to_the_byte_besides(self, world: World) -> None:
        answer = self.guarded(world).test_client().get("/orders/1", headers={"origin": PAGE})
        expected = door_of(world).admit([], PlainRequest("/orders/1"))
        assert isinstance(expected, Refusal)
        sent = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        assert (expected.body, list(expected.headers)) == (answer.data, sent[: len(expected.headers)])

    def test_a_hook_cannot_open_the_door_or_change_its_answer(self, world: World) -> None:
        def opens(response: Response) -> Response:
            response.status_code = 200
            response.data = b"everything"
            response.headers["Content-Type"] = "text/plain"
            response.headers["X-Also"] = "this"
            return response

        answer = self.guarded(world, opens).test_client().get("/orders/1")
        expected = door_of(world).admit([], PlainRequest("/orders/1"))
        assert isinstance(expected, Refusal)
        assert (403, expected.body, "this") == (answer.status_code, answer.data, answer.headers["X-Also"])
        assert "text/html; charset=UTF-8" == answer.headers["Content-Type"]

    @pytest.mark.parametrize(
        "name", ["Authorization", "X-Serverless-Authorization", "X_Serverless-Authorization"]
    )
    def test_a_hook_sees_no_credential_of_a_request_that_was_refused(self, world: World, name: str) -> None:
        seen: list[dict[str, str]] = []

        def look(response: Response) -> Response:
            seen.append(dict(request.headers))
            return response

        client = self.guarded(world, look).test_client()
        client.get("/orders/1", headers={name: f"Bearer {world.token(aud='https://other')}", "X-Own": "a"})
        (headers,) = seen
        assert {"X-Own": "a"} == {key: value for key, value in headers.items() if key.startswith(("X", "A"))}

    def test_a_hook_finds_no_caller_of_a_request_that_was_refused(self, world: World) -> None:
        def look(response: Response) -> Response:
            with pytest.raises(ConfigurationError):
                str(flask.current_principal)
            return response

        assert 403 == self.guarded(world, look).test_client().get("/orders/1").status_code

    def test_no_view_and_no_other_hook_runs_on_a_refusal(self, world: World) -> None:
        app = self.guarded(world)
        reached: list[str] = []
        app.before_request(lambda: reached.append("before"))

        @app.get("/seen")
        def seen() -> str:
            reached.append("view")
            return ""

        assert 403 == app.test_client().get("/seen").status_code
        assert [] == reached

    def test_without_the_setting_no_hook_runs_on_a_refusal(self, world: World) -> None:
        app = flask_app()
        flask.Invoker(app, door_of(world))
        answer = app.test_client().get("/orders/1", headers={"origin": PAGE})
        assert (403, False) == (answer.status_code, ALLOW in answer.headers)


class TestFlaskCors:
    """Flask-CORS itself, as the page on CORS shows it."""

    @pytest.fixture
    def app(self, world: World) -> Flask:
        app = Flask("orders")
        CORS(app, origins=[PAGE], allow_headers=["authorization"], supports_credentials=True)
        app.add_url_rule("/orders/<number>", view_func=lambda number: number, endpoint="order")
        flask.Invoker(app, door_of(world, exempt=PREFLIGHTS), after_request=True)
        return app

    @pytest.mark.parametrize("path", ["/orders/1", "/orders/2"])
    def test_it_answers_preflights(self, app: Flask, path: str) -> None:
        answer = app.test_client().options(path, headers=PREFLIGHT)
        allowed = [answer.headers[f"access-control-allow-{what}"] for what in ("origin", "headers")]
        assert (200, [PAGE, "authorization"]) == (answer.status_code, allowed)

    @pytest.mark.parametrize(("headers", "status"), [({"origin": PAGE}, 403), (BAD, 401)])
    @pytest.mark.parametrize("path", ["/orders/1", "/nowhere"])
    def test_it_lets_the_page_read_refusals(
        self, app: Flask, headers: dict[str, str], status: int, path: str
    ) -> None:
        answer = app.test_client().get(path, headers=headers)
        assert (status, PAGE, "true") == (
            answer.status_code,
            answer.headers[ALLOW],
            answer.headers["access-control-allow-credentials"],
        )
        assert (status == 401) is ("www-authenticate" in answer.headers)

    def test_another_page_may_read_none(self, app: Flask) -> None:
        evil = {"origin": "https://evil.example.com"}
        answers = [
            app.test_client().options("/orders/1", headers=PREFLIGHT | evil),
            app.test_client().get("/orders/1", headers=evil),
        ]
        assert [(200, None), (403, None)] == [(one.status_code, one.headers.get(ALLOW)) for one in answers]

    def test_a_caller_is_let_in(self, app: Flask, world: World) -> None:
        headers = {"origin": PAGE, "authorization": f"Bearer {world.token()}"}
        answer = app.test_client().get("/orders/1", headers=headers)
        assert (200, "1", PAGE) == (answer.status_code, answer.text, answer.headers[ALLOW])

    def test_a_decorator_on_one_view_does_the_same(self, world: World) -> None:
        app = Flask("orders")
        app.get("/orders")(cross_origin(origins=[PAGE], allow_headers=["authorization"])(lambda: "one"))
        flask.Invoker(app, door_of(world, exempt=PREFLIGHTS), after_request=True)
        client = app.test_client()
        headers = {"origin": PAGE, "authorization": f"Bearer {world.token()}"}
        answers = [client.options("/orders", headers=PREFLIGHT), client.get("/orders", headers=headers)]
        assert [(200, PAGE)] * 2 == [(one.status_code, one.headers[ALLOW]) for one in answers]

        # It is no hook of the application, so that it adds nothing to a refusal.
        refused = client.get("/orders", headers={"origin": PAGE})
        assert (403, None) == (refused.status_code, refused.headers.get(ALLOW))
