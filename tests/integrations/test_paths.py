"""The door and the application behind it never decide on two different paths, in any framework."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI
from flask import Flask, send_from_directory
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from doorward import ConfigurationError, Door, InvokerPolicy
from doorward_integrations import asgi, fastapi, starlette, wsgi
from doorward_integrations.flask import Invoker as FlaskInvoker
from support.servers import asgi_server
from support.world import World

# FastAPI warns of the setting that these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")

NOT_ADMIN = '!request.path.startsWith("/admin")'
SECRETS = ("/admin", "/api/admin")


def door(expression: str) -> Door:
    condition = {"title": "t", "expression": expression}
    binding = {"role": "roles/run.invoker", "members": ["allUsers"], "condition": condition}
    return Door(World().verifier(), InvokerPolicy.from_dict({"version": 3, "bindings": [binding]}))


async def answer(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("secret")


def fastapi_app(**settings: Any) -> FastAPI:
    app = FastAPI(**settings)
    app.get("/admin")(lambda: "secret")
    app.get("/x")(lambda: "x")
    return app


async def ask(app: Any, path: str, **settings: Any) -> int:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, **settings)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answered = await client.get(path)
    return 200 if "secret" in answered.text else answered.status_code


def run(app: Any, path: str, **settings: Any) -> int:
    return anyio.run(lambda: ask(app, path, **settings))


def inside(door_: Door) -> Any:
    app = fastapi_app(root_path="/api")
    fastapi.Invoker(app, door_)
    return app


def outside(door_: Door) -> Any:
    return asgi.InvokerMiddleware(fastapi_app(root_path="/api"), door_)


def mounted(door_: Door) -> Any:
    return Starlette(
        routes=[Mount("/api", asgi.InvokerMiddleware(Starlette(routes=[Route("/admin", answer)]), door_))]
    )


def sub_application(door_: Door) -> Any:
    main, sub = FastAPI(), fastapi_app()
    fastapi.Invoker(sub, door_)
    main.mount("/api", sub)
    return main


def dependency(door_: Door) -> Any:
    app = FastAPI(root_path="/api")
    invoker = fastapi.InvokerDependency(door_)
    invoker.install(app)
    app.get("/admin", dependencies=[Depends(invoker)])(lambda: "secret")
    return app


@pytest.mark.parametrize("make", [inside, outside, mounted, sub_application, dependency])
@pytest.mark.parametrize("path", SECRETS)
def test_a_root_path_or_a_mount_hides_no_route_from_the_condition(make: Any, path: str) -> None:
    assert 200 != run(make(door(NOT_ADMIN)), path)


def test_without_the_door_the_same_requests_reach_the_secret() -> None:
    """Else the test above would show nothing."""
    assert 200 == run(fastapi_app(root_path="/api"), "/api/admin")
    assert 200 == run(fastapi_app(root_path="/api"), "/admin")


def test_a_root_path_of_the_server_hides_no_route_from_the_condition() -> None:
    app = fastapi_app()
    fastapi.Invoker(app, door(NOT_ADMIN))
    for path in SECRETS:
        assert 200 != run(app, path, root_path="/api")


def test_with_the_prefix_that_a_proxy_cuts_off_conditions_name_the_public_path() -> None:
    rule = door('request.path.startsWith("/api/x")')
    for invoker in (fastapi.Invoker, starlette.Invoker):
        app = fastapi_app(root_path="/api")
        invoker(app, rule, public_prefix="/api")
        assert [200, 403] == [run(app, path) for path in ("/x", "/admin")]


@pytest.mark.parametrize("prefix", ["api", "/a//b", "/a/../b", 7, "/a%2Fb"])
def test_a_prefix_that_is_no_plain_path_is_refused_at_once(prefix: Any) -> None:
    rule = door(NOT_ADMIN)
    for make in (
        lambda: asgi.InvokerMiddleware(fastapi_app(), rule, public_prefix=prefix),
        lambda: wsgi.InvokerMiddleware(Flask("x"), rule, public_prefix=prefix),
        lambda: fastapi.Invoker(fastapi_app(), rule, public_prefix=prefix),
        lambda: fastapi.InvokerDependency(rule, public_prefix=prefix),
        lambda: FlaskInvoker(Flask("x"), rule, public_prefix=prefix),
    ):
        with pytest.raises(ConfigurationError, match="public_prefix"):
            make()


# Static files: the path on disk is the one that the condition saw.


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for folder in ("public", "admin"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("secret" if folder == "admin" else "public")
    return tmp_path


ESCAPES = [
    "/static/public/../admin/a.txt",
    "/static/public/%2e%2e/admin/a.txt",
    "/static/public/..%2fadmin/a.txt",
    "/static/public//../admin/a.txt",
    "/static/public/./../admin/a.txt",
    "/static/public\\..\\admin\\a.txt",
    "/static/public/%5c..%5cadmin%5ca.txt",
    "/static//admin/a.txt",
    "/static/./admin/a.txt",
    "/static/%2fadmin/a.txt",
]


def as_sent(url: str, target: str) -> bytes:
    """Send a request target as it is: a client would resolve it first."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize(
    "rule", ['request.path.startsWith("/static/public/")', '!request.path.startsWith("/static/admin/")']
)
def test_no_form_of_a_path_reaches_a_file_that_the_condition_did_not_see(
    files: Path, path: str, rule: str
) -> None:
    app = Starlette(routes=[Mount("/static", StaticFiles(directory=files))])
    with asgi_server(asgi.InvokerMiddleware(app, door(rule))) as url:
        assert b"secret" not in as_sent(url, path)
        assert b"public" in as_sent(url, "/static/public/a.txt")


