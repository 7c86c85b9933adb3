"""The door in FastAPI: as a dependency, and as middleware; over real HTTP."""

# No `from __future__ import annotations`: FastAPI resolves those in the module, and here they name locals.

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import pytest
import websockets.sync.client
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Security, WebSocket
from starlette.responses import PlainTextResponse, Response
from websockets.exceptions import InvalidStatus

from doorward import (
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    PlainRequest,
    Principal,
    Refusal,
    RefusedError,
    problem_details,
)
from doorward_integrations.fastapi import (
    Caller,
    Invoker,
    InvokerDependency,
    InvokerMiddleware,
    RefusedRequest,
    caller,
    end_user,
    end_user_of,
    principal_of,
)
from support.servers import asgi_server
from support.tokens import MEMBER
from support.world import World


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {"authorization": f"Bearer {world.token()}"}


@pytest.fixture(autouse=True)
def _quiet_server(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test may leave an error in a server's log."""
    yield
    logged = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    failed = [record.getMessage() for record in logged]
    # uvicorn logs this for every websocket that was refused with an answer.
    assert [] == [text for text in failed if text != "ASGI callable returned without completing handshake."]


def installed(door: Door, app: FastAPI) -> InvokerDependency:
    """Return a dependency whose refusals an application answers."""
    invoker = InvokerDependency(door)
    invoker.install(app)
    return invoker


def guarded(door: Door, *, install: bool = True) -> FastAPI:
    """An application with one guarded route of each kind."""
    app = FastAPI()
    invoker = InvokerDependency(door)
    if install:
        invoker.install(app)

    @app.get("/orders")
    async def orders(who: Annotated[Principal, Depends(invoker)]) -> str:
        return f"Hello, {who}"

    @app.websocket("/feed")
    async def feed(websocket: WebSocket, who: Annotated[Principal, Depends(invoker)]) -> None:
        await websocket.accept()
        await websocket.send_text(f"{who} {websocket.headers['authorization'].rpartition('.')[2]}")
        await websocket.close()

    @app.get("/open")
    async def unguarded() -> str:
        return "open"

    return app


def behind_middleware(door: Door) -> FastAPI:
    app = FastAPI()
    app.add_middleware(InvokerMiddleware, door=door)

    @app.get("/orders")
    async def orders(who: Annotated[Principal, Depends(caller)]) -> str:
        return f"Hello, {who}"

    @app.websocket("/feed")
    async def feed(websocket: WebSocket, who: Annotated[Principal, Depends(caller)]) -> None:
        await websocket.accept()
        await websocket.send_text(str(who))
        await websocket.close()

    return app


@contextlib.contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    with asgi_server(app) as base, httpx.Client(base_url=base, timeout=20, trust_env=False) as client:
        yield client


def websocket_refusal(base: str, headers: dict[str, str] | None = None) -> Any:
    """Ask for a websocket, and give the HTTP answer that refuses it."""
    with pytest.raises(InvalidStatus) as refused, _connect(base, headers):
        pass
    return refused.value.response


def _connect(base: str, headers: dict[str, str] | None) -> Any:
    url = base.replace("http:", "ws:") + "/feed"
    return websockets.sync.client.connect(url, additional_headers=headers or {}, proxy=None, open_timeout=10)


class TestDependency:
    def test_it_gives_the_caller(self, door: Door, bearer: dict[str, str]) -> None:
        with client_of(guarded(door)) as client:
            answer = client.get("/orders", headers=bearer)
        assert (200, f"Hello, {MEMBER}") == (answer.status_code, answer.json())

    def test_a_route_without_it_stays_open(self, door: Door) -> None:
        with client_of(guarded(door)) as client:
            assert 200 == client.get("/open").status_code

    def test_it_guards_each_route_of_a_router(self, door: Door, bearer: dict[str, str]) -> None:
        app = FastAPI()
        invoker = installed(door, app)
        router = APIRouter(prefix="/v1", dependencies=[Depends(invoker)])

        @router.get("/orders")
        async def orders(request: Request) -> str:
            admission = request.scope["doorward.admission"]
            assert isinstance(admission, Admission)
            return str(admission.principal)

        app.include_router(router)
        with client_of(app) as client:
            assert 403 == client.get("/v1/orders").status_code
            assert MEMBER == client.get("/v1/orders", headers=bearer).json()

    def test_on_a_router_and_on_its_route_it_decides_once(self, door: Door, bearer: dict[str, str]) -> None:
        app = FastAPI()
        invoker = installed(door, app)
        router = APIRouter(dependencies=[Depends(invoker)])

        @router.get("/orders")
        async def orders(who: Annotated[Principal, Depends(invoker)]) -> str:
            return str(who)

        app.include_router(router)
        with client_of(app) as client:
            answer = client.get("/orders", headers=bearer)
        assert (200, MEMBER) == (answer.status_code, answer.json())

    @pytest.mark.parametrize(
        "again",
        [
            pytest.param(lambda invoker: Security(invoker, scopes=["orders"]), id="asked for with scopes"),
            pytest.param(lambda invoker: Depends(invoker, use_cache=False), id="asked for without a cache"),
            pytest.param(
                lambda invoker: Depends(InvokerDependency(invoker.door)), id="made again over the same door"
            ),
        ],
    )
    def test_asked_twice_in_one_request_it_gives_the_same_answer(
        self, door: Door, bearer: dict[str, str], again: Any
    ) -> None:
        """The first look replaces the signature, so the second has to use the admission of the first."""
        app = FastAPI()
        invoker = installed(door, app)

        @app.get("/orders", dependencies=[again(invoker)])
        async def orders(who: Annotated[Principal, Depends(invoker)]) -> str:
            return str(who)

        with client_of(app) as client:
            answer = client.get("/orders", headers=bearer)
        assert (200, MEMBER) == (answer.status_code, answer.json())

    def test_behind_a_middleware_with_the_same_door_it_gives_the_same_caller(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        app = guarded(door)
        app.add_middleware(InvokerMiddleware, door=door)
        with client_of(app) as client:
            answer = client.get("/orders", headers=bearer)
        assert (200, f"Hello, {MEMBER}") == (answer.status_code, answer.json())

    def test_what_another_door_has_admitted_it_decides_anew(
        self, door: Door, world: World, bearer: dict[str, str]
    ) -> None:
        strict = Door(world.verifier(), InvokerPolicy.from_members(["user:somebody@example.com"]))
        app = guarded(strict)
        app.add_middleware(InvokerMiddleware, door=door)
        with client_of(app) as client:
            assert client.get("/orders", headers=bearer).status_code in {401, 403}

    def test_the_application_sees_the_token_with_its_signature_replaced(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        app = FastAPI()
        invoker = installed(door, app)

        @app.get("/headers")
        async def headers(
            who: Annotated[Principal, Depends(invoker)],
            request: Request,
            authorization: Annotated[str, Header()],
        ) -> list[str]:
            in_scope = dict(request.scope["headers"])[b"authorization"].decode()
            return [request.headers["authorization"], authorization, in_scope]

        with client_of(app) as client:
            seen = client.get("/headers", headers=bearer).json()
        expected = bearer["authorization"].rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
        assert [expected] * 3 == seen

    def test_headers_that_were_read_before_show_the_replaced_signature_after(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        app = FastAPI()
        invoker = installed(door, app)
        early: list[Any] = []

        async def reads_first(request: Request) -> None:
            early.append(request.headers)
            assert bearer["authorization"] == request.headers["authorization"]

        @app.get("/headers")
        async def headers(
            _: Annotated[None, Depends(reads_first)],
            who: Annotated[Principal, Depends(invoker)],
            request: Request,
        ) -> list[str]:
            another = Request(request.scope)
            return [
                request.headers["authorization"],
                early[0]["authorization"],
                another.headers["authorization"],
            ]

        with client_of(app) as client:
            seen = client.get("/headers", headers=bearer).json()
        expected = bearer["authorization"].rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
        assert [expected] * 3 == seen

    def test_another_request_object_made_before_does_not_keep_the_signature_for_the_endpoint(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        app = FastAPI()
        invoker = installed(door, app)

        async def makes_its_own(request: Request) -> None:
            assert request.headers["authorization"] == Request(request.scope).headers["authorization"]

        @app.get("/headers")
        async def headers(
            _: Annotated[None, Depends(makes_its_own)],
            who: Annotated[Principal, Depends(invoker)],
            request: Request,
        ) -> list[str]:
            in_scope = dict(request.scope["headers"])[b"authorization"].decode()
            return [request.headers["authorization"], in_scope]

        with client_of(app) as client:
            seen = client.get("/headers", headers=bearer).json()
        expected = bearer["authorization"].rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
        assert [expected] * 2 == seen

    def test_the_scope_carries_the_admission(self, door: Door, bearer: dict[str, str]) -> None:
        app = FastAPI()
        invoker = installed(door, app)

        @app.get("/who", dependencies=[Depends(invoker)])
        async def who(found: Annotated[Principal, Depends(caller)]) -> str:
            return str(found)

        with client_of(app) as client:
            assert MEMBER == client.get("/who", headers=bearer).json()

    def test_a_refused_request_does_not_reach_the_endpoint_nor_later_dependencies(self, door: Door) -> None:
        app = FastAPI()
        reached: list[str] = []

        async def later() -> None:
            reached.append("dependency")

        invoker = installed(door, app)

        @app.get("/orders")
        async def orders(
            who: Annotated[Principal, Depends(invoker)], _: Annotated[None, Depends(later)]
        ) -> None:
            reached.append("endpoint")

        with client_of(app) as client:
            assert 403 == client.get("/orders").status_code
        assert [] == reached

    def test_a_public_door_admits_a_request_as_anonymous(self, world: World) -> None:
        app = guarded(Door(world.verifier(), InvokerPolicy.all_users()))
        with client_of(app) as client:
            assert "Hello, anonymous" == client.get("/orders").json()

    @pytest.mark.parametrize("wrong", [None, "door"])
    def test_without_a_door_it_is_not_made(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="needs a Door"):
            InvokerDependency(wrong)


class TestAnswer:
    """Over real HTTP: with `install` as the middleware answers, without it with FastAPI's own body."""

    @pytest.mark.parametrize("style", ["cloud run", "problem details"])
    @pytest.mark.parametrize("credential", ["none", "bad", "unavailable"])
    def test_where_it_is_installed_it_is_the_middlewares_to_the_byte(
        self, world: World, style: str, credential: str
    ) -> None:
        settings: dict[str, Any] = {"style": problem_details} if style == "problem details" else {}
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), **settings)
        headers = _prepare(world, credential)
        with asgi_server(guarded(door)) as one, asgi_server(behind_middleware(door)) as other:
            url = "/orders?a=b%20c"
            refused = httpx.get(one + url, headers=headers)
            expected = httpx.get(other + url, headers=headers)
        assert _comparable(expected) == _comparable(refused)

    @pytest.mark.parametrize(("credential", "status"), [("none", 403), ("bad", 401), ("unavailable", 503)])
    def test_it_is_the_doors_to_the_byte(self, world: World, credential: str, status: int) -> None:
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
        headers = _prepare(world, credential)
        expected = door.admit(
            [(name.encode(), value.encode()) for name, value in headers.items()], PlainRequest("/orders")
        )
        assert isinstance(expected, Refusal)
        with asgi_server(guarded(door)) as base:
            refused = httpx.get(f"{base}/orders", headers=headers)
        assert (status, expected.body) == (refused.status_code, refused.content)
        for name, value in expected.headers:
            assert value.decode() == refused.headers[name.decode()]

    @pytest.mark.parametrize("credential", ["none", "bad", "unavailable"])
    def test_where_it_is_not_installed_status_challenge_and_delay_are_the_same(
        self, world: World, credential: str
    ) -> None:
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
        headers = _prepare(world, credential)
        with (
            client_of(guarded(door, install=False)) as plain,
            client_of(behind_middleware(door)) as middleware,
        ):
            refused = plain.get("/orders", headers=headers)
            expected = middleware.get("/orders", headers=headers)
        assert expected.status_code == refused.status_code
        for name in ("www-authenticate", "retry-after"):
            assert expected.headers.get(name) == refused.headers.get(name)
        assert len(refused.content) == int(refused.headers["content-length"])
        assert "application/json" == refused.headers["content-type"]

    def test_an_application_may_answer_in_its_own_way(self, door: Door) -> None:
        app = guarded(door, install=False)

        @app.exception_handler(RefusedRequest)
        async def answer(request: Request, error: RefusedRequest) -> Response:
            return PlainTextResponse(str(error.refusal.reason), error.refusal.status)

        with client_of(app) as client:
            answered = client.get("/orders")
        assert (403, "no_credential") == (answered.status_code, answered.text)

    def test_a_head_request_is_refused_without_a_body(self, door: Door) -> None:
        app = FastAPI()
        invoker = installed(door, app)

        @app.head("/orders")
        async def orders(who: Annotated[Principal, Depends(invoker)]) -> None: ...

        with asgi_server(app) as base:
            refused = httpx.head(f"{base}/orders")
        assert (403, b"") == (refused.status_code, refused.content)

    @pytest.mark.parametrize("credential", ["none", "bad", "unavailable"])
    def test_a_refused_head_request_gets_the_headers_of_a_get_and_no_body(
        self, world: World, credential: str
    ) -> None:
        """Message by message, since a server removes a body that was sent."""
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
        app = FastAPI()
        invoker = installed(door, app)

        @app.api_route("/orders", methods=["GET", "HEAD"])
        async def orders(who: Annotated[Principal, Depends(invoker)]) -> None: ...

        headers = [(name.encode(), value.encode()) for name, value in _prepare(world, credential).items()]
        (head, nothing), (get, body) = (messages(app, method, headers) for method in ("HEAD", "GET"))
        assert get == head
        assert b"" == nothing["body"]
        assert b"%d" % len(body["body"]) == dict(head["headers"])[b"content-length"] != b"0"


def _prepare(world: World, credential: str) -> dict[str, str]:
    if credential == "unavailable":
        world.endpoint.down(retry_after=9)
    if credential == "none":
        return {}
    aud = "https://other" if credential == "bad" else None
    return {"authorization": f"Bearer {world.token(aud=aud) if aud else world.token()}"}


def _comparable(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() != b"date"]
    return answer.status_code, headers, answer.content


def messages(app: FastAPI, method: str, headers: list[tuple[bytes, bytes]]) -> list[Any]:
    """Return the messages by which an application answers a request for its orders."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": "/orders",
        "raw_path": b"/orders",
        "headers": headers,
        "query_string": b"",
    }
    asyncio.run(app(scope, receive, send))
    return sent


class TestNotInstalled:
    """An application that answers refusals with JSON of FastAPI's own is noted in the log, once."""

    def warnings_of(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        found = [record for record in caplog.records if record.name == "doorward.fastapi"]
        assert {logging.WARNING} >= {record.levelno for record in found}
        return [record.getMessage() for record in found]

    def test_the_first_refusal_warns_with_how_to_mend_it(
        self, door: Door, bearer: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        app = guarded(door, install=False)
        app.title = "Orders"
        with client_of(app) as client:
            assert 200 == client.get("/orders", headers=bearer).status_code
            assert [] == self.warnings_of(caplog)
            assert [403, 403] == [client.get("/orders").status_code for _ in range(2)]
        (warning,) = self.warnings_of(caplog)
        assert "the application 'Orders'" in warning
        assert "InvokerDependency.install(app)" in warning

    def test_a_refused_websocket_warns_too(self, door: Door, caplog: pytest.LogCaptureFixture) -> None:
        with asgi_server(guarded(door, install=False)) as base:
            websocket_refusal(base)
        assert 1 == len(self.warnings_of(caplog))

    @pytest.mark.parametrize("handler", ["install", "Invoker", "the application's own"])
    def test_where_a_handler_is_installed_nothing_is_logged(
        self, door: Door, world: World, caplog: pytest.LogCaptureFixture, handler: str
    ) -> None:
        app = guarded(door, install=handler == "install")
        if handler == "Invoker":
            Invoker(app, Door(world.verifier(), InvokerPolicy.all_users()))
        elif handler != "install":
            app.add_exception_handler(RefusedRequest, lambda *_: PlainTextResponse("no", 418))
        with client_of(app) as client:
            assert (418 if "own" in handler else 403) == client.get("/orders").status_code
        assert [] == self.warnings_of(caplog)

    @pytest.mark.parametrize("install", ["outside", "inside", "both"])
    def test_a_sub_application_needs_the_handler_itself(
        self, door: Door, caplog: pytest.LogCaptureFixture, install: str
    ) -> None:
        outer, inner, invoker = FastAPI(title="Outer"), FastAPI(title="Inner"), InvokerDependency(door)

        @inner.get("/orders")
        async def orders(who: Annotated[Principal, Depends(invoker)]) -> None: ...

        outer.mount("/inner", inner)
        for app in {"outside": [outer], "inside": [inner], "both": [outer, inner]}[install]:
            invoker.install(app)
        expected = door.admit([], PlainRequest("/inner/orders"))
        assert isinstance(expected, Refusal)
        with client_of(outer) as client:
            refused = client.get("/inner/orders")
        assert (403, install != "outside") == (refused.status_code, expected.body == refused.content)
        assert [install == "outside"] * (install == "outside") == [
            "the application 'Inner'" in warning for warning in self.warnings_of(caplog)
        ]

    def test_an_application_without_it_is_noted_after_a_refusal_in_one_with_it(
        self, door: Door, caplog: pytest.LogCaptureFixture
    ) -> None:
        outer, inner, invoker = FastAPI(title="Outer"), FastAPI(title="Inner"), InvokerDependency(door)
        for app in (outer, inner):
            app.get("/orders", dependencies=[Depends(invoker)])(_nothing)
        outer.mount("/inner", inner)
        invoker.install(outer)
        with client_of(outer) as client:
            assert 403 == client.get("/orders").status_code
            assert [] == self.warnings_of(caplog)
            assert 403 == client.get("/inner/orders").status_code
        (warning,) = self.warnings_of(caplog)
        assert "'Inner'" in warning

    def test_it_is_not_installed_where_it_would_have_no_effect(self, door: Door) -> None:
        app, invoker = FastAPI(), InvokerDependency(door)
        with client_of(app) as client:
            client.get("/orders")
        with pytest.raises(ConfigurationError, match="has started"):
            invoker.install(app)


async def _nothing() -> None: ...


class TestInvoker:
    """`Invoker(app, door)` is that of Starlette, with the handler for the dependency installed."""

    def test_the_whole_application_is_behind_it(self, door: Door, bearer: dict[str, str]) -> None:
        app = FastAPI()
        assert door is Invoker(app, door).door

        @app.get("/orders")
        async def orders(request: Request, who: Annotated[Principal, Depends(caller)]) -> str:
            assert who is principal_of(request)
            return f"Hello, {who}"

        with client_of(app) as client:
            paths = ("/orders", "/nowhere", "/openapi.json", "/docs")
            assert [403] * 4 == [client.get(path).status_code for path in paths]
            assert [200, 404, 200, 200] == [client.get(path, headers=bearer).status_code for path in paths]
            assert f"Hello, {MEMBER}" == client.get("/orders", headers=bearer).json()

    def test_a_request_is_refused_before_its_body_is_read(self, door: Door) -> None:
        app = FastAPI()
        Invoker(app, door)

        @app.post("/orders")
        async def orders(order: dict[str, str]) -> None: ...

        with client_of(app) as client:
            assert 403 == client.post("/orders", content=b"no json").status_code

    def test_a_function_as_middleware_gets_the_caller(self, door: Door, bearer: dict[str, str]) -> None:
        app = guarded(door)
        Invoker(app, door)
        callers: list[str] = []

        @app.middleware("http")
        async def note(request: Request, call_next: Any) -> Any:
            callers.append(str(principal_of(request)))
            return await call_next(request)

        with client_of(app) as client:
            assert [403, 200] == [
                client.get("/open", headers=headers).status_code for headers in ({}, bearer)
            ]
        assert [MEMBER] == callers

    def test_a_dependency_over_the_same_door_gives_the_same_caller(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        app = guarded(door, install=False)
        Invoker(app, door)
        with client_of(app) as client:
            assert f"Hello, {MEMBER}" == client.get("/orders", headers=bearer).json()
            assert [403, 200] == [
                client.get("/open", headers=headers).status_code for headers in ({}, bearer)
            ]

    def test_a_dependency_over_another_door_is_answered_as_that_door_says(self, world: World) -> None:
        public = Door(world.verifier(), InvokerPolicy.all_users())
        strict = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=problem_details)
        app = guarded(strict, install=False)
        Invoker(app, public)
        expected = strict.admit([], PlainRequest("/orders"))
        assert isinstance(expected, Refusal)
        with client_of(app) as client:
            refused = client.get("/orders")
        assert (403, expected.body) == (refused.status_code, refused.content)

    def test_a_handler_of_the_application_is_kept(self, door: Door) -> None:
        async def answer(_: Request, error: Exception) -> Response:
            return PlainTextResponse("of its own", 418)

        app = FastAPI(exception_handlers={RefusedRequest: answer})
        Invoker(app, door)
        assert answer is app.exception_handlers[RefusedRequest]

    def test_the_door_and_the_application_in_the_other_order_are_refused(self, door: Door) -> None:
        swapped: Any = (door, FastAPI())
        with pytest.raises(ConfigurationError, match="needs a Door, not FastAPI"):
            Invoker(*swapped)

    def test_a_second_door_is_refused(self, door: Door) -> None:
        app = behind_middleware(door)
        with pytest.raises(ConfigurationError, match="has a door already"):
            Invoker(app, door)


class TestWebSocket:
    """With a real client against a real server."""

    def test_with_a_credential_it_is_accepted_and_sees_the_caller(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        with asgi_server(guarded(door)) as base, _connect(base, bearer) as connection:
            assert f"{MEMBER} SIGNATURE_REMOVED_BY_GOOGLE" == connection.recv(10)

    @pytest.mark.parametrize(("credential", "status"), [("none", 403), ("bad", 401), ("unavailable", 503)])
    def test_it_is_refused_to_the_byte_where_the_dependency_is_installed(
        self, world: World, credential: str, status: int
    ) -> None:
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
        headers = _prepare(world, credential)
        expected = door.admit(
            [(name.encode(), value.encode()) for name, value in headers.items()], PlainRequest("/feed")
        )
        assert isinstance(expected, Refusal)
        with asgi_server(guarded(door)) as base:
            refused = websocket_refusal(base, headers)
        assert (status, expected.body) == (refused.status_code, refused.body)
        for name, value in expected.headers:
            assert value.decode() == refused.headers[name.decode()]

    def test_it_is_refused_where_the_dependency_is_not_installed(self, door: Door) -> None:
        with asgi_server(guarded(door, install=False)) as base:
            assert 403 == websocket_refusal(base).status_code

    def test_it_is_closed_where_the_server_cannot_send_an_answer(self, door: Door) -> None:
        sent: list[Any] = []

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/feed",
            "raw_path": b"/feed",
            "headers": [],
            "query_string": b"",
            "subprotocols": [],
        }
        asyncio.run(guarded(door)(scope, receive, send))
        assert ["websocket.close"] == [message["type"] for message in sent]

    def test_behind_the_middleware_it_is_refused_to_the_byte(self, door: Door) -> None:
        expected = door.admit([], PlainRequest("/feed"))
        assert isinstance(expected, Refusal)
        with asgi_server(behind_middleware(door)) as base:
            refused = websocket_refusal(base)
        assert (403, expected.body) == (refused.status_code, refused.body)

    def test_behind_the_middleware_it_sees_the_caller(self, door: Door, bearer: dict[str, str]) -> None:
        with asgi_server(behind_middleware(door)) as base, _connect(base, bearer) as connection:
            assert MEMBER == connection.recv(10)


class TestOpenAPI:
    def test_it_shows_a_bearer_scheme(self, door: Door) -> None:
        schemes = guarded(door).openapi()["components"]["securitySchemes"]
        expected = {"type": "http", "scheme": "bearer", "bearerFormat": "Google ID token"}
        assert {"Google ID token": expected} == schemes

    def test_the_guarded_route_is_marked_and_the_open_one_is_not(self, door: Door) -> None:
        paths = guarded(door).openapi()["paths"]
        assert [{"Google ID token": []}] == paths["/orders"]["get"]["security"]
        assert "security" not in paths["/open"]["get"]

    def test_the_caller_is_no_parameter(self, door: Door) -> None:
        operation = guarded(door).openapi()["paths"]["/orders"]["get"]
        assert ("parameters" in operation, "requestBody" in operation) == (False, False)

    @pytest.mark.parametrize("style", ["cloud run", "problem details"])
    def test_a_guarded_route_documents_how_it_refuses(self, world: World, style: str) -> None:
        settings: dict[str, Any] = {"style": problem_details} if style == "problem details" else {}
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), **settings)
        responses = guarded(door).openapi()["paths"]["/orders"]["get"]["responses"]
        media = "application/problem+json" if style == "problem details" else "text/html"
        assert ["200", "401", "403", "503"] == sorted(responses)
        assert [{media}] * 3 == [set(responses[status]["content"]) for status in ("401", "403", "503")]
        assert ["WWW-Authenticate"] == list(responses["401"]["headers"])
        assert ["Retry-After"] == list(responses["503"]["headers"])

    def test_an_open_route_and_a_websocket_document_no_refusal(self, door: Door) -> None:
        paths = guarded(door).openapi()["paths"]
        assert ({"200"}, {"/orders", "/open"}) == (set(paths["/open"]["get"]["responses"]), set(paths))

    def test_what_the_application_documents_itself_stays(self, door: Door) -> None:
        app = FastAPI()
        invoker = installed(door, app)
        mine: dict[int | str, dict[str, Any]] = {403: {"description": "mine"}}
        app.get("/orders", dependencies=[Depends(invoker)], responses=mine)(_nothing)
        responses = app.openapi()["paths"]["/orders"]["get"]["responses"]
        assert ("mine", True) == (responses["403"]["description"], "401" in responses)

    def test_asked_twice_it_is_the_same_document(self, door: Door) -> None:
        app = guarded(door)
        assert app.openapi() is app.openapi()

    def test_where_it_is_not_installed_a_router_can_take_the_responses(self, door: Door) -> None:
        app, invoker = FastAPI(), InvokerDependency(door)
        router = APIRouter(dependencies=[Depends(invoker)], responses=invoker.responses)
        router.get("/orders")(_nothing)
        app.include_router(router)
        assert {"200", "401", "403", "503"} == set(app.openapi()["paths"]["/orders"]["get"]["responses"])

    def test_a_sub_application_documents_its_own(self, door: Door) -> None:
        outer, inner = FastAPI(), FastAPI()
        inner.get("/orders", dependencies=[Depends(installed(door, inner))])(_nothing)
        outer.mount("/inner", inner)
        assert "403" in inner.openapi()["paths"]["/orders"]["get"]["responses"]
        assert {} == outer.openapi()["paths"]

    def test_a_style_without_a_body_documents_no_content(self, world: World) -> None:
        def bare(error: RefusedError, _: str) -> Refusal:
            return Refusal(error.reason.status, (), b"", error.reason, error)

        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=bare)
        assert [{"description"}] * 3 == [set(one) for one in InvokerDependency(door).responses.values()]


class TestEndUser:
    @pytest.mark.parametrize("way", ["in front", "dependency"])
    def test_the_endpoint_gets_the_caller_and_the_end_user(self, world: World, way: str) -> None:
        door = Door(
            world.verifier(),
            InvokerPolicy.from_members([MEMBER]),
            end_user=world.verifier("https://web"),
            end_user_callers=[MEMBER],
        )
        app, needed = FastAPI(), []
        if way == "in front":
            Invoker(app, door)
        else:
            needed.append(Depends(installed(door, app)))

        @app.get("/orders", dependencies=needed)
        async def orders(
            request: Request, who: Caller, user: Annotated[Principal | None, Depends(end_user)]
        ) -> list[str]:
            assert user == end_user_of(request)
            return [str(who), str(user), request.headers["authorization"].rpartition(".")[2]]

        users = world.token(aud="https://web", email="ann@example.com", sub="7")
        headers = {
            "x-serverless-authorization": f"Bearer {world.token()}",
            "authorization": f"Bearer {users}",
        }
        with client_of(app) as client:
            expected = [MEMBER, "user:ann@example.com", "SIGNATURE_REMOVED_BY_GOOGLE"]
            assert expected == client.get("/orders", headers=headers).json()
            assert 401 == client.get("/orders", headers=headers | {"authorization": "Bearer x"}).status_code


class TestCaller:
    def test_as_an_annotation_it_gives_the_caller(self, door: Door, bearer: dict[str, str]) -> None:
        app = FastAPI()
        Invoker(app, door)

        @app.get("/orders")
        async def orders(who: Caller) -> str:
            return str(who)

        with client_of(app) as client:
            assert MEMBER == client.get("/orders", headers=bearer).json()

    def test_behind_the_middleware_it_gives_the_caller(self, door: Door, bearer: dict[str, str]) -> None:
        with asgi_server(behind_middleware(door)) as base:
            answer = httpx.get(f"{base}/orders", headers=bearer)
        assert (200, f"Hello, {MEMBER}") == (answer.status_code, answer.json())

    def test_without_a_middleware_it_raises(self) -> None:
        app = FastAPI()

        @app.get("/orders")
        async def orders(who: Annotated[Principal, Depends(caller)]) -> str:
            return str(who)

        async def ask() -> None:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
                await client.get("/orders")

        with pytest.raises(ConfigurationError, match="no door has decided"):
            asyncio.run(ask())

    def test_the_middleware_guards_what_has_no_route_and_the_documentation(self, door: Door) -> None:
        with client_of(behind_middleware(door)) as client:
            assert [403] * 3 == [
                client.get(path).status_code for path in ("/nowhere", "/openapi.json", "/docs")
            ]
