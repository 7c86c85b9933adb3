"""The ASGI middleware, driven message by message."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import (
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    PlainRequest,
    Refusal,
    problem_details,
)
from doorward.door.refusal import RefusalStyle, cloud_run
from doorward_integrations.admission import ADMISSION, DOOR
from doorward_integrations.asgi import AsgiRequest, InvokerMiddleware, principal_of
from support.tokens import MEMBER
from support.world import World

Message = MutableMapping[str, Any]

DENIAL = "websocket.http.response"


class Application:
    """Stands behind the door and keeps the scopes it was called with."""

    def __init__(self) -> None:
        self.scopes: list[MutableMapping[str, Any]] = []
        self.channels: list[tuple[Any, Any]] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.channels.append((receive, send))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"inside"})


class Wire:
    """The server's side: counts what is received, keeps what is sent."""

    def __init__(self, *incoming: Message) -> None:
        self.incoming = list(incoming)
        self.received = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.received += 1
        return self.incoming.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


def scope_of(kind: str, *headers: tuple[bytes, bytes], **changed: Any) -> dict[str, Any]:
    scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/orders",
        "raw_path": b"/orders",
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "state": {},
    }
    return {name: value for name, value in (scope | changed).items() if value is not None}


def call(app: Any, scope: MutableMapping[str, Any], *incoming: Message) -> Wire:
    wire = Wire(*incoming)
    asyncio.run(app(scope, wire.receive, wire.send))
    return wire


def bearer(token: str, name: bytes = b"authorization") -> tuple[bytes, bytes]:
    return name, b"Bearer " + token.encode()


def without_signature(token: str) -> bytes:
    return token.rpartition(".")[0].encode() + b".SIGNATURE_REMOVED_BY_GOOGLE"


def test_an_admitted_request_reaches_the_application(
    application: Application, door: Door, world: World
) -> None:
    wire = call(InvokerMiddleware(application, door), scope_of("http", bearer(world.token())))
    assert [200, b"inside"] == [wire.sent[0]["status"], wire.sent[1]["body"]]


def test_the_application_finds_the_admission_in_its_scope(
    application: Application, door: Door, world: World
) -> None:
    call(InvokerMiddleware(application, door), scope_of("http", bearer(world.token())))
    admission = application.scopes[0][ADMISSION]
    assert isinstance(admission, Admission)
    assert MEMBER == admission.principal.member


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_application_gets_the_caller_and_the_door_of_its_scope(
    application: Application, door: Door, world: World, kind: str
) -> None:
    middleware = InvokerMiddleware(application, door)
    for _ in range(2):  # the token is new, and then cached
        call(middleware, scope_of(kind, bearer(world.token())))
    assert [MEMBER, MEMBER] == [principal_of(scope).member for scope in application.scopes]
    assert [door, door] == [scope[DOOR] for scope in application.scopes]


@pytest.mark.parametrize("name", [b"authorization", b"x-serverless-authorization"])
def test_the_application_sees_the_token_with_its_signature_replaced(
    application: Application, door: Door, world: World, name: bytes
) -> None:
    token = world.token()
    call(
        InvokerMiddleware(application, door),
        scope_of("http", (b"host", b"orders"), bearer(token, name), (b"accept", b"*/*")),
    )
    expected = [(b"host", b"orders"), (name, b"Bearer " + without_signature(token)), (b"accept", b"*/*")]
    assert expected == application.scopes[0]["headers"]


def test_all_else_in_the_scope_is_passed_on(application: Application, door: Door, world: World) -> None:
    scope = scope_of("http", bearer(world.token()), client=("127.0.0.1", 50000), extensions={"x": {}})
    call(InvokerMiddleware(application, door), scope)
    seen = dict(application.scopes[0])
    assert scope.pop("headers") != seen.pop("headers")
    assert scope == {name: value for name, value in seen.items() if not name.startswith("doorward.")}