@pytest.mark.parametrize("path", ESCAPES)
def test_nor_does_it_through_flask(files: Path, path: str) -> None:
    app = Flask("x", static_folder=None)
    app.get("/static/<path:name>")(lambda name: send_from_directory(files, name))
    FlaskInvoker(app, door('!request.path.startsWith("/static/admin/")'))

    assert b"secret" not in app.test_client().get(path).data


# WSGI: the script name is a reading of its own.


def flask_app(expression: str) -> Flask:
    app = Flask("x")
    app.get("/admin")(lambda: "secret")
    FlaskInvoker(app, door(expression))
    return app


@pytest.mark.parametrize("script", ["/api", "/x", ""])
def test_a_script_name_that_a_client_can_set_hides_no_route(script: str) -> None:
    client = Client(flask_app(NOT_ADMIN))

    assert b"secret" not in client.get("/admin", environ_overrides={"SCRIPT_NAME": script}).data


def test_a_proxy_middleware_that_reads_a_prefix_hides_no_route() -> None:
    app = flask_app(NOT_ADMIN)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]  # as Flask documents it

    assert b"secret" not in Client(app).get("/admin", headers={"X-Forwarded-Prefix": "/public"}).data


def test_a_dispatcher_hides_no_route() -> None:
    client = Client(DispatcherMiddleware(Flask("main"), {"/api": flask_app(NOT_ADMIN)}))

    assert b"secret" not in client.get("/api/admin").data
    assert b"secret" in Client(flask_app("true")).get("/admin").data


def test_a_path_that_is_no_bytes_is_a_refusal_and_not_an_exception() -> None:
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/\udcff\u20ac", "wsgi.input": None}
    started: list[str] = []

    def start(status: str, *_: Any) -> Any:
        started.append(status)

    body = wsgi.InvokerMiddleware(Flask("x"), door("true"))(environ, start)

    assert started == ["403 Forbidden"]
    assert b"Forbidden" in b"".join(body)


# Header names that a server or a bridge behind the door folds.


@pytest.mark.parametrize(
    "name",
    [
        b"x_goog_authenticated_user_email",
        b"x-goog_authenticated-user_email",
        b"x_serverless_authorization",
        b"x_goog_iap_jwt_assertion",
        b"x-goog-authenticated_user-id",
    ],
)
@pytest.mark.parametrize("public", [True, False])
def test_no_twin_of_a_guarded_header_reaches_the_application(name: bytes, public: bool) -> None:  # noqa: FBT001 - a parameter
    world = World()
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    rule = InvokerPolicy.all_users() if public else InvokerPolicy.all_authenticated_users()
    guarded = asgi.InvokerMiddleware(app, Door(world.verifier(), rule))
    forged = b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE"
    headers = [(name, forged), (b"x_own_header", b"stays")]
    if not public:
        headers.append((b"authorization", b"Bearer " + world.token().encode()))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}

    async def sent(_message: Any) -> None: ...

    async def call() -> None:
        await guarded(scope, sent, sent)  # type: ignore[arg-type]

    anyio.run(call)
    assert (b"x_own_header", b"stays") in seen
    assert name not in dict(seen)
