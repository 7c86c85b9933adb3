"""google-auth's real classes as the source: metadata server, service account, impersonation."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google.auth.iam
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth import compute_engine, impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from doorward import ConfigurationError, Door, InvokerPolicy, Verifier
from doorward_integrations.asgi import InvokerMiddleware
from doorward_integrations.calling import GoogleAuthSource, IdTokenError, IdTokens, IdTokenSource
from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    EmulatedIssuer,
    Emulator,
    LoopbackServer,
    create_app,
)
from support.calling import unsigned
from support.servers import asgi_server
from support.tokens import AUDIENCE, rsa_key

ACCOUNT = "caller@shop.iam.gserviceaccount.com"


class Google:
    """Google's token endpoints on this machine; they count, and answer what a test sets."""

    def __init__(self) -> None:
        self.issuer = EmulatedIssuer()
        self.url = ""
        self.exchanges: list[str] = []
        self.answer: Callable[[str], Response] | None = None

    def mint(self, audience: str) -> Response:
        return (
            self.answer(audience) if self.answer else JSONResponse({"id_token": self.issuer.mint(audience)})
        )

    async def token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        claims = json.loads(_decoded(form["assertion"][0].split(".")[1]))
        if "target_audience" not in claims:
            return JSONResponse({"access_token": "ya29.fake", "expires_in": 3600, "token_type": "Bearer"})
        self.exchanges.append(claims["target_audience"])
        return self.mint(claims["target_audience"])

    async def generate(self, request: Request) -> Response:
        body = await request.json()
        assert "Bearer ya29.fake" == request.headers["authorization"]
        self.exchanges.append(body["audience"])
        assert body["includeEmail"]
        return JSONResponse({"token": self.issuer.mint(body["audience"])})

    @property
    def key_file(self) -> dict[str, str]:
        pem = rsa_key("account").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key": pem,
            "private_key_id": "k",
            "project_id": "shop",
            "token_uri": f"{self.url}/token",
        }


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.fixture(scope="module")
def served() -> Iterator[Google]:
    google_ = Google()
    routes = [
        Route("/token", google_.token, methods=["POST"]),
        Route("/generate", google_.generate, methods=["POST"]),
    ]
    with asgi_server(Starlette(routes=routes)) as url:
        google_.url = url
        yield google_


@pytest.fixture
def google_endpoints(served: Google) -> Google:
    served.exchanges.clear()
    served.answer = None
    return served


def credentials_of(endpoints: Google) -> Any:
    make: Any = service_account.IDTokenCredentials.from_service_account_info
    return make(endpoints.key_file, target_audience="https://unused.example")


def test_a_service_account_gets_tokens_for_every_audience(google_endpoints: Google) -> None:
    tokens = IdTokens(GoogleAuthSource(credentials_of(google_endpoints)))
    for _ in range(3):
        assert tokens.get(AUDIENCE) != tokens.get("my-orders")

    assert [AUDIENCE, "my-orders"] == google_endpoints.exchanges


@pytest.mark.parametrize("kind", ["service_account", "impersonated_service_account"])
def test_a_file_that_the_environment_names_is_used(
    google_endpoints: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content: dict[str, Any] = google_endpoints.key_file
    if kind != "service_account":
        monkeypatch.setattr(google.auth.iam, "_IAM_IDTOKEN_ENDPOINT", f"{google_endpoints.url}/generate")
        url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
        content = {"type": kind, "source_credentials": content, "service_account_impersonation_url": url}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    tokens = IdTokens()

    assert tokens.get(AUDIENCE) == tokens.get(AUDIENCE)
    assert [AUDIENCE] == google_endpoints.exchanges


def test_an_impersonated_account_gets_tokens(
    google_endpoints: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google.auth.iam, "_IAM_IDTOKEN_ENDPOINT", f"{google_endpoints.url}/generate")
    info = google_endpoints.key_file
    source: Any = service_account.Credentials.from_service_account_info(info)  # type: ignore[no-untyped-call, unused-ignore]
    target = impersonated_credentials.Credentials(source, ACCOUNT, ["scope"])  # type: ignore[no-untyped-call, unused-ignore]
    credentials: Any = impersonated_credentials.IDTokenCredentials(target, "unused", include_email=True)  # type: ignore[no-untyped-call, unused-ignore]

    assert IdTokens(GoogleAuthSource(credentials)).get(AUDIENCE)
    assert [AUDIENCE] == google_endpoints.exchanges


def test_credentials_that_make_no_id_tokens_are_refused() -> None:
    credentials: Any = AnonymousCredentials()  # type: ignore[no-untyped-call, unused-ignore]
    with pytest.raises(ConfigurationError, match="AnonymousCredentials make no ID tokens"):
        GoogleAuthSource(credentials)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (lambda _: PlainTextResponse("no", 400), "RefreshError"),
        (lambda _: JSONResponse({}), "RefreshError"),
        (lambda _: JSONResponse({"id_token": "garbage"}), "Wrong number of segments"),
        (lambda _: JSONResponse({"id_token": unsigned("other", 4e9)}), "for another audience"),
        (lambda audience: JSONResponse({"id_token": unsigned(audience, 1e9)}), "expired"),
        (lambda _: PlainTextResponse("x" * 5_000_000), "over 262144 bytes"),
    ],
    ids=["400", "none", "garbage", "another audience", "expired", "huge"],
)
def test_a_hostile_answer_is_an_error_that_holds_no_token(
    google_endpoints: Google, answer: Callable[[str], Response], cause: str
) -> None:
    google_endpoints.answer = answer
    with pytest.raises(IdTokenError, match=cause) as caught:
        IdTokens(GoogleAuthSource(credentials_of(google_endpoints))).get(AUDIENCE)
    assert len(str(caught.value)) < 400


