"""Guarded applications that servers load in processes of their own; the environment says where the keys are.

Each guarded one answers with its process and its parent, as JSON, and the plain one with an empty object.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from doorward import Door, InvokerPolicy, Issuer, KeyCache, Verifier
from doorward_integrations import asgi, wsgi
from support.tokens import AUDIENCE, MEMBER, SigningKey, claims, header, signed, token

__all__ = ["asgi_app", "invented", "known", "plain_asgi_app", "preloaded_wsgi_app", "wsgi_app"]


def known(key: SigningKey) -> bytes:
    """Give a request with a good token under a key, for `exchange`."""
    return _request(token(key, time.time()))


def invented(key: SigningKey, kid: str) -> bytes:
    """Give a request with a token that would be good if its key id were not made up."""
    return _request(signed(key, header(key, kid=kid), claims(time.time())))


def _request(credential: str) -> bytes:
    head = f"GET /orders HTTP/1.1\r\nHost: orders\r\nAuthorization: Bearer {credential}\r\nConnection: close"
    return f"{head}\r\n\r\n".encode()


def _make_cache(issuer: Issuer) -> KeyCache:
    return KeyCache(os.environ["TEST_KEYS"], issuer.algorithms, snapshot=os.environ.get("TEST_SNAPSHOT"))


def _guard() -> tuple[Door, KeyCache]:
    verifier = Verifier(AUDIENCE, key_cache=_make_cache)
    (cache,) = verifier.key_caches
    assert isinstance(cache, KeyCache)
    return Door(verifier, InvokerPolicy.from_members([MEMBER])), cache


def _answer() -> bytes:
    return json.dumps({"pid": os.getpid(), "parent": os.getppid()}).encode()


async def _send(send: Send, answer: bytes) -> None:
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    answer = _answer()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def wsgi_app() -> Any:
    """Make a guarded WSGI application, whose first request fetches the keys."""
    door, _ = _guard()
    return wsgi.InvokerMiddleware(_serve, door)


def preloaded_wsgi_app() -> Any:
    """Do as `wsgi_app` does, in a master that has the keys before it forks."""
    door, cache = _guard()
    cache.warm()
    return wsgi.InvokerMiddleware(_serve, door)


def asgi_app() -> ASGIApp:
    """Make a guarded ASGI application, whose first request fetches the keys."""
    door, _ = _guard()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await _send(send, _answer())

    return asgi.InvokerMiddleware(serve, door)


def plain_asgi_app() -> ASGIApp:
    """Make an application without a door."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await _send(send, b"{}")

    return serve
