"""`only(...)`: which of the callers that the door admits one route lets in, in every framework."""

# No `from __future__ import annotations`: FastAPI resolves those in the module, and here they name locals.

import asyncio
import functools
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi import Request as FastAPIRequest
from flask import Blueprint, Flask
from flask import Response as FlaskResponse
from flask.views import MethodView
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from doorward import (
    ConfigurationError,
    Door,
    InvokerPolicy,
    PermissionDeniedError,
    PlainRequest,
    PolicyError,
    Principal,
    Reason,
    Refusal,
    problem_details,
)
from doorward.door.events import Decided
from doorward_integrations import aiohttp, django, fastapi, flask, functions_framework, grpc, starlette
from doorward_integrations.narrowing import Narrowing, service_accounts
from support.servers import asgi_server
from support.tokens import MEMBER
from support.world import World

ANN = {"email": "ann@example.com", "sub": "7"}
USER = "user:ann@example.com"


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER, USER]), style=problem_details)


@pytest.fixture
def callers(world: World) -> list[dict[str, str]]:
    """The headers of no caller, of a service account, and of a person."""
    tokens = (world.token(), world.token(**ANN))
    return [{}, *({"authorization": f"Bearer {token}"} for token in tokens)]


def is_ann(principal: Principal) -> bool:
    return principal.email == "ann@example.com"


# With the answers to no caller, to the service account, and to Ann.
NARROWED = [
    pytest.param(lambda only: only(service_accounts), [403, 200, 403], id="service accounts"),
    pytest.param(lambda only: only(members=[MEMBER]), [403, 200, 403], id="members"),
    pytest.param(lambda only: only(members=iter([USER, MEMBER])), [403, 200, 200], id="several members"),
    pytest.param(lambda only: only(is_ann), [403, 403, 200], id="a function"),
    pytest.param(lambda only: only(lambda who: who.project is not None), [403, 200, 403], id="a lambda"),
    pytest.param(
        lambda only: only(functools.partial(lambda no, who: no is not who, 1)), [403, 200, 200], id="partial"
    ),
    pytest.param(
        lambda only: only(lambda who: who.hosted_domain and True), [403, 403, 403], id="none for false"
    ),
]
each_narrowing = pytest.mark.parametrize(("narrow", "expected"), NARROWED)


def asked(app: Any, headers: dict[str, str], path: str = "/reports", method: str = "GET") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


def refusal_of(door: Door, path: str) -> Refusal:
    return door.refuse(PermissionDeniedError("as expected", Reason.ROUTE_NARROWED), PlainRequest(path))


def handshake(base: str, headers: dict[str, str]) -> tuple[int, bytes | str]:
    try:
        with connect(
            f"{base.replace('http:', 'ws:')}/feed", additional_headers=headers, proxy=None
        ) as socket:
            return 101, socket.recv(10)
    except InvalidStatus as error:
        return error.response.status_code, bytes(error.response.body or b"")


