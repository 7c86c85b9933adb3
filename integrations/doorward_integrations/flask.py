"""The door in front of a Flask application, and the verified caller of the current request.

::

    Invoker(app, door)


    @app.get("/orders")
    def orders():
        return f"Hello, {current_principal}"  # or g.principal, or principal_of(request)
"""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, g, request
from werkzeug.local import LocalProxy

from doorward import ConfigurationError, Door, Principal
from doorward.policy.paths import check_public_prefix
from doorward_integrations.admission import principal_of
from doorward_integrations.readiness import READINESS_PATH, check_door, readiness_answer
from doorward_integrations.wsgi import InvokerMiddleware

__all__ = ["Invoker", "InvokerMiddleware", "add_readiness", "current_principal", "principal_of"]

_EXTENSION: Final = "doorward"


class Invoker:
    """Puts the door in front of a whole application: routes, static files, blueprints, and errors.

    It stands at the WSGI entry and not in ``before_request``, so that no other hook runs before it.

    Attributes:
        door: The door.
    """

    door: Final[Door]

    def __init__(
        self, app: Flask | None = None, door: Door | None = None, *, public_prefix: str = ""
    ) -> None:
        """Guard an application, now or with `init_app`.

        Args:
            app: The application, if it exists already.
            door: The door.
            public_prefix: As for `doorward_integrations.wsgi.InvokerMiddleware`.

        Raises:
            ConfigurationError: If the door is missing or not a `doorward.Door`, or as `init_app`.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"Invoker(app, door) needs a Door, not {type(door).__name__}")
        self.door = door
        self._public_prefix: Final = check_public_prefix(public_prefix)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard an application.

        Args:
            app: The application.

        Raises:
            ConfigurationError: If it has a door already: the inner one would find no signature to verify.
        """
        if _EXTENSION in app.extensions:
            raise ConfigurationError(
                f"the application {app.name!r} has a door already: call Invoker once for it"
            )
        app.extensions[_EXTENSION] = self
        guarded = InvokerMiddleware(app.wsgi_app, self.door, public_prefix=self._public_prefix)
        app.wsgi_app = guarded  # type: ignore[method-assign]  # as Flask documents it
        app.before_request_funcs.setdefault(None, []).insert(0, _set_principal)


def add_readiness(app: Flask, door: Door, path: str = READINESS_PATH) -> None:
    """Answer readiness probes: 200 if the door can decide now, else 503, with what is not ready as JSON.

    Args:
        app: The application.
        door: The door. If it stands in front of the application, it must exempt the path:
            ``exempt=[("GET", "/readyz")]``.
        path: The path of the probe.

    Raises:
        ConfigurationError: If the door is not a `doorward.Door`.
    """
    check_door(door, "add_readiness(app, door)")

    def answer() -> Response:
        status, headers, body = readiness_answer(door)  # Flask leaves the body out of the answer to a HEAD
        return Response(body, status, headers)

    app.add_url_rule(path, "doorward_readiness", answer, methods=["GET"])


def _set_principal() -> None:
    g.principal = principal_of(request)


def _current() -> Principal:
    # Outside of a request Flask's own proxy raises the RuntimeError by which this one counts as unbound: then
    # `bool` is False, and what looks at every name of a module (inspect, doctest, gevent) does not fail.
    return principal_of(request)


current_principal: Principal = LocalProxy(_current)  # type: ignore[assignment]  # stands for it, as flask.request does
"""The verified caller of the current request."""
