"""Google's own client, unmodified, through the metadata server of the emulator to guarded applications.

One process for each way to use google-auth, since it reads its environment when it is imported; each calls
every application over real HTTP.
"""

# No `from __future__ import annotations`: FastAPI resolves those in the module, and here they name locals.

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import Door, InvokerPolicy, PlainRequest, Principal, Refusal, Verifier
from doorward_integrations import fastapi as for_fastapi
from doorward_integrations import flask as for_flask
from doorward_integrations import starlette as for_starlette
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator
from support.servers import asgi_server, gunicorn, waitress
from support.tokens import AUDIENCE

MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
UNLISTED = "unlisted@doorward-demo.iam.gserviceaccount.com"

CLIENTS = {
    "fetch_id_token": """
import google.auth.transport.requests, google.oauth2.id_token, requests
token = google.oauth2.id_token.fetch_id_token(google.auth.transport.requests.Request(), audience)
for url in urls:
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
    answers.append((answer.status_code, answer.content.decode()))
""",
    "AuthorizedSession": """
import google.auth.transport.requests
from google.auth import compute_engine
credentials = compute_engine.IDTokenCredentials(
    google.auth.transport.requests.Request(), audience, use_metadata_identity_endpoint=True
)
session = google.auth.transport.requests.AuthorizedSession(credentials)
for url in urls:
    answer = session.get(url, timeout=20)
    answers.append((answer.status_code, answer.content.decode()))
""",
    "X-Serverless-Authorization": """
import google.auth.transport.requests, google.oauth2.id_token, requests
token = google.oauth2.id_token.fetch_id_token(google.auth.transport.requests.Request(), audience)
headers = {"Authorization": "Basic dXNlcjpwYXNz", "X-Serverless-Authorization": f"Bearer {token}"}
for url in urls:
    answer = requests.get(url, headers=headers, timeout=20)
    answers.append((answer.status_code, answer.content.decode()))
""",
    "async fetch_id_token": """
import asyncio, aiohttp
from google.auth.transport import _aiohttp_requests
from google.oauth2 import _id_token_async
async def main():
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        request = _aiohttp_requests.Request(session)
        token = await _id_token_async.fetch_id_token(request, audience)
        for url in urls:
            answer = await request(url, headers={"Authorization": f"Bearer {token}"})
            answers.append((answer.status, (await answer.content()).decode()))
asyncio.run(main())
""",
    "AsyncAuthorizedSession": """
import asyncio
import google.auth.transport.requests
from google.auth import compute_engine
from google.auth.aio.transport.sessions import AsyncAuthorizedSession
async def main():
    credentials = compute_engine.IDTokenCredentials(
        google.auth.transport.requests.Request(), audience, use_metadata_identity_endpoint=True
    )
    session = AsyncAuthorizedSession(credentials)
    for url in urls:
        answer = await session.get(url)
        answers.append((answer.status_code, (await answer.read()).decode()))
    await session.close()
asyncio.run(main())
""",
}

_FRAME = """
import json, sys
audience, *urls = sys.argv[1:]
answers = []
{body}
print(json.dumps(answers))
"""

APPLICATIONS = ["FastAPI on uvicorn", "Starlette on uvicorn", "Flask on gunicorn", "Flask on waitress"]


def door() -> Door:
    return Door(Verifier(AUDIENCE), InvokerPolicy.from_members([MEMBER]))


def fastapi_app() -> FastAPI:
    app = FastAPI()
    invoker = for_fastapi.InvokerDependency(door())
    invoker.install(app)

    @app.get("/orders", response_class=PlainTextResponse)
    async def orders(caller: Annotated[Principal, Depends(invoker)]) -> str:
        return f"Hello, {caller}"

    return app


def starlette_app() -> Starlette:
    async def orders(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"Hello, {for_starlette.principal_of(request)}")

    app = Starlette(routes=[Route("/orders", orders)])
    for_starlette.Invoker(app, door())
    return app


def flask_app() -> Flask:
    app = Flask("orders")
    for_flask.Invoker(app, door())

    @app.get("/orders")
    def orders() -> str:
        return f"Hello, {for_flask.current_principal}"

    return app


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with Emulator(other_accounts=[UNLISTED]).serve() as running:
        yield running


@pytest.fixture(scope="module")
def urls(emulator: RunningEmulator) -> Iterator[list[str]]:
    """Where the guarded applications are, in the order of `APPLICATIONS`."""
    environ = emulator.environment()
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            apps = fastapi_app(), starlette_app(), flask_app()
        bases = [
            stack.enter_context(asgi_server(apps[0])),
            stack.enter_context(asgi_server(apps[1])),
            stack.enter_context(gunicorn("integrations.test_google_auth:flask_app()", environ)),
            stack.enter_context(waitress(apps[2])),
        ]
        yield [f"{base}/orders" for base in bases]


def run(client: str, audience: str, urls: list[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Run one client in a process of its own; return status and body by application."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", _FRAME.format(body=CLIENTS[client]), audience, *urls],
        env=kept | dict(environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    answers: list[list[Any]] = json.loads(done.stdout)
    return {name: tuple(answer) for name, answer in zip(APPLICATIONS, answers, strict=True)}


@pytest.fixture(scope="module", params=CLIENTS)
def answers(request: pytest.FixtureRequest, urls: list[str], emulator: RunningEmulator) -> dict[str, Any]:
    return run(request.param, AUDIENCE, urls, emulator.environment())


@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_application_gets_the_caller(answers: dict[str, Any], application: str) -> None:
    assert (200, f"Hello, {MEMBER}") == answers[application]


@pytest.fixture(scope="module", params=["AuthorizedSession", "async fetch_id_token"])
def of_another_audience(
    request: pytest.FixtureRequest, urls: list[str], emulator: RunningEmulator
) -> dict[str, Any]:
    return run(request.param, "https://billing-1234567890.europe-west1.run.app", urls, emulator.environment())


@pytest.fixture(scope="module", params=["fetch_id_token", "AsyncAuthorizedSession"])
def of_an_unlisted_caller(
    request: pytest.FixtureRequest, urls: list[str], emulator: RunningEmulator
) -> dict[str, Any]:
    emulator.emulator.accounts.use(UNLISTED)
    try:
        return run(request.param, AUDIENCE, urls, emulator.environment())
    finally:
        emulator.emulator.accounts.use(DEFAULT_ACCOUNT)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_a_token_for_another_service_gets_401(
    of_another_audience: dict[str, Any],
    application: str,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
    expected = door().admit([(b"authorization", b"Bearer not-a-token")], PlainRequest("/orders"))
    assert isinstance(expected, Refusal)
    assert (401, expected.body.decode()) == of_another_audience[application]


@pytest.mark.parametrize("application", APPLICATIONS)
def test_a_caller_who_is_not_in_the_policy_gets_403(
    of_an_unlisted_caller: dict[str, Any],
    application: str,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
    one = emulator.emulator.issuer.mint(AUDIENCE, email=UNLISTED)
    expected = door().admit([(b"authorization", f"Bearer {one}".encode())], PlainRequest("/orders"))
    assert isinstance(expected, Refusal)
    assert (403, expected.body.decode()) == of_an_unlisted_caller[application]


def test_a_token_signed_after_a_rotation_is_admitted_at_once(
    urls: list[str], emulator: RunningEmulator
) -> None:
    emulator.emulator.issuer.rotate()
    answers = run("fetch_id_token", AUDIENCE, urls, emulator.environment())
    assert {(200, f"Hello, {MEMBER}")} == set(answers.values())
