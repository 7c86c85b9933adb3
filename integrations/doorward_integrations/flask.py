"""The door in front of a Flask application, and the verified caller of the current request.

::

    Invoker(app, door)


    @app.get("/orders")
    def orders():
        return f"Hello, {current_principal}"  # or g.principal, or principal_of(request)
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from doorward import ConfigurationError, Principal, Refusal
from doorward.door.base import BaseDoor
from doorward.extras import needs_extra
from doorward.policy.paths import check_public_prefix
from doorward_integrations.admission import check_door, end_user_of, principal_of
from doorward_integrations.narrowing import Narrowing, Predicate, narrowed, service_accounts
from doorward_integrations.readiness import READINESS_PATH, readiness_answer
from doorward_integrations.refusal import text_headers
from doorward_integrations.wsgi import FurtherHeaders, InvokerMiddleware, WsgiRequest, environ_of, headers_of

with needs_extra("flask"):
    from flask import Flask, Response, current_app, g, request
    from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

__all__ = [
    "Invoker",
    "InvokerMiddleware",
    "add_readiness",
    "current_principal",
    "end_user_of",
    "only",
    "principal_of",
    "service_accounts",
]

_EXTENSION: Final = "doorward"
_View = TypeVar("_View", bound=Callable[..., Any])


class Invoker:
    """Puts the door in front of a whole application: routes, static files, blueprints, and errors.

    It stands at the WSGI entry and not in ``before_request``, so that no other hook runs before it.

    Attributes:
        door: The door.
    """

    door: Final[BaseDoor]

    def __init__(
        self,
        app: Flask | None = None,
        door: BaseDoor | None = None,
        *,
        public_prefix: str = "",
        after_request: bool = False,
    ) -> None:
        """Guard an application, now or with `init_app`.

        Args:
            app: The application, if it exists already.
            door: The door.
            public_prefix: As for `doorward_integrations.wsgi.InvokerMiddleware`.
            after_request: Whether the ``after_request`` functions of the application run on refusals too, so
                that those of flask-cors add their headers. They see the request without its credentials, and
                can add headers only: status, body and the door's own headers stay.

        Raises:
            ConfigurationError: If the door is missing or not a `doorward.Door`, or as `init_app`.
        """
        self.door = check_door(door, "Invoker(app, door)")
        self._public_prefix: Final = check_public_prefix(public_prefix)
        self._after_request: Final = after_request
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
        guarded = InvokerMiddleware(
            app.wsgi_app,
            self.door,
            public_prefix=self._public_prefix,
            further_headers=_headers_of_hooks(app, self.door) if self._after_request else None,
        )
        app.wsgi_app = guarded  # type: ignore[method-assign]  # as Flask documents it
        app.before_request_funcs.setdefault(None, []).insert(0, _set_principal)


def _headers_of_hooks(app: Flask, door: BaseDoor) -> FurtherHeaders:
    """Return what gives the headers that ``after_request`` functions add to a refusal."""

    def further(refusal: Refusal, environ: WSGIEnvironment) -> list[tuple[str, str]]:
        bare = environ_of(environ, door.forwarding.without_credentials(headers_of(environ)))
        with app.request_context(bare):
            response = app.process_response(_response_to(refusal))
        own = {name for name, _ in text_headers(refusal)}
        return [(name, value) for name, value in response.headers if name.lower() not in own]

    return further


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[[_View], _View]:
    """Let only some of the callers that the door admits into a view; the others get its 403.

    It stands below the decorator that makes the route, and works for sync and async views, and in the
    ``decorators`` of a class of views::

        @app.get("/reports")
        @only(service_accounts)
        def reports(): ...

    Args:
        predicate: Returns True for a caller that may use the view.
        members: In place of it, the members of IAM that may.

    Returns:
        The decorator.

    Raises:
        ConfigurationError: If neither or both are given, one cannot decide, or it decorates no function.
    """
    callers = Narrowing(predicate, members)
    needs = "a view function: for a class put it into 'decorators'"

    def narrow(view: _View) -> _View:
        made = narrowed(view, callers, _find, _answer, needs=needs)
        _narrowed.add(view)
        return made

    return narrow


def _find(*_args: object, **_kwargs: object) -> tuple[None, WSGIEnvironment, WsgiRequest]:
    return None, request.environ, WsgiRequest(request.environ)


def _answer(refusal: Refusal, _request: object) -> Response:
    return _response_to(refusal)


_narrowed: Final[weakref.WeakSet[Callable[..., Any]]] = weakref.WeakSet()
"""The views inside of ``only(...)``."""


def _response_to(refusal: Refusal) -> Response:
    return Response(
        refusal.body, refusal.status, text_headers(refusal)
    )  # Flask leaves the body out of a HEAD


def add_readiness(app: Flask, door: BaseDoor, path: str = READINESS_PATH) -> None:
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
    view = current_app.view_functions.get(request.endpoint or "")
    if view in _narrowed:  # Flask's decorators register the function that they are given, and return it
        raise ConfigurationError(
            f"the view {request.endpoint!r} is registered without the only(...) that stands above its route: "
            "put only(...) below the decorator that makes the route"
        )


def _current() -> Principal:
    # Outside of a request Flask's own proxy raises the RuntimeError by which this one counts as unbound: then
    # `bool` is False, and what looks at every name of a module (inspect, doctest, gevent) does not fail.
    return principal_of(request)


current_principal: Principal = LocalProxy(_current)  # type: ignore[assignment]  # stands for it, as flask.request does
"""The verified caller of the current request."""