class TestStarlette:
    def app(self, door: Door, narrow: Any) -> Starlette:
        only: Decorate = narrow(starlette.only)

        @only
        async def reports(request: Request) -> Response:
            return PlainTextResponse(str(starlette.principal_of(request)))

        @only
        def sync(request: Request) -> Response:
            return PlainTextResponse(str(starlette.principal_of(request)))

        class Methods(HTTPEndpoint):
            @only
            async def get(self, request: Request) -> Response:
                return PlainTextResponse(str(starlette.principal_of(request)))

            async def post(self, request: Request) -> Response:
                return PlainTextResponse("open to all whom the door admits")

        @only
        async def feed(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text("inside")
            await websocket.close()

        routes = [Route("/reports", reports), Route("/sync", sync), Route("/methods", Methods)]
        app = Starlette(routes=[*routes, WebSocketRoute("/feed", feed)])
        starlette.Invoker(app, door)
        return app

    @each_narrowing
    @pytest.mark.parametrize("path", ["/reports", "/sync", "/methods"])
    def test_it_lets_in_whom_it_names(
        self, door: Door, callers: list[dict[str, str]], narrow: Any, expected: list[int], path: str
    ) -> None:
        app = self.app(door, narrow)
        assert expected == [asked(app, headers, path).status_code for headers in callers]

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_the_answer_is_the_doors_own(
        self, door: Door, callers: list[dict[str, str]], method: str
    ) -> None:
        refused = asked(self.app(door, lambda only: only(is_ann)), callers[1], "/reports", method)
        expected = refusal_of(door, "/reports")
        assert (403, b"" if method == "HEAD" else expected.body) == (refused.status_code, refused.content)
        assert list(expected.headers) == refused.headers.raw

    def test_it_narrows_only_what_it_decorates(self, door: Door, callers: list[dict[str, str]]) -> None:
        app = self.app(door, lambda only: only(is_ann))
        assert [403, 200, 200] == [asked(app, one, "/methods", "POST").status_code for one in callers]

    def test_a_websocket_is_refused_before_it_is_accepted(
        self, door: Door, callers: list[dict[str, str]]
    ) -> None:
        with asgi_server(self.app(door, lambda only: only(is_ann))) as base:
            answers = [handshake(base, headers) for headers in callers[1:]]
        assert [(403, refusal_of(door, "/feed").body), (101, "inside")] == answers

    @pytest.mark.parametrize("accepted", [False, True])
    def test_a_websocket_is_closed_where_no_answer_can_be_sent(
        self, door: Door, world: World, *, accepted: bool
    ) -> None:
        narrowed = starlette.only(is_ann)

        @narrowed
        async def inner(websocket: WebSocket) -> None: ...

        async def outer(websocket: WebSocket) -> None:
            if accepted:
                await websocket.accept()
            await inner(websocket)

        sent = conversation(
            starlette.InvokerMiddleware(Starlette(routes=[WebSocketRoute("/feed", outer)]), door), world
        )
        assert ["websocket.accept"] * accepted == [message["type"] for message in sent[:-1]]
        assert ("websocket.close", 1008) == (sent[-1]["type"], sent[-1]["code"])

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda: None, id="no request"),
            pytest.param(lambda connection: connection, id="another name"),
            pytest.param(HTTPEndpoint, id="a class"),
            pytest.param(Starlette(), id="an application"),
            pytest.param(lambda websocket: websocket, id="a websocket without async"),
        ],
    )
    def test_what_takes_no_request_is_refused_when_it_is_decorated(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="takes a 'request'"):
            starlette.only(service_accounts)(wrong)

    def test_the_endpoint_keeps_its_name(self) -> None:
        @starlette.only(service_accounts)
        async def reports(request: Request) -> None:
            """Lists them."""

        assert ("reports", "Lists them.") == (reports.__name__, reports.__doc__)

    def test_without_a_door_it_raises(self) -> None:
        @starlette.only(service_accounts)
        async def reports(request: Request) -> None: ...

        with pytest.raises(ConfigurationError, match="no door has decided"):
            asked(Starlette(routes=[Route("/reports", reports)]), {})


