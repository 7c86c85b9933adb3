"""The door in FastAPI: in front of the whole application, or as a dependency of single routes.

In front of the whole application::

    app = FastAPI()
    Invoker(app, door)


    @app.get("/orders")
    async def orders(who: Annotated[Principal, Depends(caller)]): ...

As a dependency, which FastAPI resolves after it has read the body::

    invoker = InvokerDependency(door)
    invoker.install(app)


    @app.get("/orders")
    async def orders(who: Annotated[Principal, Depends(invoker)]): ...
"""

from __future__ import annotations

import logging
from typing import Final

from fastapi import FastAPI, HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityScheme
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from doorward import Admission, ConfigurationError, Door, Principal, Refusal
from doorward.policy.paths import check_public_prefix
from doorward_integrations import starlette
from doorward_integrations.admission import ADMISSION, DOOR, principal_of
from doorward_integrations.asgi import InvokerMiddleware, decide
from doorward_integrations.refusal import headers_beside_content
from doorward_integrations.starlette import add_readiness

__all__ = [
    "Invoker",
    "InvokerDependency",
    "InvokerMiddleware",
    "RefusedRequest",
    "add_readiness",
    "caller",
    "principal_of",
]

_log = logging.getLogger("doorward.fastapi")


class Invoker(starlette.Invoker):
    """Puts the door in front of a whole application, as `doorward_integrations.starlette.Invoker` does.

    It also installs the exception handler for refusals by an `InvokerDependency`, unless the application has
    a handler for `RefusedRequest` already.
    """

    def __init__(self, app: FastAPI, door: Door, *, public_prefix: str = "") -> None:
        """Guard an application.

        Args:
            app: The application, before it serves its first request or starts its lifespan.
            door: The door.
            public_prefix: As for `InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, or the application is not a FastAPI, has
                started, or has a door already.
        """
        super().__init__(app, door, public_prefix=public_prefix)
        if RefusedRequest not in app.exception_handlers:
            _install_handler(app)


class RefusedRequest(HTTPException):
    """Raised by an `InvokerDependency` that refuses a request.

    It is answered in full where `InvokerDependency.install` was called, else with FastAPI's JSON.

    Attributes:
        refusal: The answer of the door.
    """

    refusal: Final[Refusal]

    def __init__(self, refusal: Refusal) -> None:
        """Wrap a refusal.

        Args:
            refusal: The answer of the door.
        """
        super().__init__(refusal.status, headers=headers_beside_content(refusal))
        self.refusal = refusal


class InvokerDependency(SecurityBase):
    """A dependency that returns the verified caller of a request, or refuses the request.

    OpenAPI shows it as a bearer scheme.

    Attributes:
        door: The door.
        model: The scheme as OpenAPI describes it.
        scheme_name: The name of the scheme in OpenAPI.
    """

    door: Final[Door]
    model: SecurityScheme
    scheme_name: str

    def __init__(self, door: Door, *, public_prefix: str = "") -> None:
        """Make the dependency.

        Args:
            door: The door.
            public_prefix: As for `InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"InvokerDependency(door) needs a Door, not {type(door).__name__}")
        self.door = door
        self.model = HTTPBearer(bearerFormat="Google ID token")
        self.scheme_name = "Google ID token"
        self._public_prefix: Final = check_public_prefix(public_prefix)
        self._warned = False

    def install(self, app: FastAPI) -> None:
        """Make an application answer refusals exactly as the door says.

        Args:
            app: The application that handles the requests, which may be a sub-application, before it starts.

        Raises:
            ConfigurationError: If the application has started, and would not use the handler any more.
        """
        if app.middleware_stack is not None:
            raise ConfigurationError("the application has started: call install(app) before it does")
        _install_handler(app)

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Decide on the request for which FastAPI resolves dependencies.

        Args:
            connection: The request or websocket.

        Returns:
            The verified principal.

        Raises:
            RefusedRequest: If the door refuses it.
        """
        scope = connection.scope
        if scope.get(DOOR) is self.door:
            # This door has admitted the request, and has removed the signature that a second decision needs.
            return principal_of(connection)
        admission = decide(self.door, scope, public_prefix=self._public_prefix)
        if not isinstance(admission, Admission):
            outcome = await admission
            if isinstance(outcome, Refusal):
                self._warn_if_not_installed(scope.get("app"))
                raise RefusedRequest(outcome)
            admission = outcome
        scope.update({"headers": admission.headers, ADMISSION: admission, DOOR: self.door})
        # Starlette reads the headers of a request once, and an earlier dependency may have made it do so:
        # this replaces them in the object that the endpoint receives.
        Headers.__init__(connection.headers, scope=scope)
        return admission.principal

    def _warn_if_not_installed(self, app: object) -> None:
        """Log once that the answer is not the door's; a sub-application has exception handlers of its own."""
        if self._warned or RefusedRequest in getattr(app, "exception_handlers", ()):
            return
        self._warned = True
        _log.warning(
            "a request was refused in the application %r, where no handler for RefusedRequest is installed: "
            "FastAPI answers with JSON of its own in place of the answer of the door. Call "
            "InvokerDependency.install(app) with this application, before it starts",
            getattr(app, "title", type(app).__name__),
        )


def _install_handler(app: FastAPI) -> None:
    # For http and websocket routes alike; Starlette takes None for a websocket that is closed already.
    app.add_exception_handler(RefusedRequest, _answer)  # type: ignore[arg-type]


async def _answer(connection: HTTPConnection, error: Exception) -> Response | None:
    assert isinstance(error, RefusedRequest)  # noqa: S101 - Starlette calls a handler for its own class only
    response = starlette.response_to(error.refusal, connection.scope.get("method", "GET"))
    if isinstance(connection, WebSocket):
        if "websocket.http.response" in (connection.scope.get("extensions") or ()):
            return response  # Starlette sends it as the denial
        await connection.close()  # before it was accepted: the server answers 403
        return None
    return response


async def caller(connection: HTTPConnection) -> Principal:
    """Return the verified caller of a request that a door in front has admitted; a dependency.

    Args:
        connection: The request or websocket.

    Returns:
        The verified principal.

    Raises:
        ConfigurationError: If no door has decided on the request.
    """
    return principal_of(connection)
