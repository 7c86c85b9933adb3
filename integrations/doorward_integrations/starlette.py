"""The door in front of a Starlette application.

::

    app = Starlette(routes=...)
    Invoker(app, door)


    async def endpoint(request):
        return PlainTextResponse(f"Hello, {principal_of(request)}")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from doorward import ConfigurationError, Door, Refusal
from doorward.policy.paths import check_public_prefix
from doorward_integrations.admission import principal_of
from doorward_integrations.asgi import InvokerMiddleware, ReadinessApp
from doorward_integrations.readiness import READINESS_PATH
from doorward_integrations.refusal import body_of

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.types import ASGIApp

__all__ = ["Invoker", "InvokerMiddleware", "add_readiness", "principal_of", "response_to"]


class Invoker:
    """Puts the door in front of a whole application: its middleware, routes, mounts and static files.

    It runs before every middleware of the application, also before those that are added later, so that
    `principal_of` works in them. Only what Starlette itself puts around all middleware runs first: the page
    for an unexpected error, and the limit of the size of a body.

    A middleware that must run before the door, such as one that answers CORS preflights, which carry no
    credential, needs an explicit order: ``app.add_middleware(InvokerMiddleware, door=door)`` in place of this
    class, and after it the other middleware.

    Attributes:
        door: The door.
    """

    door: Final[Door]

    def __init__(self, app: Starlette, door: Door, *, public_prefix: str = "") -> None:
        """Guard an application.

        Args:
            app: The application, before it serves its first request or starts its lifespan.
            door: The door.
            public_prefix: As for `InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, or the application is not a Starlette,
                has started, or has a door already: the inner one would find no signature to verify.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"Invoker(app, door) needs a Door, not {type(door).__name__}")
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
        _put_first(app, door, check_public_prefix(public_prefix))


def _put_first(app: Starlette, door: Door, public_prefix: str) -> None:
    # The entry stands in the list of the application, and not around its stack, so that the door stays where
    # another library builds the stack in a way of its own, as instrumentations do.
    app.add_middleware(InvokerMiddleware, door=door, public_prefix=public_prefix)
    guard = app.user_middleware[0]
    build = app.build_middleware_stack

    def build_with_door_first() -> ASGIApp:
        app.user_middleware = [guard, *(entry for entry in app.user_middleware if entry is not guard)]
        return build()

    app.build_middleware_stack = build_with_door_first  # type: ignore[method-assign]


def add_readiness(app: Starlette, door: Door, path: str = READINESS_PATH) -> None:
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