def conversation(app: Any, world: World) -> list[Any]:
    """Open a websocket on a server that cannot send an answer in place of accepting it."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + world.token().encode())]
    asyncio.run(
        app({"type": "websocket", "path": "/feed", "headers": headers, "subprotocols": []}, receive, send)
    )
    return sent


class TestFastAPI:
    def app(self, door: Door, narrow: Any, way: str) -> FastAPI:
        app = FastAPI()
        if way == "in front":
            fastapi.Invoker(app, door)
            only = narrow(fastapi.only)
        else:
            invoker = fastapi.InvokerDependency(door)
            invoker.install(app)
            only = narrow(invoker.only)
        router = APIRouter(dependencies=[Depends(only)])

        @app.get("/reports")
        async def reports(who: Annotated[Principal, Depends(only)]) -> str:
            return str(who)

        @router.get("/sync")
        def sync() -> str:
            return "inside"

        @router.websocket("/feed")
        async def feed(websocket: fastapi_websocket) -> None:
            await websocket.accept()
            await websocket.send_text("inside")
            await websocket.close()

        app.include_router(router)
        return app

    @each_narrowing
    @pytest.mark.parametrize("way", ["in front", "dependency"])
    def test_it_lets_in_whom_it_names(
        self, door: Door, callers: list[dict[str, str]], narrow: Any, expected: list[int], way: str
    ) -> None:
        app = self.app(door, narrow, way)
        for path in ("/reports", "/sync"):
            assert expected == [asked(app, headers, path).status_code for headers in callers]

    @pytest.mark.parametrize("way", ["in front", "dependency"])
    def test_the_answer_is_the_doors_own(self, door: Door, callers: list[dict[str, str]], way: str) -> None:
        refused = asked(self.app(door, lambda only: only(is_ann), way), callers[1])
        expected = refusal_of(door, "/reports")
        assert (403, expected.body) == (refused.status_code, refused.content)
        assert list(expected.headers) == refused.headers.raw

    @pytest.mark.parametrize("way", ["in front", "dependency"])
    def test_a_websocket_is_refused_before_it_is_accepted(
        self, door: Door, callers: list[dict[str, str]], way: str
    ) -> None:
        with asgi_server(self.app(door, lambda only: only(is_ann), way)) as base:
            answers = [handshake(base, headers) for headers in callers[1:]]
        assert [(403, refusal_of(door, "/feed").body), (101, "inside")] == answers

    def test_the_decorator_of_starlette_works_on_its_routes_too(
        self, door: Door, callers: list[dict[str, str]]
    ) -> None:
        app = FastAPI()
        fastapi.Invoker(app, door)

        @app.get("/reports")
        @starlette.only(is_ann)
        async def reports(request: FastAPIRequest, size: int = 3) -> int:
            return size

        assert [403, 403, 200] == [asked(app, headers).status_code for headers in callers]
        assert 5 == asked(app, callers[2], "/reports?size=5").json()

    def test_a_route_that_is_narrowed_shows_the_scheme(self, door: Door) -> None:
        operation = self.app(door, lambda only: only(is_ann), "dependency").openapi()["paths"]["/reports"][
            "get"
        ]
        assert [{"Google ID token": []}] == operation["security"]
        assert {"200", "401", "403", "503"} == set(operation["responses"])

    def test_without_a_door_it_raises(self) -> None:
        app = FastAPI()

        @app.get("/reports", dependencies=[Depends(fastapi.only(service_accounts))])
        async def reports() -> None: ...

        with pytest.raises(ConfigurationError, match="no door has decided"):
            asked(app, {})

    def test_where_no_handler_is_installed_that_is_noted_once(
        self, door: Door, callers: list[dict[str, str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        app = FastAPI(title="Orders")
        app.add_middleware(fastapi.InvokerMiddleware, door=door)
        app.get("/reports", dependencies=[Depends(fastapi.only(is_ann))])(lambda: None)
        assert [403, 403] == [asked(app, callers[1]).status_code for _ in range(2)]
        (line,) = [one.getMessage() for one in caplog.records if one.name == "doorward.fastapi"]
        assert "'Orders'" in line


fastapi_websocket = WebSocket


class TestFlask:
    def app(self, door: Door, narrow: Any) -> Flask:
        app, shop = Flask("reports"), Blueprint("shop", "shop")
        only: Decorate = narrow(flask.only)

        @app.get("/reports")
        @only
        def reports() -> str:
            return str(flask.current_principal)

        @shop.get("/orders/<number>")
        @only
        async def orders(number: str) -> str:
            return f"{number} {flask.current_principal}"

        class Methods(MethodView):
            decorators = [only]  # noqa: RUF012 - as Flask documents it

            def get(self) -> str:
                return str(flask.current_principal)

        app.register_blueprint(shop)
        app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
        flask.Invoker(app, door)
        return app

    @each_narrowing
    @pytest.mark.parametrize("path", ["/reports", "/orders/7", "/methods"])
    def test_it_lets_in_whom_it_names(
        self, door: Door, callers: list[dict[str, str]], narrow: Any, expected: list[int], path: str
    ) -> None:
        client = self.app(door, narrow).test_client()
        assert expected == [client.get(path, headers=headers).status_code for headers in callers]

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("path", ["/reports", "/orders/7"])
    def test_the_answer_is_the_doors_own(
        self, door: Door, callers: list[dict[str, str]], path: str, method: str
    ) -> None:
        client = self.app(door, lambda only: only(is_ann)).test_client()
        refused = client.open(path, method=method, headers=callers[1])
        expected = refusal_of(door, path)
        assert (403, b"" if method == "HEAD" else expected.body) == (refused.status_code, refused.data)
        assert [(name.decode(), value.decode()) for name, value in expected.headers] == [
            (name.lower(), value) for name, value in refused.headers.items()
        ]

    def test_what_hooks_do_to_every_answer_they_do_to_its_answer(
        self, door: Door, callers: list[dict[str, str]]
    ) -> None:
        app = self.app(door, lambda only: only(is_ann))

        @app.after_request
        def mark(response: FlaskResponse) -> FlaskResponse:
            response.headers["x-marked"] = "yes"
            return response

        assert "yes" == app.test_client().get("/reports", headers=callers[1]).headers["x-marked"]

    def test_above_its_route_it_would_have_no_effect_and_the_route_fails(
        self, door: Door, callers: list[dict[str, str]]
    ) -> None:
        app = Flask("reports")

        @flask.only(is_ann)
        @app.get("/reports")
        def reports() -> str:
            return "inside"

        flask.Invoker(app, door)
        app.testing = True
        with pytest.raises(ConfigurationError, match="below the decorator that makes the route"):
            app.test_client().get("/reports", headers=callers[2])

    @pytest.mark.parametrize("wrong", [MethodView, None, "view"])
    def test_what_is_no_function_is_refused_when_it_is_decorated(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="decorates a view function"):
            flask.only(service_accounts)(wrong)

    def test_without_a_door_it_raises(self) -> None:
        app = Flask("reports")
        app.testing = True
        app.get("/reports")(flask.only(service_accounts)(lambda: "inside"))
        with pytest.raises(ConfigurationError, match="no door has decided"):
            app.test_client().get("/reports")


class TestMisuse:
    @pytest.fixture(
        params=[starlette, flask, fastapi, django, aiohttp, grpc, functions_framework],
        ids=lambda adapter: adapter.__name__.rpartition(".")[2],
    )
    def only(self, request: pytest.FixtureRequest) -> Any:
        return request.param.only

    @pytest.mark.parametrize(
        ("make", "match"),
        [
            (lambda only: only(), "needs either"),
            (lambda only: only(service_accounts, members=[MEMBER]), "needs either"),
            (lambda only: only([MEMBER]), r"only\(members=\[...\]\)"),
            (lambda only: only(MEMBER), r"only\(members=\[...\]\)"),
            (lambda only: only(Principal), "a function of the principal"),
            (lambda only: only(lambda: True), "must take one argument"),
            (lambda only: only(lambda _, __: True), "must take one argument"),
            (lambda only: only(asynchronous), "must not be async"),
            (lambda only: only(Asynchronous()), "must not be async"),
            (lambda only: only(members=[]), "must name callers"),
            (lambda only: only(members=["allUsers"]), "must name callers"),
            (lambda only: only(members=MEMBER), "must be a list"),
        ],
    )
    def test_what_cannot_decide_is_refused_when_it_is_made(
        self, only: Any, make: Callable[[Any], object], match: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=match):
            make(only)

    @pytest.mark.parametrize("member", ["ann@example.com", "group:team@example.com"])
    def test_a_member_that_no_token_can_match_is_refused(self, only: Any, member: str) -> None:
        with pytest.raises(PolicyError):
            only(members=[member])

    @pytest.mark.parametrize("answer", ["yes", 1, object()], ids=["text", "number", "object"])
    def test_a_predicate_that_returns_no_boolean_admits_no_caller(
        self, door: Door, world: World, answer: object
    ) -> None:
        callers = Narrowing(lambda _: answer, None)  # type: ignore[arg-type,return-value]
        with pytest.raises(ConfigurationError, match="not True or False"):
            callers.refusal_of(admitted(door, world), PlainRequest())

    def test_nor_does_one_that_returns_a_coroutine(self, door: Door, world: World) -> None:
        callers = Narrowing(lambda who: asynchronous(who), None)  # type: ignore[arg-type,return-value]  # noqa: PLW0108
        with pytest.raises(ConfigurationError, match="returned coroutine"):
            callers.refusal_of(admitted(door, world), PlainRequest())

    def test_what_a_predicate_raises_passes_through(self, door: Door, world: World) -> None:
        callers = Narrowing(lambda who: who.claims["team"] == "a", None)
        with pytest.raises(KeyError):
            callers.refusal_of(admitted(door, world), PlainRequest())

    def test_without_the_door_of_the_request_it_cannot_refuse(self, door: Door, world: World) -> None:
        carrier = admitted(door, world)
        del carrier["doorward.door"]
        with pytest.raises(ConfigurationError, match="carries no door"):
            Narrowing(is_ann, None).refusal_of(carrier, PlainRequest())


class Decorate(Protocol):
    """A decorator that keeps the type."""

    def __call__(self, view: Any, /) -> Any: ...


async def asynchronous(_: Principal) -> bool:
    return False


class Asynchronous:
    async def __call__(self, _: Principal) -> bool:
        return False


def admitted(door: Door, world: World, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    admission = door.admit([(b"authorization", b"Bearer " + world.token().encode()), *headers])
    return {"doorward.admission": admission, "doorward.door": door}


def test_the_log_and_the_listener_say_that_the_route_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Decided] = []
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=events.append)
    refusal = Narrowing(is_ann, None).refusal_of(admitted(door, world), PlainRequest("/reports"))
    assert refusal is not None
    assert (403, Reason.ROUTE_NARROWED) == (refusal.status, refusal.reason)
    assert [Decided("admitted"), Decided("refused", Reason.ROUTE_NARROWED, 403)] == events
    assert f"{MEMBER} may invoke, and is none of those that the route lets in: is_ann" in caplog.text


def test_the_log_says_in_which_trace_the_route_refused(
    door: Door, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    carrier = admitted(door, world, (b"traceparent", f"00-{'7' * 32}-{'8' * 16}-01".encode()))
    Narrowing(is_ann, None).refusal_of(carrier, PlainRequest("/reports"))
    (record,) = caplog.records
    refused: Any = vars(record)["doorward_refusal"]
    assert {"trace": "7" * 32, "span": "8" * 16, "sampled": True} == refused["trace"]


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        (None, True),
        ("service-7@gcp-sa-pubsub.iam.gserviceaccount.com", True),
        ("ann@example.com", False),
        ("ann@example.com.iam.gserviceaccount.com.example.org", False),
    ],
)
def test_service_accounts_are_known_by_their_kind(
    door: Door, world: World, email: str | None, *, expected: bool
) -> None:
    token = world.token() if email is None else world.token(email=email)
    assert expected is service_accounts(door.verifier.verify(token))


def test_the_anonymous_caller_is_no_service_account(world: World) -> None:
    admission = Door(world.verifier(), InvokerPolicy.all_users()).admit([])
    assert not isinstance(admission, Refusal)
    assert not service_accounts(admission.principal)
