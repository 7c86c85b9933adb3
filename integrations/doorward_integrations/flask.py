"""The door in front of a Flask application, and the caller of a request in it.

::

    Invoker(app, door)


    @app.get("/orders")
    def orders():
        return f"Hello, {current_principal}"  # also: g.principal
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Flask, g, has_request_context, request
from werkzeug.local import LocalProxy

from doorward import Admission, ConfigurationError, Door, Principal
from doorward_integrations.wsgi import ADMISSION, InvokerMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Invoker", "current_principal"]

_EXTENSION: Final = "doorward"


class Invoker:
    """Puts the door in front of all that a Flask application does: routes, static files, blueprints, errors.

    It stands at the WSGI entry and not in ``before_request``, which others may run before.
    """

    def __init__(self, app: Flask | None = None, door: Door | None = None) -> None:
        """Guard an application, now or with `init_app`.

        Args:
            app: The application, if it exists already.
            door: The door.

        Raises:
            ConfigurationError: If the door is missing or something else.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"Invoker(app, door) needs a Door, not {type(door).__name__}")
        self.door: Final = door
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard an application.

        Args:
            app: The application.

        Raises:
            ConfigurationError: If it is guarded already: the inner door would find no signature to check.
        """
        if _EXTENSION in app.extensions:
            raise ConfigurationError(
                f"the application {app.name!r} has a door already: call Invoker once for it"
            )
        app.extensions[_EXTENSION] = self
        app.wsgi_app = InvokerMiddleware(app.wsgi_app, self.door)  # type: ignore[method-assign]  # as Flask documents it
        app.before_request_funcs.setdefault(None, []).insert(0, _remember)


def _remember() -> None:
    g.principal = _principal()


def _principal() -> Principal:
    admission = request.environ.get(ADMISSION) if has_request_context() else None
    if not isinstance(admission, Admission):
        raise ConfigurationError(
            "there is no caller here: outside of a request, or Invoker(app, door) was not called"
        )
    return admission.principal


_lookup: Callable[[], Principal] = _principal
current_principal: Principal = LocalProxy(_lookup)  # type: ignore[assignment]  # stands for it, as flask.request does
"""The verified caller of the request at hand."""
