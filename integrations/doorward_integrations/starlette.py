"""The door in front of a Starlette application.

::

    app = Starlette(routes=...)
    Invoker(app, door)


    async def endpoint(request):
        return PlainTextResponse(f"Hello, {principal_of(request)}")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from doorward import ConfigurationError, Refusal
from doorward.door.base import BaseDoor
from doorward.policy.paths import check_public_prefix
from doorward_integrations.admission import check_door, end_user_of, principal_of
from doorward_integrations.asgi import POLICY_VIOLATION, AsgiRequest, InvokerMiddleware, ReadinessApp
from doorward_integrations.lifetime import ConnectionLifetime
from doorward_integrations.narrowing import Narrowing, Predicate, narrowed, service_accounts
from doorward_integrations.readiness import READINESS_PATH
from doorward_integrations.refusal import body_of

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import Response
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

__all__ = [
    "Invoker",
    "InvokerMiddleware",
    "add_readiness",
    "end_user_of",
    "only",
    "principal_of",
    "refuse_websocket",
    "response_to",
    "service_accounts",
]

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


class Invoker:
    """Puts the door in front of a whole application: its middleware, routes, mounts and static files.

    It runs before every middleware of the application, also before those that are added later, so that
    `principal_of` works in them. Only what Starlette itself puts around all middleware runs first: the page
    for an unexpected error, and the limit of the size of a body.

    A middleware that must run before the door is named: ``Invoker(app, door, in_front=[CORSMiddleware])``
    lets that of CORS answer preflights, which carry no credential, and add its headers to refusals.

    Attributes:
        door: The door.
    """

    door: Final[BaseDoor]

    def __init__(
        self,
        app: Starlette,
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
            in_front: The classes of those middleware of the application that run before the door, in the
                order that they have in the application.
            lifetime: As for `InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, or the application is not a Starlette,
                has started, or has a door already: the inner one would find no signature to verify; or if
                `in_front` holds no classes. A class that the application does not have is found when it
                starts.
        """
        check_door(door, "Invoker(app, door)")
        if not callable(getattr(app, "build_middleware_stack", None)):
            raise ConfigurationError(
                f"Invoker(app, door) needs the application itself, not {type(app).__name__}; "
                "InvokerMiddleware(app, door) guards any ASGI application"
            )
        if app.middleware_stack is not None:
            raise ConfigurationError("the application has started: call Invoker(app, door) before it does")
        classes = [entry.cls for entry in app.user_middleware]
        if any(isinstance(one, type) and issubclass(one, InvokerMiddleware) for one in classes):
            raise ConfigurationError(
                "the application has a door already: use either Invoker(app, door) or InvokerMiddleware, once"
            )
        self.door = door
        before = _classes(in_front)
        app.add_middleware(
            InvokerMiddleware, door=door, public_prefix=check_public_prefix(public_prefix), lifetime=lifetime
        )
        _put_first(app, app.user_middleware[0], before)


def _classes(in_front: Iterable[type]) -> tuple[type, ...]:
    classes = tuple(in_front) if isinstance(in_front, Iterable) else (in_front,)
    if not all(isinstance(one, type) for one in classes):
        raise ConfigurationError("in_front must be a list of middleware classes: in_front=[CORSMiddleware]")
    return classes


