"""The WSGI middleware: call by call, and behind gunicorn and waitress with the very bytes of a request."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from doorward import Admission, ConfigurationError, Door, InvokerPolicy, PlainRequest, Refusal, Verifier
from doorward_integrations.admission import ADMISSION, DOOR
from doorward_integrations.wsgi import InvokerMiddleware, principal_of
from support.servers import Reply, exchange, gunicorn, key_server, waitress
from support.tokens import AUDIENCE, MEMBER, SigningKey, jwks, token
from support.world import World

REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"


class Application:
    """Answers in JSON with what it was called with."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.environs.append(environ)
        seen: dict[str, Any] = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
        if environ["REQUEST_METHOD"] == "POST":
            seen["body"] = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        body = json.dumps({**seen, "principal": str(principal_of(environ))}).encode()
        start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
        return [body]


def application() -> Any:
    """What gunicorn runs: the application behind a door that is set up by the environment."""
    verifier = Verifier(AUDIENCE)
    policy = InvokerPolicy.from_members([MEMBER])
    if os.environ.get("TEST_POLICY") == "public":
        policy = InvokerPolicy.all_users()
    return InvokerMiddleware(Application(), Door(verifier, policy))


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


def environ_of(**changed: Any) -> dict[str, Any]:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    del environ["HTTP_HOST"]
    return environ | {"SCRIPT_NAME": "", "PATH_INFO": "/orders", "QUERY_STRING": ""} | changed


def call(app: Any, environ: dict[str, Any]) -> Reply:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda _: None

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        getattr(result, "close", lambda: None)()
    status, headers = started[0]
    code, _, phrase = status.partition(" ")
    assert HTTPStatus(int(code)).phrase == phrase
    return Reply(int(code), tuple(headers), body)


def refusal_of(door: Door, headers: list[tuple[bytes, bytes]], path: str) -> Refusal:
    refusal = door.admit(headers, PlainRequest(path))
    assert isinstance(refusal, Refusal)
    return refusal


