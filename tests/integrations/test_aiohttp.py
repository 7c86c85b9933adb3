"""The aiohttp middleware: over aiohttp's own server and client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from aiohttp.typedefs import Handler

from doorward import (
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    PermissionDeniedError,
    PlainRequest,
    Principal,
    Refusal,
    problem_details,
)
from doorward_integrations.aiohttp import (
    ADMISSION,
    Invoker,
    add_readiness,
    end_user_of,
    invoker_middleware,
    only,
    principal_of,
    service_accounts,
)
from support.conditions import Conditions
from support.endusers import ANN, door_with_end_users, with_and_without_user
from support.servers import exchange
from support.tokens import MEMBER
from support.world import World

REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token()}"}


seen: list[web.Request] = []
"""The requests that a handler has got."""


async def orders(request: web.Request) -> web.Response:
    seen.append(request)
    body = await request.text()
    return web.Response(text=f"{principal_of(request)} {request.headers['Authorization'][-27:]} {body}")


async def live(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(str(principal_of(request)))
    await socket.close()
    return socket


def application(folder: Path | None = None, **settings: Any) -> web.Application:
    seen.clear()
    app, sub = web.Application(**settings), web.Application()
    app.router.add_route("*", "/orders", orders)
    app.router.add_get("/orders/{rest:.*}", orders)
    app.router.add_get("/live", live)
    sub.router.add_get("/orders", orders)
    app.add_subapp("/sub", sub)
    if folder is not None:
        app.router.add_static("/static", folder)
    return app


def serve(app: web.Application, talk: Callable[[Client], Awaitable[Any]]) -> Any:
    """Serve an application, let a client talk to it, and return what that returns."""

    async def run() -> Any:
        async with TestClient(TestServer(app)) as client:
            return await talk(client)

    return asyncio.run(run())


def guarded(door: Door, **settings: Any) -> web.Application:
    app = application(**settings)
    Invoker(app, door)
    return app


def get(app: web.Application, *targets: str, headers: Any = None, method: str = "GET", **more: Any) -> Any:
    """Return status and text of each answer, or of the only one."""

    async def talk(client: Client) -> Any:
        found = []
        for target in targets:
            answer = await client.request(method, target, headers=headers, **more)
            found.append((answer.status, await answer.text()))
        return found[0] if len(found) == 1 else found

    return serve(app, talk)


class TestAdmitted:
    def test_a_handler_gets_the_caller_the_body_and_the_token_without_its_signature(
        self, door: Door, bearer: dict[str, str]
    ) -> None:
        expected = (200, f"{MEMBER} {REMOVED} one order")
        app = guarded(door)
        for _ in range(2):  # the token is new, and then cached
            assert expected == get(app, "/orders", headers=bearer, method="POST", data="one order")
            app = guarded(door)

    def test_the_whole_token_is_nowhere_in_the_request(self, door: Door, bearer: dict[str, str]) -> None:
        get(guarded(door), "/orders", headers=bearer)
        (request,) = seen
        signature = bearer["Authorization"].rpartition(".")[2]
        assert [] == [part for part in (request.headers, request.raw_headers) if signature in str(part)]
        assert isinstance(request[ADMISSION], Admission)

    def test_what_only_a_platform_may_say_is_removed(self, door: Door, bearer: dict[str, str]) -> None:
        spoofed = {"X-Goog-Authenticated-User-Email": "spoofed", "X-Shop": "open"}
        get(guarded(door), "/orders", headers=bearer | spoofed)
        (request,) = seen
        assert (None, "open") == (
            request.headers.get("X-Goog-Authenticated-User-Email"),
            request.headers["X-Shop"],
        )

    def test_a_header_that_is_no_text_is_passed_on(self, door: Door, bearer: dict[str, str]) -> None:
        lines = [b"GET /orders HTTP/1.1", b"Host: orders", b"Connection: close", b"X-Shop: \xff"]
        lines.append(f"Authorization: {bearer['Authorization']}".encode())
        raw = b"\r\n".join([*lines, b"", b""])

        async def talk(client: Client) -> int:
            base = f"http://127.0.0.1:{client.port}"
            return (await asyncio.to_thread(exchange, base, raw)).status

        assert 200 == serve(guarded(door), talk)
        assert "\xff" == seen[0].headers["X-Shop"]

    def test_everything_of_an_application_is_behind_the_door(
        self, door: Door, bearer: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "page.txt").write_text("static")
        targets = ["/orders", "/sub/orders", "/static/page.txt", "/nowhere"]
        answers = [
            get(guarded(door, folder=tmp_path), *targets, headers=headers) for headers in (bearer, None)
        ]
        assert [[200, 200, 200, 404], [403] * 4] == [[status for status, _ in each] for each in answers]

    def test_a_websocket_has_the_caller(self, door: Door, bearer: dict[str, str]) -> None:
        async def talk(client: Client) -> str:
            async with client.ws_connect("/live", headers=bearer) as socket:
                return await socket.receive_str()

        assert MEMBER == serve(guarded(door), talk)


class TestRefused:
    @pytest.mark.parametrize("target", ["/orders", "/orders/a%2Fb", "/nowhere", "/orders?token=secret"])
    def test_a_request_without_a_token_is_refused_to_the_byte(self, door: Door, target: str) -> None:
        refusal = door.admit([], PlainRequest(target.partition("?")[0]))
        assert isinstance(refusal, Refusal)

        async def talk(client: Client) -> Any:
            answer = await client.get(target)
            return answer.status, await answer.read(), answer.headers["content-type"]

        assert (403, refusal.body, "text/html; charset=UTF-8") == serve(guarded(door), talk)
        assert [] == seen

    def test_a_refused_websocket_gets_the_whole_answer(self, door: Door, bearer: dict[str, str]) -> None:
        async def talk(client: Client) -> list[int]:
            found = []
            for headers in ({}, {"Authorization": bearer["Authorization"][:-8] + "AAAAAAAA"}):
                with pytest.raises(WSServerHandshakeError) as raised:
                    await client.ws_connect("/live", headers=headers)
                found.append(raised.value.status)
            return found

        assert [403, 401] == serve(guarded(door), talk)

    def test_keys_that_are_away_are_unavailable(
        self, door: Door, world: World, bearer: dict[str, str]
    ) -> None:
        world.endpoint.down()

        async def talk(client: Client) -> Any:
            answer = await client.get("/orders", headers=bearer)
            return answer.status, answer.headers["retry-after"].isdigit()

        assert (503, True) == serve(guarded(door), talk)

    def test_a_doubled_credential_is_unauthorized(self, door: Door, bearer: dict[str, str]) -> None:
        assert 401 == get(guarded(door), "/orders", headers=[*bearer.items()] * 2)[0]


class TestFacts:
    @pytest.mark.parametrize(
        "row",
        [
            ("/orders/käse", "/orders/k%C3%A4se", 200),
            ("/orders/a", "/orders/a/../b", 403),
            ("/orders/a/b", "/orders/a%2Fb", 403),  # a router that keeps the slash encoded reads another path
        ],
    )
    def test_a_condition_sees_every_reading_of_a_path(
        self, world: World, bearer: dict[str, str], monkeypatch: Any, row: tuple[str, str, int]
    ) -> None:
        allowed, target, status = row
        app = guarded(conditional(world, monkeypatch, allowed))

        async def talk(client: Client) -> int:
            line = f"GET {target} HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n"
            raw = f"{line}Authorization: {bearer['Authorization']}\r\n\r\n".encode()
            return (await asyncio.to_thread(exchange, f"http://127.0.0.1:{client.port}", raw)).status

        assert status == serve(app, talk)

    def test_a_condition_sees_what_a_proxy_cuts_off(
        self, world: World, bearer: dict[str, str], monkeypatch: Any
    ) -> None:
        door, app = conditional(world, monkeypatch, "/api/orders"), application()
        Invoker(app, door, public_prefix="/api")
        assert 200 == get(app, "/orders", headers=bearer)[0]

    @pytest.mark.parametrize(
        ("exempt", "socket", "plain"), [("GET", 403, 400), ("WEBSOCKET", 101, 403), ("POST", 403, 403)]
    )
    def test_an_exemption_for_get_opens_no_websocket_and_the_other_way_round(
        self, world: World, exempt: str, socket: int, plain: int
    ) -> None:
        policy = InvokerPolicy.from_members([MEMBER])
        door = Door(world.verifier(), policy, exempt=[(exempt, "/live")])

        async def talk(client: Client) -> Any:
            answer = await client.get("/live")
            try:
                async with client.ws_connect("/live") as opened:
                    assert "anonymous" == await opened.receive_str()
            except WSServerHandshakeError as error:
                return error.status, answer.status
            return 101, answer.status

        assert (socket, plain) == serve(guarded(door), talk)


def conditional(world: World, monkeypatch: pytest.MonkeyPatch, allowed: str) -> Door:
    """Return a door that admits to one path."""
    Conditions.install(monkeypatch)
    condition = {"expression": f"request.path == '{allowed}'", "title": "one path"}
    binding = {"role": "roles/run.invoker", "members": [MEMBER], "condition": condition}
    return Door(world.verifier(), InvokerPolicy.from_dict({"version": 3, "bindings": [binding]}))


@web.middleware
async def preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "OPTIONS":
        return web.Response(headers={"Access-Control-Allow-Origin": "*"})
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = error
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


class TestOrder:
    def test_a_middleware_that_was_there_runs_behind_the_door(self, door: Door) -> None:
        app = guarded(door, middlewares=[preflights])
        assert 403 == get(app, "/orders", method="OPTIONS")[0]

    def test_a_middleware_that_is_named_before_the_door_answers_preflights_and_sees_refusals(
        self, door: Door
    ) -> None:
        app = application(middlewares=[preflights, invoker_middleware(door)])

        async def talk(client: Client) -> Any:
            answers = [await client.options("/orders"), await client.get("/orders")]
            return [(one.status, one.headers["Access-Control-Allow-Origin"]) for one in answers]

        assert [(200, "*"), (403, "*")] == serve(app, talk)

    def test_an_application_does_not_start_with_a_middleware_put_before_the_door(self, door: Door) -> None:
        app = guarded(door)
        app.middlewares.insert(0, preflights)
        with pytest.raises(ConfigurationError, match="a middleware was put before the door"):
            asyncio.run(web.AppRunner(app).setup())

    def test_a_middleware_may_be_appended(self, door: Door, bearer: dict[str, str]) -> None:
        app = guarded(door)
        app.middlewares.append(preflights)
        assert 200 == get(app, "/orders", headers=bearer)[0]


def is_ann(principal: Principal) -> bool:
    return principal.email == "ann@example.com"


@only(is_ann)
async def for_ann(request: web.Request) -> web.Response:
    return web.Response(text=str(principal_of(request)))


@only(is_ann)
async def live_for_ann(request: web.Request) -> web.StreamResponse:
    return await live(request)


class Handlers:
    @only(is_ann)
    async def for_ann(self, request: web.Request) -> web.Response:
        return web.Response(text=str(principal_of(request)))


class OneMethod(web.View):
    @only(is_ann)
    async def get(self) -> web.Response:
        return web.Response(text=str(principal_of(self.request)))

    async def post(self) -> web.Response:
        return web.Response(text="open to all whom the door admits")


@only(is_ann)
class AllMethods(web.View):
    async def get(self) -> web.Response:
        return web.Response(text=str(principal_of(self.request)))

    async def post(self) -> web.Response:
        return web.Response(text="changed")


class Derived(AllMethods):
    async def get(self) -> web.Response:
        return web.Response(text=f"{principal_of(self.request)} again")


@only(service_accounts)
async def for_services(request: web.Request) -> web.Response:
    return web.Response()


class TestOnly:
    @pytest.fixture
    def callers(self, world: World) -> list[dict[str, str]]:
        """The headers of no caller, of a service account, and of Ann."""
        tokens = (world.token(), world.token(email="ann@example.com", sub="7"))
        return [{}, *({"Authorization": f"Bearer {token}"} for token in tokens)]

    @pytest.fixture
    def app(self, world: World) -> web.Application:
        app, sub = web.Application(), web.Application()
        sub.router.add_get("/ann", for_ann)
        app.add_subapp("/sub", sub)
        handlers: list[tuple[str, Any]] = [
            ("/ann", for_ann),
            ("/live", live_for_ann),
            ("/handlers", Handlers().for_ann),
            ("/method", OneMethod),
            ("/methods", AllMethods),
            ("/derived", Derived),
            ("/services", for_services),
        ]
        for path, handler in handlers:
            app.router.add_route("*", path, handler)
        policy = InvokerPolicy.from_members([MEMBER, "user:ann@example.com"])
        Invoker(app, Door(world.verifier(), policy, style=problem_details))
        return app

    @pytest.mark.parametrize("target", ["/ann", "/sub/ann", "/handlers", "/method", "/methods", "/derived"])
    def test_it_lets_in_whom_it_names(
        self, app: web.Application, callers: list[dict[str, str]], target: str
    ) -> None:
        async def talk(client: Client) -> Any:
            return [(await client.get(target, headers=headers)).status for headers in callers]

        assert [403, 403, 200] == serve(app, talk)

    @pytest.mark.parametrize(
        ("target", "expected"),
        [("/method", [403, 200, 200]), ("/methods", [403, 403, 200]), ("/services", [403, 200, 403])],
    )
    def test_a_view_is_narrowed_whole_or_by_its_methods(
        self, app: web.Application, callers: list[dict[str, str]], target: str, expected: list[int]
    ) -> None:
        async def talk(client: Client) -> Any:
            return [(await client.post(target, headers=headers)).status for headers in callers]

        assert expected == serve(app, talk)

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("target", ["/ann", "/methods"])
    def test_the_answer_is_the_doors_own(
        self, app: web.Application, callers: list[dict[str, str]], target: str, method: str
    ) -> None:
        async def talk(client: Client) -> Any:
            answer = await client.request(method, target, headers=callers[1])
            return answer.status, answer.content_type, await answer.read()

        body = problem_details(PermissionDeniedError("as expected"), target).body
        expected = (403, "application/problem+json", b"" if method == "HEAD" else body)
        assert expected == serve(app, talk)

    @pytest.mark.parametrize("target", ["/ann", "/methods"])
    def test_the_log_says_in_which_trace_it_refused(
        self,
        app: web.Application,
        callers: list[dict[str, str]],
        target: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        get(app, target, headers=callers[1] | {"traceparent": f"00-{'7' * 32}-{'8' * 16}-01"})
        (refused,) = [vars(one)["doorward_refusal"] for one in caplog.records if one.name == "doorward.door"]
        assert "7" * 32 == refused["trace"]["trace"]

    def test_a_websocket_is_refused_before_it_is_accepted(
        self, app: web.Application, callers: list[dict[str, str]]
    ) -> None:
        async def talk(client: Client) -> Any:
            with pytest.raises(WSServerHandshakeError) as raised:
                await client.ws_connect("/live", headers=callers[1])
            async with client.ws_connect("/live", headers=callers[2]) as socket:
                return raised.value.status, await socket.receive_str()

        assert (403, "user:ann@example.com") == serve(app, talk)

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda request: request, id="a function that is not async"),
            pytest.param(web.Response, id="another class"),
            pytest.param(Handlers(), id="an object"),
            pytest.param("handler", id="a name"),
            pytest.param(asyncio.Event().wait, id="without a request"),
        ],
    )
    def test_what_is_no_handler_is_refused_when_it_is_decorated(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="decorates a coroutine function"):
            only(service_accounts)(wrong)

    def test_what_gets_no_request_raises(self) -> None:
        @only(service_accounts)
        async def handle(value: object) -> None: ...

        with pytest.raises(ConfigurationError, match="called with str in place of a request"):
            asyncio.run(handle("value"))

    def test_without_a_door_it_raises(self) -> None:
        app = web.Application()
        app.router.add_get("/ann", for_ann)
        app.router.add_view("/methods", AllMethods)
        assert [500, 500] == [status for status, _ in get(app, "/ann", "/methods")]


class TestEndUser:
    def test_a_handler_gets_the_end_user_apart_from_the_caller(self, world: World) -> None:
        async def whose(request: web.Request) -> web.Response:
            return web.Response(text=f"{end_user_of(request)} by {principal_of(request)}")

        app = web.Application()
        app.router.add_get("/orders", whose)
        Invoker(app, door_with_end_users(world))

        async def talk(client: Client) -> list[str]:
            answers = [await client.get("/orders", headers=one) for one in with_and_without_user(world)]
            return [await answer.text() for answer in answers]

        assert [f"{ANN} by {MEMBER}", f"None by {MEMBER}"] == serve(app, talk)

    def test_without_a_door_there_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="no door has decided"):
            end_user_of(make_mocked_request("GET", "/orders"))


class TestReadiness:
    @pytest.mark.parametrize(("warm", "exempt", "status"), [(True, 1, 200), (False, 1, 503), (True, 0, 403)])
    def test_a_probe_is_answered_where_the_door_exempts_it(
        self, world: World, *, warm: bool, exempt: int, status: int
    ) -> None:
        probes = [("GET", "/readyz"), ("HEAD", "/readyz")][: 2 * exempt]
        door, app = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=probes), application()
        add_readiness(app, door)
        Invoker(app, door)
        if warm:
            door.verifier.warm()
        else:
            world.endpoint.down()

        async def talk(client: Client) -> Any:
            answers = [await client.get("/readyz"), await client.head("/readyz")]
            return [one.status for one in answers], answers[0].content_type, await answers[1].read()

        kind = "application/json" if exempt else "text/html"
        assert ([status, status], kind, b"") == serve(app, talk)


class TestMistakes:
    def test_without_a_door_there_is_no_caller(self) -> None:
        with pytest.raises(ConfigurationError, match="no door has decided on this request"):
            principal_of(make_mocked_request("GET", "/orders"))

    def test_a_door_must_be_given(self, world: World) -> None:
        wrong: Any = world.verifier()
        with pytest.raises(ConfigurationError, match=r"Invoker\(app, door\) needs a Door, not Verifier"):
            Invoker(application(), wrong)
        with pytest.raises(
            ConfigurationError, match=r"invoker_middleware\(door\) needs a Door, not Verifier"
        ):
            invoker_middleware(wrong)

    def test_an_application_must_be_given(self, door: Door) -> None:
        wrong: Any = application().router
        with pytest.raises(ConfigurationError, match="needs the application itself, not UrlDispatcher"):
            Invoker(wrong, door)

    def test_an_application_has_one_door(self, door: Door) -> None:
        app = guarded(door)
        with pytest.raises(ConfigurationError, match="has a door already"):
            Invoker(app, door)

    def test_an_application_that_has_started_takes_no_door(self, door: Door) -> None:
        app = application()
        app.freeze()
        with pytest.raises(ConfigurationError, match="has started"):
            Invoker(app, door)

    def test_a_prefix_must_be_a_path(self, door: Door) -> None:
        with pytest.raises(ConfigurationError, match="public_prefix='api'"):
            Invoker(application(), door, public_prefix="api")
