"""Every example runs as its first lines say, and its tests pass; its page quotes both whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from doorward import Door, InvokerPolicy, Verifier
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.starlette import Invoker, principal_of
from support.conformance.servers import Fleet, Server, running
from support.servers import asgi_server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PAGES = ROOT / "docs" / "frameworks"
AUDIENCE = "https://orders-1234567890.europe-west1.run.app"
MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"
EVENT = {
    "ce-id": "e-1",
    "ce-source": "//pubsub.googleapis.com/projects/shop/topics/orders",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "content-type": "application/json",
}

Answer = tuple[int, str]
Ask = Callable[[int, str | None], Answer]


def get(port: int, token: str | None) -> Answer:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = httpx.get(f"http://127.0.0.1:{port}/", headers=headers, trust_env=False, timeout=20)
    return answer.status_code, answer.text.strip('"')


def post_event(port: int, token: str | None) -> Answer:
    headers = EVENT | ({"authorization": f"Bearer {token}"} if token else {})
    url = f"http://127.0.0.1:{port}/"
    answer = httpx.post(url, headers=headers, content=b"{}", trust_env=False, timeout=20)
    return answer.status_code, answer.text


def call(port: int, token: str | None) -> Answer:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/shop.Orders/GetOrder")
        try:
            return 200, method(b"", metadata=metadata, timeout=20).decode()
        except grpc.RpcError as error:
            answered: Any = error
            codes = {grpc.StatusCode.PERMISSION_DENIED: 403, grpc.StatusCode.UNAUTHENTICATED: 401}
            return codes[answered.code()], answered.details()


def call_tool(port: int, token: str | None) -> Answer:
    headers = {"accept": "application/json, text/event-stream"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "greet", "arguments": {}},
    }
    url = f"http://127.0.0.1:{port}/mcp"
    answer = httpx.post(url, headers=headers, json=message, trust_env=False, timeout=20)
    if answer.status_code != 200:
        return answer.status_code, answer.text
    return 200, answer.json()["result"]["content"][0]["text"]


UVICORN = "uvicorn --port {port} --log-level warning"
GUNICORN = "gunicorn --bind 127.0.0.1:{port} --no-control-socket --log-level warning"
FUNCTION = f"functions_framework --host 127.0.0.1 --port {{port}} --source {EXAMPLES}"

RUNS = [
    ("asgi_app", "asgi", f"{UVICORN} asgi_app:app", get),
    ("starlette_app", "starlette", f"{UVICORN} starlette_app:app", get),
    ("fastapi_app", "fastapi", f"{UVICORN} fastapi_app:app", get),
    ("fastapi_calling", "../calling", f"{UVICORN} fastapi_calling:app", get),
    ("quart_app", "asgi", "hypercorn --bind 127.0.0.1:{port} --log-level warning quart_app:app", get),
    ("litestar_app", "asgi", f"{UVICORN} litestar_app:app", get),
    ("mcp_server", "asgi", f"{UVICORN} mcp_server:app", call_tool),
    ("wsgi_app", "wsgi", f"{GUNICORN} wsgi_app:app", get),
    ("flask_app", "flask", f"{GUNICORN} flask_app:app", get),
    ("flask_asgi_app", "flask", f"{UVICORN} flask_asgi_app:asgi_app", get),
    ("django_app", "django", f"{GUNICORN} django_app:application", get),
    ("aiohttp_app", "aiohttp", "aiohttp_app", get),
    ("grpc_server", "grpc", "grpc_server", call),
    ("grpc_aio_server", "grpc", "grpc_aio_server", call),
    ("functions", "functions-framework", f"{FUNCTION}/functions.py --target orders", get),
    ("functions", "functions-framework", f"{FUNCTION}/functions.py --target on_order", post_event),
    ("functions_async", "functions-framework", f"{FUNCTION}/functions_async.py --target orders", get),
    (
        "functions_async",
        "functions-framework",
        f"{FUNCTION}/functions_async.py --target on_order",
        post_event,
    ),
]
RUN_ELSEWHERE = {"emulator_backend"}  # in a module of tests of its own
SERVERS = [Server(f"{number}-{example}", "", command) for number, (example, _, command, _) in enumerate(RUNS)]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    with emulator.serve():
        yield emulator


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Emulator]]:
    """Run every example, with a policy for the account of the emulator."""
    cwd = tmp_path_factory.mktemp("examples")
    policy = {"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}], "version": 1}
    (cwd / "policy.json").write_text(json.dumps(policy))
    with Emulator().serve() as served:
        environ = {"DOORWARD_EMULATOR_HOST": served.host}
        with running(SERVERS, environ, tmp_path_factory.mktemp("logs"), cwd) as fleet:
            yield fleet, served.emulator


@pytest.mark.parametrize("number", range(len(RUNS)), ids=[server.name for server in SERVERS])
def test_an_example_admits_its_caller_and_refuses_others(fleet: tuple[Fleet, Emulator], number: int) -> None:
    servers, emulator = fleet
    ask: Ask = RUNS[number][3]
    port = servers.port(SERVERS[number])
    mint = emulator.issuer.mint
    outsider = mint(AUDIENCE, email="outsider@doorward-demo.iam.gserviceaccount.com")

    admitted = ask(port, mint(AUDIENCE))
    refused = [ask(port, token)[0] for token in (None, outsider, mint("https://other.example"))]

    assert (200, "OK" if ask is post_event else f"Hello, {MEMBER}") == admitted
    assert [403, 403, 401] == refused


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {example for example, *_ in RUNS} | RUN_ELSEWHERE


@pytest.mark.parametrize(("example", "page"), sorted({(example, page) for example, page, *_ in RUNS}))
def test_the_page_of_a_framework_quotes_its_example_whole(example: str, page: str) -> None:
    text = (EXAMPLES / f"{example}.py").read_text()
    assert f"```python\n{text}```" in (PAGES / f"{page}.md").read_text()


def test_the_calling_example_calls_another_service_in_its_own_name(tmp_path: Path) -> None:
    async def stock(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"in stock, says the stock to {principal_of(request)}")

    app = Starlette(routes=[Route("/", stock)])
    policy = {"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}], "version": 1}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    with Emulator().serve() as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOORWARD_EMULATOR_HOST", served.host)
        verifier = Verifier("https://stock-1234567890.europe-west1.run.app")
        Invoker(app, Door(verifier, InvokerPolicy.from_members([MEMBER])))
        server = Server("calling", "", f"{UVICORN} fastapi_calling:app")
        with asgi_server(app) as url:
            environ = {"DOORWARD_EMULATOR_HOST": served.host, "STOCK_URL": url}
            with running([server], environ, tmp_path, tmp_path) as fleet:
                token = served.emulator.issuer.mint(AUDIENCE)
                answers = [
                    httpx.get(
                        f"http://127.0.0.1:{fleet.port(server)}/stock",
                        headers=headers,
                        trust_env=False,
                        timeout=20,
                    )
                    for headers in ({"authorization": f"Bearer {token}"}, {})
                ]

    assert [200, 403] == [one.status_code for one in answers]
    assert f"in stock, says the stock to {MEMBER}" == answers[0].json()


# Those of frameworks; a page elsewhere is about something else.
TESTED = sorted({(example, page) for example, page, *_ in RUNS if "/" not in page})


def test_the_tests_of_the_examples_pass_with_the_kit_alone(tmp_path: Path) -> None:
    """As a user has them: in a folder with a policy, in processes where nothing points at an emulator."""
    folder = shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    policy = {"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}], "version": 1}
    (folder / "policy.json").write_text(json.dumps(policy))

    # Each of the proxies is a port that refuses: what asks the network for a key fails.
    away = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | away, capture_output=True, text=True, timeout=300, check=False
    )

    assert 0 == done.returncode, done.stdout[-4_000:]
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(("example", "page"), TESTED)
def test_the_page_of_a_framework_quotes_the_tests_of_its_example_whole(example: str, page: str) -> None:
    text = (EXAMPLES / "tests" / f"test_{example}.py").read_text()
    assert f"```python\n{text}```" in (PAGES / f"{page}.md").read_text()


@pytest.mark.parametrize("example", sorted({example for example, _ in TESTED}))
def test_the_tests_of_an_example_are_ten_lines_at_most_besides_imports(example: str) -> None:
    lines = (EXAMPLES / "tests" / f"test_{example}.py").read_text().splitlines()[1:]
    code = [line for line in lines if line.strip() and not line.startswith(("import ", "from "))]

    assert len(code) <= 10
