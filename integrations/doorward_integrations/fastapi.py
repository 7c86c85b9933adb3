"""The door in FastAPI: as a dependency on single routes, or as middleware in front of all.

::

    invoker = Invoker(door, app)
    Caller = Annotated[Principal, Depends(invoker)]


    @app.get("/orders")
    async def orders(caller: Caller): ...

In front of everything, ``app.add_middleware(InvokerMiddleware, door=door)`` with ``Annotated[Principal,
Depends(caller)]``.
"""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from doorward import Admission, ConfigurationError, Door, Principal, Refusal
from doorward_integrations.asgi import ADMISSION, DOOR, AsgiRequest, InvokerMiddleware
from doorward_integrations.starlette import principal_of

__all__ = ["Invoker", "InvokerMiddleware", "RefusedRequest", "caller"]


class RefusedRequest(HTTPException):
    """Raised by the dependency `Invoker`.

    It is answered in full where `Invoker.install` was called, else with FastAPI's JSON.

    Attributes:
        refusal: The answer that the door gave.
    """

    def __init__(self, refusal: Refusal) -> None:
        """Wrap a refusal.

        Args:
            refusal: The answer that the door gave.
        """
        headers = {
            name.decode(): value.decode()
            for name, value in refusal.headers
            if not name.startswith(b"content-")
        }
        super().__init__(refusal.status, headers=headers)
        self.refusal = refusal


class Invoker(SecurityBase):
    """A dependency that gives the verified caller of a request, or refuses it.

    OpenAPI shows it as a bearer scheme.
    """

    def __init__(self, door: Door, app: FastAPI | None = None) -> None:
        """Make the dependency.

        Args:
            door: The door.
            app: The application, to have refusals answered as the door says; see `install`.

        Raises:
            ConfigurationError: If the door is something else.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"Invoker(door, app) needs a Door, not {type(door).__name__}")
        self.door: Final = door
        self.model = HTTPBearer(bearerFormat="Google ID token")
        self.scheme_name = "Google ID token"
        if app is not None:
            self.install(app)

    def install(self, app: FastAPI) -> None:
        """Have an application answer refusals as the door says, to the byte.

        Args:
            app: The application that the routes end up in.
        """
        # For http and websocket routes alike; Starlette takes None for a websocket that is closed already.
        app.add_exception_handler(RefusedRequest, _answer)  # type: ignore[arg-type]

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Decide on the request that FastAPI is resolving dependencies for."""
        scope = connection.scope
        if scope.get(DOOR) is self.door:
            # This very door has let it in, and has taken the signature that a second look would ask for.
            return principal_of(connection)
        outcome: Admission | Refusal | None = None
        if scope["type"] == "http":
            outcome = self.door.admit_cached(scope["headers"], scope["method"], scope["path"])
        if outcome is None:
            outcome = await self.door.aadmit(scope["headers"], AsgiRequest(scope))
        if isinstance(outcome, Refusal):
            raise RefusedRequest(outcome)
        scope.update({"headers": outcome.headers, ADMISSION: outcome, DOOR: self.door})
        # Starlette reads the headers of a request once, and somebody may have done so before us: read them
        # anew, in the object that the endpoint will be given.
        Headers.__init__(connection.headers, scope=scope)
        return outcome.principal


async def _answer(connection: HTTPConnection, error: Exception) -> Response | None:
    assert isinstance(error, RefusedRequest)  # noqa: S101 - Starlette calls a handler for its own class only
    refusal = error.refusal
    response = Response(refusal.body, refusal.status)
    response.raw_headers = list(refusal.headers)
    if isinstance(connection, WebSocket):
        if "websocket.http.response" in (connection.scope.get("extensions") or ()):
            return response  # Starlette sends it as the denial
        await connection.close()  # before it was accepted: the server answers 403
        return None
    return response


async def caller(connection: HTTPConnection) -> Principal:
    """Give the caller of a request that came through `InvokerMiddleware`; a dependency.

    Args:
        connection: The request or websocket.

    Returns:
        The verified principal.

    Raises:
        ConfigurationError: If no middleware stands in front.
    """
    return principal_of(connection)