def _put_first(app: Starlette, guard: Middleware, in_front: tuple[Any, ...]) -> None:
    # The entry stands in the list of the application, and not around its stack, so that the door stays where
    # another library builds the stack in a way of its own, as instrumentations do.
    build = app.build_middleware_stack

    def build_with_door_first() -> ASGIApp:
        others = [entry for entry in app.user_middleware if entry is not guard]
        before = [entry for entry in others if entry.cls in in_front]
        missing = [one.__name__ for one in in_front if all(entry.cls is not one for entry in before)]
        if missing:
            raise ConfigurationError(
                f"in_front names {', '.join(missing)}, which the application does not have: add it with "
                "app.add_middleware(...)"
            )
        app.user_middleware = [*before, guard, *(entry for entry in others if entry.cls not in in_front)]
        return build()

    app.build_middleware_stack = build_with_door_first  # type: ignore[method-assign]


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[[_Endpoint], _Endpoint]:
    """Let only some of the callers that the door admits into an endpoint; the others get its 403.

    It decorates functions and methods, sync or async, that take a ``request`` or a ``websocket``::

        @only(members=["serviceAccount:reports@my-project.iam.gserviceaccount.com"])
        async def reports(request): ...

    Args:
        predicate: Returns True for a caller that may use the endpoint.
        members: In place of it, the members of IAM that may.

    Returns:
        The decorator.

    Raises:
        ConfigurationError: If neither or both are given, or one cannot decide; or if what it decorates takes
            neither a ``request`` nor a ``websocket``.
    """
    callers = Narrowing(predicate, members)

    def narrow(endpoint: _Endpoint) -> _Endpoint:
        connection = _finder_of_connection(endpoint)

        def find(*args: object, **kwargs: object) -> tuple[Any, Mapping[str, Any], AsgiRequest]:
            found = connection(args, kwargs)
            return found, found.scope, AsgiRequest(found.scope)

        return narrowed(endpoint, callers, find, _answer)

    return narrow


def _answer(refusal: Refusal, connection: Any) -> object:  # noqa: ANN401 - a request, or a websocket
    if connection.scope["type"] == "websocket":
        return refuse_websocket(connection, refusal)
    return response_to(refusal, connection.scope["method"])


def _finder_of_connection(
    endpoint: Callable[..., Any],
) -> Callable[[tuple[object, ...], dict[str, object]], Any]:
    """Return what finds the request or websocket among the arguments of an endpoint."""
    names = list(inspect.signature(endpoint).parameters) if inspect.isroutine(endpoint) else []
    name = next((one for one in ("request", "websocket") if one in names), None)
    if name is None or (name == "websocket" and not inspect.iscoroutinefunction(endpoint)):
        raise ConfigurationError(
            f"only(...) decorates a function or method that takes a 'request', or an async one that takes a "
            f"'websocket', and not {endpoint!r}"
        )
    position = names.index(name)
    return lambda args, kwargs: kwargs[name] if name in kwargs else args[position]


def add_readiness(app: Starlette, door: BaseDoor, path: str = READINESS_PATH) -> None:
    """Answer readiness probes: 200 if the door can decide now, else 503, with what is not ready as JSON.

    Args:
        app: The application; of its routes this one is the first, so that no other takes the path.
        door: The door. If it stands in front of the application, it must exempt the path:
            ``exempt=[("GET", "/readyz")]``.
        path: The path of the probe.

    Raises:
        ConfigurationError: If the door is not a `doorward.Door`.
    """
    from starlette.routing import Route  # noqa: PLC0415 - slow to import, and few need it

    app.router.routes.insert(0, Route(path, ReadinessApp(door), include_in_schema=False))


def response_to(refusal: Refusal, method: str) -> Response:
    """Return the answer of a door as a response, for code that answers a request itself.

    Args:
        refusal: The refusal.
        method: The method of the request.

    Returns:
        The response, to the byte.
    """
    from starlette.responses import Response  # noqa: PLC0415 - the module itself needs no Starlette

    response = Response(body_of(refusal, method), refusal.status)
    response.raw_headers = list(refusal.headers)
    return response


async def refuse_websocket(websocket: WebSocket, refusal: Refusal) -> None:
    """Refuse a websocket: with the answer of the door where the server can send it, else by closing it.

    Args:
        websocket: The websocket.
        refusal: The refusal.
    """
    from starlette.websockets import WebSocketState  # noqa: PLC0415 - the module itself needs no Starlette

    if websocket.client_state is WebSocketState.CONNECTING:
        await websocket.receive()  # websocket.connect, which the specification wants received first
    accepted = websocket.application_state is not WebSocketState.CONNECTING
    if not accepted and "websocket.http.response" in (websocket.scope.get("extensions") or ()):
        await websocket.send_denial_response(response_to(refusal, "GET"))
    else:
        await websocket.close(POLICY_VIOLATION)  # before it was accepted, the server answers 403
