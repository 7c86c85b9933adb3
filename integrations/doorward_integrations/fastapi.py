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
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope
from starlette.websockets import WebSocket

from doorward import Admission, ConfigurationError, Principal, Refusal
from doorward.door.base import BaseDoor
from doorward.extras import needs_extra
from doorward.policy.paths import check_public_prefix
from doorward_integrations import starlette
from doorward_integrations.admission import ADMISSION, DOOR, check_door, end_user_of, principal_of
from doorward_integrations.asgi import AsgiRequest, InvokerMiddleware, decide
from doorward_integrations.browser_socket import hide_token_in_scope
from doorward_integrations.lifetime import ConnectionLifetime
from doorward_integrations.narrowing import Narrowing, Predicate, service_accounts
from doorward_integrations.openapi import document_refusals, refusal_responses
from doorward_integrations.refusal import headers_beside_content
from doorward_integrations.starlette import add_readiness

with needs_extra("fastapi"):
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.openapi.models import HTTPBearer
    from fastapi.openapi.models import SecurityBase as SecurityScheme
    from fastapi.security.base import SecurityBase

__all__ = [
    "Caller",
    "Invoker",
    "InvokerDependency",
    "InvokerMiddleware",
    "RefusedRequest",
    "add_readiness",
    "caller",
    "end_user",
    "end_user_of",
    "only",
    "principal_of",
    "service_accounts",
]

_log = logging.getLogger("doorward.fastapi")


class Invoker(starlette.Invoker):
    """Puts the door in front of a whole application, as `doorward_integrations.starlette.Invoker` does.

    It also installs the exception handler for refusals by an `InvokerDependency`, unless the application has
    a handler for `RefusedRequest` already.
    """

    def __init__(
        self,
        app: FastAPI,
        door: BaseDoor,
        *,
        public_prefix: str = "",
        in_front: Iterable[type] = (),
        lifetime: ConnectionLifetime | None = None,
    ) -> None:
        """Guard an application.

        Args:
            app: The application, before it serves its first request or starts its lifespan.
            door: The door.
            public_prefix: As for `InvokerMiddleware`.
            in_front: As for `doorward_integrations.starlette.Invoker`.
            lifetime: As for `InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, or the application is not a FastAPI, has
                started, or has a door already; or as `doorward_integrations.starlette.Invoker`.
        """
        super().__init__(app, door, public_prefix=public_prefix, in_front=in_front, lifetime=lifetime)
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

    OpenAPI shows it as a bearer scheme, and, where it is installed, the 401, 403 and 503 of its routes.

    Attributes:
        door: The door.
        responses: The refusals as OpenAPI describes them, for ``responses=`` of a route or router, where the
            dependency is not installed.
        model: The scheme as OpenAPI describes it.
        scheme_name: The name of the scheme in OpenAPI.
    """

    door: Final[BaseDoor]
    model: SecurityScheme
    scheme_name: str
    responses: Final[dict[int | str, dict[str, Any]]]

    def __init__(self, door: BaseDoor, *, public_prefix: str = "") -> None:
        """Make the dependency.

        Args:
            door: The door.
            public_prefix: As for `InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`.
        """
        check_door(door, "InvokerDependency(door)")
        self.door = door
        self.model = HTTPBearer(bearerFormat="Google ID token")
        self.scheme_name = "Google ID token"
        self._public_prefix: Final = check_public_prefix(public_prefix)
        self.responses = refusal_responses(door)
        self._notice: Final = _Notice()

    def install(self, app: FastAPI) -> None:
        """Make an application answer refusals exactly as the door says, and document them.

        Args:
            app: The application that handles the requests, which may be a sub-application, before it starts.

        Raises:
            ConfigurationError: If the application has started, and would not use the handler any more.
        """
        if app.middleware_stack is not None:
            raise ConfigurationError("the application has started: call install(app) before it does")
        _install_handler(app)
        document_refusals(app, self.scheme_name, self.responses)

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
                self._notice.take(scope)
                raise RefusedRequest(outcome)
            admission = outcome
        scope.update({"headers": admission.headers, ADMISSION: admission, DOOR: self.door})
        if scope["type"] == "websocket":
            hide_token_in_scope(scope)
        # Starlette reads the headers of a request once, and an earlier dependency may have made it do so:
        # this replaces them in the object that the endpoint receives.
        Headers.__init__(connection.headers, scope=scope)
        return admission.principal

    def only(
        self, predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
    ) -> Callable[..., Awaitable[Principal]]:
        """Return a dependency that lets only some of the callers in that this one admits.

        Args:
            predicate: As for `only`.
            members: As for `only`.

        Returns:
            The dependency.

        Raises:
            ConfigurationError: As `only`.
        """
        return _narrowed(Narrowing(predicate, members), self)


class _Notice:
    """Logs once that the answer is not the door's; a sub-application has exception handlers of its own."""

    def __init__(self) -> None:
        self._given = False

    def take(self, scope: Scope) -> None:
        app = scope.get("app")
        if self._given or RefusedRequest in getattr(app, "exception_handlers", ()):
            return
        self._given = True
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
    if isinstance(connection, WebSocket):
        await starlette.refuse_websocket(connection, error.refusal)
        return None
    return starlette.response_to(error.refusal, connection.scope["method"])


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


Caller = Annotated[Principal, Depends(caller)]
"""The verified caller, as the annotation of a parameter: ``async def orders(who: Caller)``."""


async def end_user(connection: HTTPConnection) -> Principal | None:
    """Return the verified user on whose behalf the caller calls, or None; a dependency.

    It needs a door in front of the application, or an `InvokerDependency` before it.

    Args:
        connection: The request or websocket.

    Returns:
        The user, if the request has one.

    Raises:
        ConfigurationError: If no door has decided on the request.
    """
    return end_user_of(connection)


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that lets only some of the callers in that the door in front admits.

    It returns the caller, and stands in ``Depends(...)`` of a parameter, a route or a router::

        @app.get("/reports", dependencies=[Depends(only(service_accounts))])

    Args:
        predicate: Returns True for a caller that may.
        members: In place of it, the members of IAM that may.

    Returns:
        The dependency.

    Raises:
        ConfigurationError: If neither or both are given, or one cannot decide.
    """
    return _narrowed(Narrowing(predicate, members), caller)


def _narrowed(callers: Narrowing, first: Callable[..., Any]) -> Callable[..., Awaitable[Principal]]:
    """Return the dependency that narrows what another one has admitted."""
    notice = _Notice()

    async def narrowed(connection: HTTPConnection, who: Principal = Depends(first)) -> Principal:  # noqa: B008 - FastAPI reads it there, and cannot read a local name out of an annotation
        refusal = callers.refusal_of(connection.scope, AsgiRequest(connection.scope))
        if refusal is not None:
            notice.take(connection.scope)
            raise RefusedRequest(refusal)
        return who

    return narrowed
