"""ASGI applications for uvicorn: a bare one, and the guards in front of it.

``uvicorn --factory peers.apps:make`` serves the one that the settings name: ``bare``, ``nothing``,
``doorward``, ``doorward 16384`` (with that token cache size), or a contender of `peers.python` by its name.
A guard is imported only where it is served, so that no app loads a module that it does not use.
"""

from __future__ import annotations

import importlib
import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from harness.tokens import Key

from peers.contender import Contender, Given
from peers.settings import BODY, Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["make"]

_ANSWER = json.dumps(BODY, separators=(",", ":")).encode()
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each request with the same body."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class Nothing:
    """A middleware that only copies the scope, as every middleware does that adds to it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope}, receive, send)


class Guard:
    """The smallest middleware that verifies tokens with a library, in the event loop itself."""

    def __init__(self, app: ASGIApp, contender: Contender, key: Key) -> None:
        settings = Settings.here()
        with urllib.request.urlopen(settings.certificates_url) as answer:
            certificates = json.load(answer)
        given = Given(key, settings.keys_url, settings.certificates_url, certificates)
        self.app = app
        self.prepare = contender.prepare(given)
        self.verify: Any = None
        self.awaited = contender.awaited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.verify is None:
            self.verify = self.prepare()  # inside the event loop that serves: asyncio's locks belong to it
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7] == b"Bearer ":
                try:
                    claims = self.verify(value[7:].decode())
                    if self.awaited:
                        claims = await claims
                except Exception:  # noqa: BLE001 - any error of a library is its refusal
                    break
                await self.app({**scope, "claims": claims}, receive, send)
                return
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class _Kept(Key):
    """The key of the suite, read from its file."""

    def __init__(self, path: str) -> None:
        private = load_pem_private_key(Path(path).read_bytes(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        super().__init__("ES256")  # quick to make, and replaced at once
        self.alg, self.private = "RS256", private


def make() -> ASGIApp:
    """Return the app that the settings name."""
    settings = Settings.here()
    name, _, number = settings.app.partition(" ")
    if name == "bare":
        return bare
    if name == "nothing":
        return Nothing(bare)
    if name == "doorward":
        middleware = importlib.import_module("doorward_integrations.asgi").InvokerMiddleware
        door = importlib.import_module("peers.http_door").door
        guarded: ASGIApp = middleware(bare, door(int(number) if number else None))
        return guarded
    found = {one.name: one for one in importlib.import_module("peers.python").CONTENDERS}
    return Guard(bare, found[settings.app], _Kept(settings.key_file))