class TestMiddleware:
    def test_an_admitted_request_reaches_the_application_with_the_admission(
        self, door: Door, world: World
    ) -> None:
        app = Application()
        reply = call(InvokerMiddleware(app, door), environ_of(HTTP_AUTHORIZATION=f"Bearer {world.token()}"))
        admission = app.environs[0][ADMISSION]
        assert isinstance(admission, Admission)
        assert (200, MEMBER) == (reply.status, admission.principal.member)
        assert admission.principal is principal_of(app.environs[0])

    @pytest.mark.parametrize("key", ["HTTP_AUTHORIZATION", "HTTP_X_SERVERLESS_AUTHORIZATION"])
    def test_the_application_sees_the_token_with_its_signature_replaced(
        self, door: Door, world: World, key: str
    ) -> None:
        app = Application()
        one = world.token()
        call(InvokerMiddleware(app, door), environ_of(**{key: f"Bearer {one}"}))
        assert f"Bearer {one.rpartition('.')[0]}.{REMOVED}" == app.environs[0][key]

    def test_all_else_in_the_environ_is_passed_on(self, door: Door, world: World) -> None:
        app = Application()
        environ = environ_of(
            HTTP_AUTHORIZATION=f"Bearer {world.token()}",
            HTTP_ACCEPT_LANGUAGE="de",
            HTTP_X_LATIN="caf\xe9",
            CONTENT_TYPE="text/plain",
        )
        call(InvokerMiddleware(app, door), environ)
        seen = dict(app.environs[0])
        assert seen.pop(ADMISSION) is not None
        assert door is seen.pop(DOOR)
        assert environ.pop("HTTP_AUTHORIZATION") != seen.pop("HTTP_AUTHORIZATION")
        assert environ == seen

    @pytest.mark.parametrize("good", [True, False], ids=["admitted", "refused"])
    def test_the_environ_of_the_server_stays_as_it_was(self, door: Door, world: World, *, good: bool) -> None:
        environ = environ_of(**({"HTTP_AUTHORIZATION": f"Bearer {world.token()}"} if good else {}))
        before = dict(environ)
        call(InvokerMiddleware(Application(), door), environ)
        assert before == environ

    def test_what_a_client_asserts_in_the_name_of_a_platform_is_taken_out(
        self, door: Door, world: World
    ) -> None:
        app = Application()
        environ = environ_of(
            HTTP_AUTHORIZATION=f"Bearer {world.token()}", HTTP_X_GOOG_AUTHENTICATED_USER_EMAIL="root@x"
        )
        call(InvokerMiddleware(app, door), environ)
        assert "HTTP_X_GOOG_AUTHENTICATED_USER_EMAIL" not in app.environs[0]

    @pytest.mark.parametrize(("credential", "status"), [("none", 403), ("bad", 401), ("unavailable", 503)])
    def test_a_refusal_is_the_doors_to_the_byte(self, world: World, credential: str, status: int) -> None:
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
        if credential == "unavailable":
            world.endpoint.down(retry_after=9)
        value = f"Bearer {world.token(aud='https://other') if credential == 'bad' else world.token()}"
        app = Application()
        reply = call(
            InvokerMiddleware(app, door),
            environ_of(**({} if credential == "none" else {"HTTP_AUTHORIZATION": value})),
        )
        headers = [] if credential == "none" else [(b"authorization", value.encode())]
        expected = refusal_of(door, headers, "/orders")
        assert (status, expected.body, []) == (reply.status, reply.body, app.environs)
        assert expected.headers == tuple((name.encode(), text.encode()) for name, text in reply.headers)

    def test_a_refused_head_request_has_no_body_but_its_length(self, door: Door) -> None:
        reply = call(InvokerMiddleware(Application(), door), environ_of(REQUEST_METHOD="HEAD"))
        expected = refusal_of(door, [], "/orders")
        assert (403, b"", str(len(expected.body))) == (reply.status, reply.body, reply.get("content-length"))

    def test_a_public_door_admits_a_forged_credential_as_anonymous(self, world: World) -> None:
        app = Application()
        door = Door(world.verifier(), InvokerPolicy.all_users())
        spoof = f"Bearer {world.token().rpartition('.')[0]}.forged"
        reply = call(InvokerMiddleware(app, door), environ_of(HTTP_X_SERVERLESS_AUTHORIZATION=spoof))
        assert (200, {"principal": "anonymous"}) == (reply.status, json.loads(reply.body))

    def test_an_environ_without_a_path_is_refused_all_the_same(self, door: Door) -> None:
        reply = call(InvokerMiddleware(Application(), door), {"REQUEST_METHOD": "GET"})
        assert 403 == reply.status

    @pytest.mark.parametrize(
        ("script", "info", "shown"),
        [
            pytest.param("", "/orders", "/orders", id="plain"),
            pytest.param("/app", "/orders", "/app/orders", id="below a mount"),
            pytest.param("", "/k\xc3\xa4se", "/k%C3%A4se", id="utf-8"),
            pytest.param("", "/\xff\xfe", "/%FF%FE", id="no utf-8"),
            pytest.param("", "/<b>", "/%3Cb%3E", id="markup"),
            pytest.param("", "/a b?c", "/a%20b%3Fc", id="space and question mark"),
        ],
    )
    def test_the_path_is_shown_encoded(self, door: Door, script: str, info: str, shown: str) -> None:
        environ = environ_of(SCRIPT_NAME=script, PATH_INFO=info)
        body = call(InvokerMiddleware(Application(), door), environ).body
        assert f"<code>{shown}</code>".encode() in body

    def test_headers_that_a_server_has_joined_are_two_credentials(self, door: Door, world: World) -> None:
        app = Application()
        joined = f"Bearer {world.token()},Bearer {world.token()}"
        reply = call(InvokerMiddleware(app, door), environ_of(HTTP_AUTHORIZATION=joined))
        assert (401, []) == (reply.status, app.environs)

    @pytest.mark.parametrize("wrong", [None, "door"])
    def test_without_a_door_it_is_not_made(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="needs a Door"):
            InvokerMiddleware(Application(), wrong)


class TestPEP3333:
    """`wsgiref.validate` on both sides of the middleware finds nothing to complain of."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    @pytest.mark.parametrize("good", [True, False], ids=["admitted", "refused"])
    def test_the_middleware_keeps_the_specification(
        self, door: Door, world: World, method: str, *, good: bool
    ) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [] if method == "HEAD" else [b"inside"]

        validate: Callable[[Any], Any] = validator
        checked = validate(InvokerMiddleware(validate(app), door))
        headers = {"HTTP_AUTHORIZATION": f"Bearer {world.token()}"} if good else {}
        environ = environ_of(REQUEST_METHOD=method, CONTENT_LENGTH="0", **headers)
        reply = call(checked, environ)
        assert (200 if good else 403) == reply.status


KEY = SigningKey("wsgi-key")


def request_of(*headers: str, target: str = "/orders", method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: orders", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.fixture(scope="module")
def real_token() -> str:
    return token(KEY, time.time())


@pytest.fixture(scope="module", params=["gunicorn", "waitress"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The guarded application behind a real server; keys over real HTTP."""
    with key_server(jwks(KEY)) as keys, _serving(request.param, keys.url, "") as base:
        yield base