def test_the_state_of_the_lifespan_is_shared_and_not_copied(
    application: Application, door: Door, world: World
) -> None:
    scope = scope_of("http", bearer(world.token()))
    call(InvokerMiddleware(application, door), scope)
    assert scope["state"] is application.scopes[0]["state"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("good", [True, False], ids=["admitted", "refused"])
def test_the_scope_of_the_server_stays_as_it_was(
    application: Application, door: Door, world: World, kind: str, *, good: bool
) -> None:
    headers = (bearer(world.token()),) if good else ()
    scope = scope_of(kind, *headers)
    before = copy.deepcopy(scope)
    call(InvokerMiddleware(application, door), scope, {"type": "websocket.connect"})
    assert before == scope


def test_an_admission_that_is_in_the_scope_already_admits_no_request(
    application: Application, door: Door, world: World
) -> None:
    admission = door.admit([bearer(world.token())])
    wire = call(InvokerMiddleware(application, door), scope_of("http", **{ADMISSION: admission}))
    assert (403, []) == (wire.sent[0]["status"], application.scopes)


def test_the_receive_and_send_of_the_server_are_handed_on(door: Door, world: World) -> None:
    application = Application()
    wire = Wire()
    receive, send = wire.receive, wire.send
    asyncio.run(InvokerMiddleware(application, door)(scope_of("http", bearer(world.token())), receive, send))
    assert [(receive, send)] == application.channels


@pytest.mark.parametrize("good", [True, False], ids=["admitted", "refused"])
def test_the_body_of_an_http_request_is_not_touched(
    application: Application, door: Door, world: World, *, good: bool
) -> None:
    headers = (bearer(world.token()),) if good else ()
    wire = call(InvokerMiddleware(application, door), scope_of("http", *headers, method="POST"))
    assert 0 == wire.received


def test_a_request_without_a_credential_is_answered_with_403_to_the_byte(
    application: Application, door: Door
) -> None:
    wire = call(InvokerMiddleware(application, door), scope_of("http"))
    body = b"""<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>403 Forbidden</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Forbidden</h1>
<h2>Your client does not have permission to get URL <code>/orders</code> from this server.</h2>
<h2></h2>
</body></html>
"""
    headers = [(b"content-type", b"text/html; charset=UTF-8"), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": 403, "headers": headers}
    assert [start, {"type": "http.response.body", "body": body}] == wire.sent
    assert [] == application.scopes


def test_a_bad_token_is_answered_with_401_to_the_byte(
    application: Application, door: Door, world: World
) -> None:
    wire = call(
        InvokerMiddleware(application, door), scope_of("http", bearer(world.token(aud="https://other")))
    )
    body = b"""<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>401 Unauthorized</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: Unauthorized</h1>
<h2>Your client does not have permission to the requested URL <code>/orders</code>.</h2>
<h2></h2>
</body></html>
"""
    headers = [
        (b"content-type", b"text/html; charset=UTF-8"),
        (b"content-length", b"%d" % len(body)),
        (
            b"www-authenticate",
            b'Bearer error="invalid_token" error_description="The access token could not be verified"',
        ),
    ]
    start = {"type": "http.response.start", "status": 401, "headers": headers}
    assert [start, {"type": "http.response.body", "body": body}] == wire.sent
    assert [] == application.scopes


def test_a_principal_that_may_not_is_refused_with_403(application: Application, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members(["user:somebody@example.com"]))
    wire = call(InvokerMiddleware(application, door), scope_of("http", bearer(world.token())))
    assert (403, []) == (wire.sent[0]["status"], application.scopes)


def test_where_the_keys_are_away_the_answer_is_503_with_retry_after(
    application: Application, door: Door, world: World
) -> None:
    world.endpoint.down(retry_after=2)
    wire = call(InvokerMiddleware(application, door), scope_of("http", bearer(world.token())))
    assert 503 == wire.sent[0]["status"]
    assert b"2" == dict(wire.sent[0]["headers"])[b"retry-after"]


def test_the_style_of_the_door_answers(application: Application, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=problem_details)
    wire = call(InvokerMiddleware(application, door), scope_of("http"))
    assert (b"content-type", b"application/problem+json") == wire.sent[0]["headers"][0]


@pytest.mark.parametrize("style", [cloud_run, problem_details])
@pytest.mark.parametrize("credential", ["none", "bad", "unavailable"])
def test_a_refused_head_request_gets_the_headers_of_a_get_and_no_body(
    application: Application, world: World, style: RefusalStyle, credential: str
) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=style)
    if credential == "unavailable":
        world.endpoint.down(retry_after=7)
    token = world.token(**({"aud": "https://other"} if credential == "bad" else {}))
    headers = [] if credential == "none" else [bearer(token)]
    head, get = (
        call(InvokerMiddleware(application, door), scope_of("http", *headers, method=method)).sent
        for method in ("HEAD", "GET")
    )
    assert get[0] == head[0]
    assert {"type": "http.response.body", "body": b""} == head[1]
    assert b"%d" % len(get[1]["body"]) == dict(head[0]["headers"])[b"content-length"]
    assert [] == application.scopes


def test_the_headers_of_an_answer_are_a_list_of_its_own(application: Application, door: Door) -> None:
    middleware = InvokerMiddleware(application, door)
    first, second = (call(middleware, scope_of("http")).sent[0]["headers"] for _ in range(2))
    first.append((b"x-added-outside", b"1"))
    assert (b"x-added-outside", b"1") not in second


def test_a_public_door_admits_a_request_as_anonymous(application: Application, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.all_users())
    call(InvokerMiddleware(application, door), scope_of("http"))
    assert application.scopes[0][ADMISSION].principal.anonymous


def test_lifespan_passes_untouched(application: Application, door: Door) -> None:
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    wire = call(InvokerMiddleware(application, door), scope)
    assert [scope] == application.scopes
    assert scope is application.scopes[0]
    assert (0, []) == (wire.received, wire.sent)


@pytest.mark.parametrize("kind", ["webtransport", "HTTP", "", "http2"])
def test_a_scope_of_an_unknown_type_does_not_pass(application: Application, door: Door, kind: str) -> None:
    with pytest.raises(RuntimeError, match=repr(kind)):
        call(InvokerMiddleware(application, door), scope_of(kind))
    assert [] == application.scopes


def test_a_scope_of_an_unknown_type_does_not_pass_a_public_door_either(
    application: Application, world: World
) -> None:
    door = Door(world.verifier(), InvokerPolicy.all_users())
    with pytest.raises(RuntimeError):
        call(InvokerMiddleware(application, door), scope_of("webtransport"))
    assert [] == application.scopes


class TestWebSocket:
    def test_one_with_a_credential_reaches_the_application_before_anything_is_received(
        self, application: Application, door: Door, world: World
    ) -> None:
        scope = scope_of("websocket", bearer(world.token()))
        wire = call(InvokerMiddleware(application, door), scope, {"type": "websocket.connect"})
        assert MEMBER == application.scopes[0][ADMISSION].principal.member
        assert 0 == wire.received

    @pytest.mark.parametrize(
        "extensions", [None, {}, {"other": {}}], ids=["none", "empty", "another extension"]
    )
    def test_one_without_a_credential_is_closed_before_it_is_accepted(
        self, application: Application, door: Door, extensions: dict[str, Any] | None
    ) -> None:
        scope = scope_of("websocket", extensions=extensions)
        wire = call(InvokerMiddleware(application, door), scope, {"type": "websocket.connect"})
        assert [{"type": "websocket.close", "code": 1008}] == wire.sent
        assert (1, []) == (wire.received, application.scopes)

    def test_extensions_may_be_none(self, application: Application, door: Door) -> None:
        scope = scope_of("websocket") | {"extensions": None}
        wire = call(InvokerMiddleware(application, door), scope, {"type": "websocket.connect"})
        assert ["websocket.close"] == [message["type"] for message in wire.sent]

    def test_where_the_server_can_send_an_answer_it_is_the_same_as_for_http(
        self, application: Application, door: Door
    ) -> None:
        middleware = InvokerMiddleware(application, door)
        scope = scope_of("websocket", extensions={DENIAL: {}})
        wire = call(middleware, scope, {"type": "websocket.connect"})
        over_http = call(middleware, scope_of("http"))
        assert [f"{DENIAL}.start", f"{DENIAL}.body"] == [message["type"] for message in wire.sent]
        for denied, refused in zip(wire.sent, over_http.sent, strict=True):
            assert {**refused, "type": denied["type"]} == denied
        assert [] == application.scopes

    def test_nothing_is_sent_before_the_client_has_connected(
        self, application: Application, door: Door
    ) -> None:
        order: list[str] = []

        async def receive() -> Message:
            order.append("receive")
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            order.append(message["type"])

        asyncio.run(InvokerMiddleware(application, door)(scope_of("websocket"), receive, send))
        assert ["receive", "websocket.close"] == order


class TestPath:
    """The path is shown in the answer, so it is the one that was sent, and it is escaped."""

    @pytest.mark.parametrize(
        ("raw_path", "expected"),
        [
            pytest.param(b"/orders", "/orders", id="plain"),
            pytest.param(b"/orders?token=secret", "/orders", id="with a query"),
            pytest.param(b"/a%2Fb", "/a%2Fb", id="an encoded slash stays encoded"),
            pytest.param(b"/a%3Fb?c", "/a%3Fb", id="an encoded question mark is no query"),
            pytest.param(b"/caf\xe9", "/caf\xe9", id="a raw byte"),
            pytest.param(b"", "", id="empty"),
        ],
    )
    def test_it_is_taken_from_raw_path(self, raw_path: bytes, expected: str) -> None:
        assert expected == AsgiRequest(scope_of("http", path="/decoded", raw_path=raw_path)).sent_path

    @pytest.mark.parametrize(
        ("path", "expected"),
        [("/orders", "/orders"), ("/a b", "/a%20b"), ("/käse", "/k%C3%A4se"), ("/a?b", "/a%3Fb")],
    )
    def test_it_is_encoded_again_where_a_server_gives_no_raw_path(self, path: str, expected: str) -> None:
        assert expected == AsgiRequest(scope_of("http", path=path, raw_path=None)).sent_path

    def test_raw_path_may_be_none(self) -> None:
        assert "/orders" == AsgiRequest({**scope_of("http"), "raw_path": None}).sent_path

    @settings(max_examples=50, deadline=None)
    @given(raw_path=st.binary(max_size=60))
    def test_no_path_can_write_markup_into_the_answer(self, raw_path: bytes) -> None:
        world = World()
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
        scope = scope_of("http", raw_path=b"/<script>" + raw_path)
        body = call(InvokerMiddleware(Application(), door), scope).sent[1]["body"]
        path = body.partition(b"<code>")[2].partition(b"</code>")[0]
        assert path.startswith(b"/&lt;script&gt;")
        assert not set(b"<>\"'") & set(path)

    def test_a_query_is_not_repeated_in_the_answer(self, application: Application, door: Door) -> None:
        scope = scope_of("http", raw_path=b"/orders?key=sesame", query_string=b"key=sesame")
        assert b"sesame" not in call(InvokerMiddleware(application, door), scope).sent[1]["body"]


@pytest.mark.parametrize("wrong", [None, "door", Door], ids=["none", "a string", "the class"])
def test_without_a_door_it_is_not_made(application: Application, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs a Door"):
        InvokerMiddleware(application, wrong)


def test_what_the_application_raises_passes_through(door: Door, world: World) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("the application's own")

    with pytest.raises(LookupError, match="own"):
        call(InvokerMiddleware(failing, door), scope_of("http", bearer(world.token())))


def test_a_second_door_refuses_what_the_first_has_admitted(
    application: Application, door: Door, world: World
) -> None:
    """The signature is gone after the first, and what cannot be checked is not believed."""
    twice = InvokerMiddleware(InvokerMiddleware(application, door), door)
    assert 401 == call(twice, scope_of("http", bearer(world.token()))).sent[0]["status"]
    assert [] == application.scopes


def test_a_cancelled_request_is_cancelled_and_not_answered(
    application: Application, door: Door, world: World
) -> None:
    world.endpoint.gate.clear()
    wire = Wire()

    async def run() -> None:
        request = asyncio.create_task(
            InvokerMiddleware(application, door)(
                scope_of("http", bearer(world.token())), wire.receive, wire.send
            )
        )
        await asyncio.to_thread(world.endpoint.asked.wait, 10)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        world.endpoint.gate.set()

    asyncio.run(run())
    assert ([], []) == (wire.sent, application.scopes)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda world: world.token(aud="https://other"), id="of another audience"),
        pytest.param(lambda world: world.token()[:-8] + "AAAAAAAA", id="forged"),
    ],
)
def test_no_token_gets_into_the_answer_or_the_log(
    application: Application,
    door: Door,
    world: World,
    make: Callable[[World], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = make(world)
    with caplog.at_level(logging.DEBUG):
        wire = call(InvokerMiddleware(application, door), scope_of("http", bearer(token)))
    written = caplog.text + repr(wire.sent)
    assert "refused with 401" in caplog.text
    for segment in token.split("."):
        assert segment[:17] not in written


def test_the_answer_is_the_one_of_the_door(application: Application, door: Door) -> None:
    refusal = door.admit([], PlainRequest("/orders"))
    assert isinstance(refusal, Refusal)
    wire = call(InvokerMiddleware(application, door), scope_of("http"))
    assert (refusal.status, list(refusal.headers), refusal.body) == (
        wire.sent[0]["status"],
        wire.sent[0]["headers"],
        wire.sent[1]["body"],
    )
