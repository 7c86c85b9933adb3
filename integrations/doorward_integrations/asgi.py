"""The door in front of any ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from doorward import Admission, ConfigurationError, Refusal
from doorward.door.base import BaseDoor
from doorward.policy.paths import check_public_prefix, readings_of
from doorward.policy.request import host_name
from doorward_integrations.admission import ADMISSION, DOOR, check_door, end_user_of, principal_of
from doorward_integrations.browser_socket import hide_token
from doorward_integrations.lifetime import POLICY_VIOLATION, ConnectionLifetime
from doorward_integrations.readiness import readiness_answer
from doorward_integrations.refusal import body_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = [
    "POLICY_VIOLATION",
    "AsgiRequest",
    "ConnectionLifetime",
    "InvokerMiddleware",
    "ReadinessApp",
    "decide",
    "end_user_of",
    "principal_of",
]

_DENIAL: Final = "websocket.http.response"


ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An application. Each framework has types of its own for the same scope, so that no one of them fits all."""


class InvokerMiddleware:
    """Passes admitted requests on to an application, and answers the others itself.

    It decides on http and websocket scopes alike. A lifespan scope is passed on, and any other scope is an
    error. The application receives the headers as behind Cloud Run, and `principal_of` returns the caller of
    its scope. Bodies are not touched.

    Attributes:
        app: The application.
        door: The door.
    """

    app: ASGIApp
    door: Final[BaseDoor]

    def __init__(
        self,
        app: ASGIApp,
        door: BaseDoor,
        *,
        public_prefix: str = "",
        lifetime: ConnectionLifetime | None = None,
    ) -> None:
        """Put a door in front of an application.

        Args:
            app: The application.
            door: The door.
            public_prefix: The part of the path that a proxy in front cuts off, where conditions name the path
                with it, such as ``/api``; empty where conditions name the path that the application receives.
            lifetime: When websockets and event streams end that outlive the decision on them; None for never.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, or another setting cannot work.
        """
        check_door(door, "InvokerMiddleware(app, door)")
        self.app = app
        self.door = door
        if lifetime is not None and not isinstance(lifetime, ConnectionLifetime):
            raise ConfigurationError(f"lifetime must be a ConnectionLifetime, not {type(lifetime).__name__}")
        self._public_prefix: Final = check_public_prefix(public_prefix)
        self._lifetime: Final = lifetime
        # FastAPI sets its root path in the scope only once the request has come through this middleware.
        self._root_path: Final[str] = getattr(app, "root_path", "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide on one connection (ASGI 3.0).

        Args:
            scope: The scope of the connection; it is not changed.
            receive: Receives a message from the client.
            send: Sends a message to the client.

        Raises:
            RuntimeError: If the type of the scope is unknown.
        """
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if kind != "lifespan":
                # What the door cannot decide on is not passed on.
                raise RuntimeError(
                    f"no door for ASGI scope type {kind!r}; http, websocket and lifespan are known"
                )
            await self.app(scope, receive, send)
            return
        admission = decide(self.door, scope, self._root_path, self._public_prefix)
        if not isinstance(admission, Admission):
            outcome = await admission
            if isinstance(outcome, Refusal):
                await _refuse(outcome, scope, receive, send)
                return
            admission = outcome
        passed = {**scope, "headers": admission.headers, ADMISSION: admission, DOOR: self.door}
        if kind == "websocket":
            send = hide_token(passed, send)
        if self._lifetime is None:
            await self.app(passed, receive, send)
        else:
            await self._lifetime.run(self.app, passed, receive, send)


def decide(
    door: BaseDoor, scope: Scope, root_path: str = "", public_prefix: str = ""
) -> Admission | Coroutine[Any, Any, Admission | Refusal]:
    """Decide on an http or websocket scope; at once, if all that decides is cached.

    This is no coroutine function, so that most requests, whose token is cached, do not pay for a coroutine.

    Args:
        door: The door.
        scope: The scope.
        root_path: As for `AsgiRequest`.
        public_prefix: As for `AsgiRequest`.

    Returns:
        The admission, or what to await for the outcome.
    """
    headers = scope["headers"]
    admission = door.admit_cached(headers, scope.get("method", "GET"), scope["path"])
    if admission is not None:
        return admission
    return door.aadmit(headers, AsgiRequest(scope, root_path, public_prefix))


class AsgiRequest:
    """The facts of an http or websocket scope that a policy may ask for, each computed when it is read.

    Method and path are read from the scope, and never from a URL that was built with the Host header, because
    the client chooses that header.
    """

    __slots__ = ("_public_prefix", "_root_path", "_scope")

    def __init__(self, scope: Scope, root_path: str = "", public_prefix: str = "") -> None:
        """Make the facts of a scope.

        Args:
            scope: An http or websocket scope.
            root_path: The root path that the application sets itself, once the scope reaches it.
            public_prefix: What a proxy in front cuts off the path that conditions name.
        """
        self._scope = scope
        self._root_path = root_path
        self._public_prefix = public_prefix

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
        if raw is None:
            return quote(self.path, errors="replace")
        return raw.partition(b"?")[0].decode("latin-1")

    @property
    def readings(self) -> tuple[str, ...]:
        """Every path by which the application could route the request."""
        raw: bytes | None = self._scope.get("raw_path")
        sent = "" if raw is None else raw.partition(b"?")[0].decode("latin-1")
        roots = (self._scope.get("root_path", ""), self._root_path)
        return readings_of(self.path, sent, roots, self._public_prefix)

    @property
    def websocket(self) -> bool:
        """Whether it is a websocket scope."""
        return bool(self._scope["type"] == "websocket")

    @property
    def host(self) -> str:
        """The host that the Host header names."""
        return host_name(next((value for name, value in self._scope["headers"] if name == b"host"), b""))


class ReadinessApp:
    """An ASGI application that answers a readiness probe: 200 if the door can decide now, else 503.

    The answer is JSON and says which part is not ready and why (`doorward_integrations.readiness`).
    """

    def __init__(self, door: BaseDoor) -> None:
        """Answer for a door.

        Args:
            door: The door.

        Raises:
            ConfigurationError: If it is not a `doorward.Door`.
        """
        check_door(door, "ReadinessApp(door)")
        self._door: Final = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one http request.

        Args:
            scope: The scope of the request.
            receive: Not used: a body is not read.
            send: Sends the answer.

        Raises:
            RuntimeError: If the scope is not of type http.
        """
        if scope["type"] != "http":
            raise RuntimeError(f"a readiness probe is an http request, not ASGI scope type {scope['type']!r}")
        del receive
        status, headers, body = readiness_answer(self._door, scope["method"])
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _answer(refusal, "http.response", scope, send)
        return
    await receive()  # websocket.connect, which the specification wants received before anything is sent
    if _DENIAL in (scope.get("extensions") or ()):
        await _answer(refusal, _DENIAL, scope, send)
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})


async def _answer(refusal: Refusal, kind: str, scope: Scope, send: Send) -> None:
    start: dict[str, Any] = {
        "type": f"{kind}.start",
        "status": refusal.status,
        "headers": list(refusal.headers),
    }
    await send(start)
    await send({"type": f"{kind}.body", "body": body_of(refusal, scope.get("method", "GET"))})