@pytest.fixture(scope="module", params=["gunicorn", "waitress"])
def public_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `server`, where everybody may come."""
    with key_server(jwks(KEY)) as keys, _serving(request.param, keys.url, "public") as base:
        yield base


def _serving(kind: str, key_url: str, policy: str) -> Any:
    host = key_url.removeprefix("http://").partition("/")[0]
    environ = {"DOORWARD_EMULATOR_HOST": host, "TEST_POLICY": policy}
    if kind == "gunicorn":
        return gunicorn("integrations.test_wsgi:application()", environ)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        return waitress(application())


class TestServers:
    """What a server does to a request before the middleware sees it."""

    def test_a_credential_is_admitted(self, server: str, real_token: str) -> None:
        reply = exchange(server, request_of(f"Authorization: Bearer {real_token}"))
        assert 200 == reply.status
        seen = json.loads(reply.body)
        assert MEMBER == seen["principal"]
        assert f"Bearer {real_token.rpartition('.')[0]}.{REMOVED}" == seen["HTTP_AUTHORIZATION"]

    def test_a_refusal_is_the_doors_to_the_byte(self, server: str, door: Door) -> None:
        reply = exchange(server, request_of())
        expected = refusal_of(door, [], "/orders")
        assert (403, expected.body) == (reply.status, reply.body)
        for name, value in expected.headers:
            assert value.decode() == reply.get(name.decode())

    def test_a_bad_token_is_challenged(self, server: str, real_token: str) -> None:
        reply = exchange(server, request_of(f"Authorization: Bearer {real_token[:-4]}AAAA"))
        expected = 'Bearer error="invalid_token" error_description="The access token could not be verified"'
        assert (401, expected) == (reply.status, reply.get("www-authenticate"))

    @pytest.mark.parametrize("name", ["Authorization", "X-Serverless-Authorization"])
    def test_a_header_that_came_twice_is_refused(self, server: str, real_token: str, name: str) -> None:
        line = f"{name}: Bearer {real_token}"
        assert 401 == exchange(server, request_of(line, line)).status

    def test_a_good_header_does_not_help_a_bad_one(self, server: str, real_token: str) -> None:
        good, bad = f"Authorization: Bearer {real_token}", "Authorization: Basic dXNlcjpwYXNz"
        assert [401, 401] == [
            exchange(server, request_of(*pair)).status for pair in ((good, bad), (bad, good))
        ]

    @pytest.mark.parametrize("name", ["X_Serverless_Authorization", "x_serverless-authorization"])
    def test_a_header_written_with_underscores_is_no_credential(
        self, server: str, real_token: str, name: str
    ) -> None:
        assert 200 != exchange(server, request_of(f"{name}: Bearer {real_token}")).status

    def test_a_header_written_with_underscores_does_not_replace_the_credential(
        self, server: str, real_token: str
    ) -> None:
        """Either the server drops it, or the request is refused: the application never sees it."""
        spoof = "X_Serverless_Authorization: Bearer spoofed"
        reply = exchange(server, request_of(f"Authorization: Bearer {real_token}", spoof))
        assert reply.status in {200, 400, 401}
        assert b"spoofed" not in reply.body

    def test_a_header_written_with_underscores_does_not_pass_a_public_door(
        self, public_server: str, real_token: str
    ) -> None:
        spoof = f"X_Serverless_Authorization: Bearer {real_token.rpartition('.')[0]}.{REMOVED}"
        reply = exchange(public_server, request_of(spoof))
        assert "HTTP_X_SERVERLESS_AUTHORIZATION" not in reply.body.decode()
        assert (200, "anonymous") == (reply.status, json.loads(reply.body)["principal"])

    def test_a_public_door_admits_a_request_without_a_credential(self, public_server: str) -> None:
        assert "anonymous" == json.loads(exchange(public_server, request_of()).body)["principal"]

    def test_a_header_cannot_be_the_admission(self, server: str) -> None:
        headers = [f"{name}: x" for name in ("doorward.admission", "Doorward-Admission")]
        assert 403 == exchange(server, request_of(*headers)).status

    def test_a_refused_head_request_has_no_body(self, server: str, door: Door) -> None:
        reply = exchange(server, request_of(method="HEAD"))
        length = str(len(refusal_of(door, [], "/orders").body))
        assert (403, b"", length) == (reply.status, reply.body, reply.get("content-length"))

    @pytest.mark.parametrize(
        ("target", "shown"),
        [
            pytest.param("/k%C3%A4se", "/k%C3%A4se", id="utf-8"),
            pytest.param("/%FF", "/%FF", id="no utf-8"),
            pytest.param("/%3Cscript%3E", "/%3Cscript%3E", id="markup"),
            pytest.param("/a?token=secret", "/a", id="with a query"),
        ],
    )
    def test_the_path_is_shown_encoded(self, server: str, target: str, shown: str) -> None:
        reply = exchange(server, request_of(target=target))
        assert 403 == reply.status
        assert f"<code>{shown}</code>" in reply.body.decode()

    def test_the_body_arrives(self, server: str, real_token: str) -> None:
        request = request_of(f"Authorization: Bearer {real_token}", method="POST", body=b"one order")
        assert "one order" == json.loads(exchange(server, request).body)["body"]

    def test_a_refused_body_is_not_taken_for_the_next_request(self, server: str, real_token: str) -> None:
        """A request hidden in the body of a refused one, on a kept connection, is never answered."""
        hidden = request_of(f"Authorization: Bearer {real_token}")
        first = request_of(method="POST", body=hidden).replace(b"Connection: close\r\n", b"", 1)
        last = request_of(target="/last")
        reply = exchange(server, first + last)
        assert 403 == reply.status
        assert MEMBER.encode() not in reply.body