# The metadata server, which google-auth looks for in the environment when it is imported.

CLIENT = """
import asyncio, json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import httpx, httpx2
from doorward_integrations.calling import shared_tokens
from doorward_integrations.httpx_auth import Httpx2Auth, HttpxAuth
audience, url = sys.argv[1:]
blocking = [
    httpx.Client(auth=HttpxAuth(audience, origins=url)), httpx2.Client(auth=Httpx2Auth(audience, origins=url))
]
barrier = threading.Barrier(201)
def in_thread(number):
    barrier.wait(60)
    return blocking[number % 2].get(url, timeout=60).text
async def in_loop():
    async with (
        httpx.AsyncClient(auth=HttpxAuth(audience, origins=url)) as one,
        httpx2.AsyncClient(auth=Httpx2Auth(audience, origins=url)) as other,
    ):
        await asyncio.to_thread(barrier.wait, 60)
        return [answer.text for answer in await asyncio.gather(
            *(client.get(url, timeout=60) for client in (one, other) for _ in range(100))
        )]
with ThreadPoolExecutor(200) as pool:
    threads = [pool.submit(in_thread, number) for number in range(200)]
    answers = asyncio.run(in_loop())
    answers += [one.result(60) for one in threads]
for client in blocking:
    client.close()
fetches = [one["fetches"] for one in shared_tokens().health()["audiences"]]
print(json.dumps([len(answers), sorted(set(answers)), fetches]))
"""


class Counting:
    """Counts the ID tokens that a metadata server is asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += scope["type"] == "http" and scope["path"].endswith("/identity")
        await self.app(scope, receive, send)


def metadata_variables(host: str) -> dict[str, str]:
    return {f"GCE_METADATA_{name}": host for name in ("HOST", "IP", "ROOT")}


def run(code: str, *arguments: str, environ: dict[str, str]) -> Any:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def test_200_threads_and_200_tasks_of_both_libraries_cause_one_fetch_from_the_metadata_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata = Counting(create_app(Emulator()))
    with LoopbackServer(metadata) as server:
        host = server.url.removeprefix("http://")
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", host)
        door = Door(Verifier(AUDIENCE), InvokerPolicy.from_members([f"serviceAccount:{DEFAULT_ACCOUNT}"]))
        with asgi_server(InvokerMiddleware(hello, door)) as url:
            # On a slow machine google-auth would ask again after its usual 3 s.
            environ = metadata_variables(host) | {"GCE_METADATA_TIMEOUT": "60"}
            answers = run(CLIENT, AUDIENCE, url, environ=environ)

    assert [400, ["hello"], [1]] == answers
    assert 1 == metadata.asked


def test_a_metadata_server_that_is_away_is_named_as_the_cause() -> None:
    code = (
        "import json, sys\n"
        "from doorward_integrations.calling import IdTokenError, IdTokens\n"
        "try:\n    IdTokens(patience=60).get(sys.argv[1])\n"
        "except IdTokenError as error:\n    print(json.dumps(str(error)))\n"
    )
    environ = metadata_variables("127.0.0.1:9")
    said = run(code, AUDIENCE, environ=environ)

    assert said.startswith(
        f"there is no ID token for the audience '{AUDIENCE}' now: DefaultCredentialsError: "
    )


def test_the_class_of_compute_engine_is_accepted() -> None:
    make: Any = functools.partial(
        compute_engine.IDTokenCredentials, None, "unused", use_metadata_identity_endpoint=True
    )

    assert isinstance(GoogleAuthSource(make()), IdTokenSource)
