"""ID tokens on the requests of httpx and httpx2: which get one, and which are sent again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from doorward import ConfigurationError, Door, InvokerPolicy, Verifier
from doorward_integrations.calling import EmulatorSource, IdTokenError, IdTokens
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator
from doorward_integrations.httpx_auth import Httpx2Auth, HttpxAuth
from doorward_integrations.starlette import Invoker, principal_of
from support.calling import FakeSource, cache_of, without_proxies
from support.clock import ManualClock
from support.servers import asgi_server
from support.tokens import AUDIENCE

MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
OTHER = "https://billing-1234567890.europe-west1.run.app"
EVIL = "https://evil.example"
SERVERLESS = "X-Serverless-Authorization"
MISSING = "MissingExtraError: fetching ID tokens needs google-auth[requests]:"
HEADERS = ["Authorization", SERVERLESS]

Handler = Callable[[Any], Any]


class Library:
    """httpx or httpx2, blocking or not: one way to send a request for all four."""

    def __init__(self, name: str, *, in_loop: bool) -> None:
        self.module: Any = {"httpx": httpx, "httpx2": httpx2}[name]
        self.auth: Any = {"httpx": HttpxAuth, "httpx2": Httpx2Auth}[name]
        self.in_loop = in_loop
        self.seen: list[Any] = []

    def answer(self, *answers: Any) -> Handler:
        """Answer with one status or response after the other, the last one again and again."""
        left = list(answers)

        def handle(request: Any) -> Any:
            self.seen.append(request)
            one = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(one, str):
                return self.module.Response(307, headers={"location": one})
            return self.module.Response(one, text="x")

        return handle

    def send(self, handle: Handler, auth: Any, method: str = "GET", url: str = AUDIENCE, **kept: Any) -> Any:
        transport = self.module.MockTransport(handle)
        settings = {"transport": transport, "auth": auth, "follow_redirects": True}
        if not self.in_loop:
            with self.module.Client(**settings) as client:
                return client.request(method, url, **kept)

        async def main() -> Any:
            async with self.module.AsyncClient(**settings) as client:
                return await client.request(method, url, **kept)

        return asyncio.run(main())

    def tokens_seen(self, header: str = "Authorization") -> list[str | None]:
        """Return, in the order of the requests, the header that each had on its way."""
        wanted = header.lower().encode()
        return [
            next((value.decode() for name, value in one.headers.raw if name.lower() == wanted), None)
            for one in self.seen
        ]


@pytest.fixture(
    params=[("httpx", False), ("httpx", True), ("httpx2", False), ("httpx2", True)],
    ids=["httpx", "httpx-async", "httpx2", "httpx2-async"],
)
def library(request: pytest.FixtureRequest) -> Library:
    name, in_loop = request.param
    return Library(name, in_loop=in_loop)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource(ManualClock())


@pytest.fixture
def tokens(source: FakeSource) -> IdTokens:
    return cache_of(source, source.clock)


def bearer(tokens: IdTokens, audience: str = AUDIENCE) -> str:
    return f"Bearer {tokens.get(audience)}"


@pytest.mark.parametrize("header", HEADERS)
def test_a_request_gets_a_token(library: Library, tokens: IdTokens, header: str) -> None:
    auth = library.auth(AUDIENCE, header=header, tokens=tokens)
    answer = library.send(library.answer(200), auth, "POST", f"{AUDIENCE}/orders?id=7", content=b"body")

    assert 200 == answer.status_code
    assert [bearer(tokens)] == library.tokens_seen(header)
    assert (b"body", "POST", "/orders?id=7") == (
        library.seen[0].content,
        library.seen[0].method,
        library.seen[0].url.raw_path.decode(),
    )


def test_without_an_audience_each_service_gets_a_token_of_its_own(library: Library, tokens: IdTokens) -> None:
    auth = library.auth(tokens=tokens)
    for url in (AUDIENCE, OTHER):
        library.send(library.answer(200), auth, url=url)

    assert [bearer(tokens), bearer(tokens, OTHER)] == library.tokens_seen()


def test_the_request_of_the_caller_stays_as_it_is_and_can_be_sent_again(tokens: IdTokens) -> None:
    library = Library("httpx", in_loop=False)
    transport = httpx.MockTransport(library.answer(200))
    with httpx.Client(transport=transport, auth=HttpxAuth(AUDIENCE, tokens=tokens)) as client:
        request = client.build_request("POST", AUDIENCE, content=b"body", extensions={"mark": 1})
        for _ in range(2):
            assert 200 == client.send(request).status_code

    assert "authorization" not in request.headers
    assert [(b"body", 1)] * 2 == [(one.content, one.extensions["mark"]) for one in library.seen]


class TestRefusedBeforeAnythingIsSent:
    @pytest.mark.parametrize(
        "url",
        [
            AUDIENCE.replace("https", "http"),
            "http://orders.example",
            "http://localhost.example",
            "http://0.0.0.0",
            "http://127.0.0.1",
            EVIL,
            f"{AUDIENCE}:8443",
            f"{AUDIENCE}@evil.example",
        ],
    )
    @pytest.mark.parametrize("audience", [None, AUDIENCE])
    def test_another_origin(
        self, library: Library, source: FakeSource, tokens: IdTokens, audience: str | None, url: str
    ) -> None:
        with pytest.raises(ConfigurationError):
            library.send(library.answer(200), library.auth(audience, tokens=tokens), url=url)
        assert ([], []) == (library.seen, source.asked)

    @pytest.mark.parametrize(
        ("header", "own"),
        [("Authorization", "authorization"), ("Authorization", SERVERLESS), (SERVERLESS, SERVERLESS.lower())],
    )
    def test_a_header_of_the_caller_is_never_replaced(
        self, library: Library, tokens: IdTokens, header: str, own: str
    ) -> None:
        auth = library.auth(AUDIENCE, header=header, tokens=tokens)
        with pytest.raises(ConfigurationError, match="header of its own"):
            library.send(library.answer(200), auth, headers={own: "Basic dXNlcjpwYXNz"})
        assert [] == library.seen

    def test_a_request_without_a_token(self, library: Library, source: FakeSource, tokens: IdTokens) -> None:
        source.answer = lambda _: "garbage"
        with pytest.raises(IdTokenError, match="what is no ID token"):
            library.send(library.answer(200), library.auth(AUDIENCE, tokens=tokens))
        assert [] == library.seen


def test_the_callers_own_authorization_goes_beside_the_token(library: Library, tokens: IdTokens) -> None:
    auth = library.auth(AUDIENCE, header=SERVERLESS, tokens=tokens)
    library.send(library.answer(200), auth, headers={"Authorization": "Basic dXNlcjpwYXNz"})

    assert ["Basic dXNlcjpwYXNz"] == library.tokens_seen()
    assert [bearer(tokens)] == library.tokens_seen(SERVERLESS)


class TestAgain:
    @pytest.mark.parametrize("header", HEADERS)
    @pytest.mark.parametrize("body", [{}, {"content": b"body"}, {"json": {"a": 1}}, {"data": {"a": "1"}}])
    def test_a_401_is_answered_once_with_a_token_that_was_fetched_anew(
        self, library: Library, source: FakeSource, tokens: IdTokens, body: Any, header: str
    ) -> None:
        first = bearer(tokens)
        auth = library.auth(AUDIENCE, header=header, tokens=tokens)
        answer = library.send(library.answer(401, 200), auth, "POST", **body)

        assert 200 == answer.status_code
        assert [first, bearer(tokens)] == library.tokens_seen(header)
        assert first != bearer(tokens)
        assert library.seen[0].read() == library.seen[1].read()
        assert 2 == len(source.asked)

    def test_a_second_401_is_the_answer(self, library: Library, tokens: IdTokens) -> None:
        answer = library.send(library.answer(401), library.auth(AUDIENCE, tokens=tokens))

        assert (401, 2) == (answer.status_code, len(library.seen))

    @pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 503])
    def test_no_other_status_is_answered(self, library: Library, tokens: IdTokens, status: int) -> None:
        answer = library.send(library.answer(status), library.auth(AUDIENCE, tokens=tokens))

        assert (status, 1) == (answer.status_code, len(library.seen))

    def test_a_401_is_the_answer_while_no_other_token_can_be_fetched(
        self, library: Library, source: FakeSource, tokens: IdTokens
    ) -> None:
        tokens.get(AUDIENCE)
        source.answer = lambda _: "garbage"
        answer = library.send(library.answer(401, 200), library.auth(AUDIENCE, tokens=tokens))

        assert (401, 1) == (answer.status_code, len(library.seen))

    def test_a_streamed_body_is_not_sent_again(
        self, library: Library, source: FakeSource, tokens: IdTokens
    ) -> None:
        def blocks() -> Iterator[bytes]:
            yield b"one"
            yield b"two"

        async def ablocks() -> AsyncIterator[bytes]:
            for one in blocks():
                yield one

        content: Any = ablocks() if library.in_loop else blocks()
        answer = library.send(
            library.answer(401, 200), library.auth(AUDIENCE, tokens=tokens), "POST", content=content
        )

        assert (401, 1) == (answer.status_code, len(library.seen))
        assert b"onetwo" == library.seen[0].content
        assert [AUDIENCE] == source.asked

    def test_an_upload_is_not_sent_again(self, library: Library, tokens: IdTokens) -> None:
        answer = library.send(
            library.answer(401, 200), library.auth(AUDIENCE, tokens=tokens), "POST", files={"a": b"content"}
        )

        assert (401, 1) == (answer.status_code, len(library.seen))


class TestRedirects:
    @pytest.mark.parametrize("header", HEADERS)
    @pytest.mark.parametrize("status", [200, 401, 403])
    @pytest.mark.parametrize(
        "target", [EVIL, OTHER, f"{AUDIENCE}:8443/", AUDIENCE.replace("https", "http"), "http://127.0.0.1:9"]
    )
    def test_another_origin_gets_no_token(
        self, library: Library, tokens: IdTokens, target: str, status: int, header: str
    ) -> None:
        auth = library.auth(AUDIENCE, header=header, tokens=tokens)
        answer = library.send(library.answer(target, status), auth)

        assert status == answer.status_code
        assert [bearer(tokens), None] == library.tokens_seen(header)

    @pytest.mark.parametrize("header", HEADERS)
    def test_https_on_the_same_host_of_this_machine_is_another_origin(
        self, library: Library, tokens: IdTokens, header: str
    ) -> None:
        auth = library.auth(AUDIENCE, origins="http://localhost", header=header, tokens=tokens)
        library.send(library.answer("https://localhost/", 200), auth, url="http://localhost/")

        assert [bearer(tokens), None] == library.tokens_seen(header)

    def test_the_same_origin_gets_the_token_along_the_way(self, library: Library, tokens: IdTokens) -> None:
        library.send(
            library.answer("/orders/", 200), library.auth(AUDIENCE, tokens=tokens), "POST", content=b"b"
        )

        assert [bearer(tokens)] * 2 == library.tokens_seen()
        assert [b"b", b"b"] == [one.read() for one in library.seen]

    def test_in_the_other_header_the_same_origin_gets_it_once_it_has_refused(
        self, library: Library, tokens: IdTokens
    ) -> None:
        auth = library.auth(AUDIENCE, header=SERVERLESS, tokens=tokens)
        answer = library.send(library.answer("/orders/", 403, 200), auth, "POST", content=b"b")

        assert (200, "/orders/") == (answer.status_code, answer.request.url.path)
        assert [bearer(tokens), None, bearer(tokens)] == library.tokens_seen(SERVERLESS)
        assert [b"b"] * 3 == [one.read() for one in library.seen]

    @pytest.mark.parametrize("header", HEADERS)
    @pytest.mark.parametrize("status", [401, 403])
    def test_a_way_back_over_another_origin_brings_no_token_back(
        self, library: Library, tokens: IdTokens, header: str, status: int
    ) -> None:
        auth = library.auth(AUDIENCE, header=header, tokens=tokens)
        answer = library.send(library.answer(EVIL, f"{AUDIENCE}/delete", status), auth)

        assert status == answer.status_code
        assert [bearer(tokens), None, None] == library.tokens_seen(header)

    def test_a_redirect_that_is_not_followed_is_the_answer(self, tokens: IdTokens) -> None:
        library = Library("httpx", in_loop=False)
        transport = httpx.MockTransport(library.answer(EVIL))
        with httpx.Client(transport=transport, auth=HttpxAuth(AUDIENCE, tokens=tokens)) as client:
            assert 307 == client.get(AUDIENCE).status_code
        assert [bearer(tokens)] == library.tokens_seen()


class TestRealServers:
    """A receiver behind the door, and a server of another origin, over real HTTP."""

    @pytest.fixture(scope="class")
    @staticmethod
    def emulator() -> Iterator[RunningEmulator]:
        with Emulator().serve() as running:
            yield running

    @pytest.fixture(scope="class")
    @staticmethod
    def elsewhere() -> Iterator[tuple[str, list[Any]]]:
        """Yield the URL of a server of another origin, and the headers of all requests to it."""
        seen: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append({name.decode() for name, _ in scope["headers"]})
            await PlainTextResponse("", 401)(scope, receive, send)

        with asgi_server(app) as url:
            yield url, seen

    @pytest.fixture(scope="class")
    @staticmethod
    def receiver(emulator: RunningEmulator, elsewhere: tuple[str, list[Any]]) -> Iterator[str]:
        async def hello(request: Request) -> Response:
            return PlainTextResponse(f"{principal_of(request)} {(await request.body()).decode()}")

        async def away(_: Request) -> Response:
            return RedirectResponse(elsewhere[0])

        async def slash(_: Request) -> Response:
            return RedirectResponse("/hello")

        routes = [
            Route("/hello", hello, methods=["GET", "POST"]),
            Route("/away", away),
            Route("/slash", slash, methods=["GET", "POST"]),
        ]
        app = Starlette(routes=routes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
            Invoker(app, Door(Verifier(AUDIENCE), InvokerPolicy.from_members([MEMBER])))
        with asgi_server(app) as url:
            yield url

    @staticmethod
    def send(library: Library, auth: Any, method: str, url: str, **kept: Any) -> Any:
        settings = {"auth": auth, "follow_redirects": True, "trust_env": False, "timeout": 20}
        if not library.in_loop:
            with library.module.Client(**settings) as client:
                return client.request(method, url, **kept)

        async def main() -> Any:
            async with library.module.AsyncClient(**settings) as client:
                return await client.request(method, url, **kept)

        return asyncio.run(main())

    @pytest.mark.parametrize("header", HEADERS)
    @pytest.mark.parametrize("path", ["/hello", "/slash"])
    def test_the_receiver_admits_the_caller(
        self, library: Library, emulator: RunningEmulator, receiver: str, header: str, path: str
    ) -> None:
        tokens = IdTokens(EmulatorSource(emulator.host))
        auth = library.auth(AUDIENCE, origins=receiver, header=header, tokens=tokens)
        answer = self.send(library, auth, "POST", receiver + path, content=b"body")

        assert (200, f"{MEMBER} body") == (answer.status_code, answer.text)

    @pytest.mark.parametrize("header", HEADERS)
    def test_another_origin_gets_no_token_of_a_redirect(
        self,
        library: Library,
        emulator: RunningEmulator,
        receiver: str,
        elsewhere: tuple[str, list[Any]],
        header: str,
    ) -> None:
        elsewhere[1].clear()
        tokens = IdTokens(EmulatorSource(emulator.host))
        auth = library.auth(AUDIENCE, origins=receiver, header=header, tokens=tokens)
        answer = self.send(library, auth, "GET", f"{receiver}/away")

        assert (401, 1) == (answer.status_code, len(elsewhere[1]))
        assert elsewhere[1][0].isdisjoint({"authorization", "x-serverless-authorization"})

    def test_a_token_that_no_key_has_signed_is_replaced_after_the_401(
        self, library: Library, emulator: RunningEmulator, receiver: str
    ) -> None:
        tokens = IdTokens(EmulatorSource(emulator.host))
        issuer = emulator.emulator.issuer
        held = tokens.get(AUDIENCE)
        tokens._audiences[AUDIENCE].held = tokens._audiences[AUDIENCE].held._replace(  # type: ignore[union-attr]
            value=f"{held.rpartition('.')[0]}.{issuer.mint('other').rpartition('.')[2]}"
        )
        auth = library.auth(AUDIENCE, origins=receiver, tokens=tokens)

        assert 200 == self.send(library, auth, "GET", f"{receiver}/hello").status_code
        assert [2] == [one["fetches"] for one in tokens.health()["audiences"]]

    def test_a_streamed_body_arrives_whole(
        self, library: Library, emulator: RunningEmulator, receiver: str
    ) -> None:
        def blocks() -> Iterator[bytes]:
            yield from (b"one", b"two")

        async def ablocks() -> AsyncIterator[bytes]:
            for one in blocks():
                yield one

        content: Any = ablocks() if library.in_loop else blocks()
        auth = library.auth(AUDIENCE, origins=receiver, tokens=IdTokens(EmulatorSource(emulator.host)))
        answer = self.send(library, auth, "POST", f"{receiver}/hello", content=content)

        assert (200, f"{MEMBER} onetwo") == (answer.status_code, answer.text)


class TestSettings:
    def test_the_header_is_one_that_cloud_run_reads(self, library: Library, tokens: IdTokens) -> None:
        with pytest.raises(ConfigurationError, match="X-Serverless-Authorization"):
            library.auth(AUDIENCE, header="X-Token", tokens=tokens)

    def test_tokens_must_be_a_cache(self, library: Library) -> None:
        with pytest.raises(ConfigurationError, match="tokens must be IdTokens"):
            library.auth(AUDIENCE, tokens="token")

    def test_an_auth_of_one_library_is_refused_by_the_other(self, tokens: IdTokens) -> None:
        for_httpx: Any = HttpxAuth(AUDIENCE, tokens=tokens)
        for_httpx2: Any = Httpx2Auth(AUDIENCE, tokens=tokens)
        with pytest.raises(TypeError):
            httpx2.Client(auth=for_httpx)
        with pytest.raises(TypeError):
            httpx.Client(auth=for_httpx2)


class TestImports:
    @staticmethod
    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout.strip()

    def test_each_library_is_imported_when_its_class_is_asked_for(self) -> None:
        names = "('httpx', 'httpx2', 'google.auth', 'requests', 'grpc')"
        code = (
            "import sys, doorward_integrations.httpx_auth as one\n"
            f"seen = lambda: [name for name in {names} if name in sys.modules]\n"
            "first = seen(); one.Httpx2Auth; second = seen(); one.HttpxAuth; print(first, second, seen())"
        )
        assert "[] ['httpx2'] ['httpx', 'httpx2']" == self.run(code)

    @pytest.mark.parametrize(
        ("missing", "code", "said"),
        [
            (
                "httpx2",
                "from doorward_integrations.httpx_auth import Httpx2Auth",
                "MissingExtraError: Httpx2Auth needs httpx2: pip install 'doorward[httpx2]'",
            ),
            (
                "google",
                "from doorward_integrations.httpx_auth import HttpxAuth; HttpxAuth()",
                f"{MISSING} pip install 'doorward[calling]'",
            ),
            (
                "requests",
                "from doorward_integrations.calling import GoogleAuthSource; GoogleAuthSource()",
                f"{MISSING} pip install 'doorward[calling]'",
            ),
            (
                "grpc",
                "import doorward_integrations.grpc_auth",
                "MissingExtraError: serving or calling over gRPC needs grpcio: pip install 'doorward[grpc]'",
            ),
        ],
        ids=["httpx2", "google-auth", "requests", "grpc"],
    )
    def test_what_is_missing_is_named_with_its_extra(self, missing: str, code: str, said: str) -> None:
        block = (
            "import sys\n"
            "class Block:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name.partition('.')[0] == {missing!r}:\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, Block())\n"
            f"try:\n    {code}\n"
            "except Exception as error:\n    print(f'{type(error).__name__}: {error}')\n"
        )
        assert said == self.run(block)
