"""The door in front of any ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from doorward import Admission, ConfigurationError, Door, Refusal
from doorward.policy.request import host_name

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["ADMISSION", "DOOR", "AsgiRequest", "InvokerMiddleware"]

ADMISSION: Final = "doorward.admission"
"""Where the scope of an admitted request carries its `doorward.Admission`. A client cannot set it."""

DOOR: Final = "doorward.door"
"""Where the scope of an admitted request carries the `doorward.Door` that it came through."""

_DENIAL: Final = "websocket.http.response"
_POLICY_VIOLATION: Final = 1008  # RFC 6455, section 7.4.1; a server that has not accepted answers 403 instead


class InvokerMiddleware:
    """Lets only admitted requests through.

    Guards http and websocket alike; lifespan passes, any other scope is refused. The application gets the
    headers as behind Cloud Run, and the `doorward.Admission` under `ADMISSION` in its scope. Bodies are not
    touched.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        """Put a door in front of an application.

        Args:
            app: The application.
            door: The door.

        Raises:
            ConfigurationError: If the door is something else.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"InvokerMiddleware(app, door) needs a Door, not {type(door).__name__}")
        self.app = app
        self.door: Final = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on one connection, as ASGI 3 calls it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            # Unknown is not harmless: what cannot be guarded does not pass.
            raise RuntimeError(
                f"no door for ASGI scope type {kind!r}; http, websocket and lifespan are known"
            )
        outcome: Admission | Refusal | None = None
        if kind == "http":
            outcome = self.door.admit_cached(scope["headers"], scope["method"], scope["path"])
        if outcome is None:
            outcome = await self.door.aadmit(scope["headers"], AsgiRequest(scope))
        if isinstance(outcome, Admission):
            passed = {**scope, "headers": outcome.headers, ADMISSION: outcome, DOOR: self.door}
            await self.app(passed, receive, send)
        elif kind == "http":
            await _answer(outcome, "http.response", send)
        else:
            await _deny(outcome, scope, receive, send)


class AsgiRequest:
    """What a decision may ask about an http or websocket scope, worked out when it is asked for.

    It reads the scope, and never a URL put together from a Host header: that one is the client's to choose.
    """

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        """Look at a scope.

        Args:
            scope: An http or websocket scope.
        """
        self._scope = scope

    @property
    def method(self) -> str:
        """The method; ``GET`` for a websocket."""
        method: str = self._scope.get("method", "GET")
        return method

    @property
    def path(self) -> str:
        """The whole decoded path, with the root path, as the server gives it."""
        path: str = self._scope["path"]
        return path

    @property
    def sent_path(self) -> str:
        """The path as sent, without the query."""
        raw: bytes | None = self._scope.get("raw_path")
        return quote(self.path) if raw is None else raw.partition(b"?")[0].decode("latin-1")

    @property
    def host(self) -> str:
        """The host that the Host header names."""
        return host_name(next((value for name, value in self._scope["headers"] if name == b"host"), b""))


async def _answer(refusal: Refusal, kind: str, send: Send) -> None:
    start: dict[str, Any] = {
        "type": f"{kind}.start",
        "status": refusal.status,
        "headers": list(refusal.headers),
    }
    await send(start)
    await send({"type": f"{kind}.body", "body": refusal.body})


async def _deny(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a websocket before it is accepted, with the whole answer where the server can send one."""
    await receive()  # websocket.connect: the specification wants it taken before anything is answered
    if _DENIAL in (scope.get("extensions") or ()):
        await _answer(refusal, _DENIAL, send)
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
