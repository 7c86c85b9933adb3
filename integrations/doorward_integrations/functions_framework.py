"""The door in front of a function of Google's Functions Framework.

Its functions are of two kinds. Those of `functions_framework` run in a Flask application, which one line
guards, whether they take a request, a CloudEvent, a background event or a typed event::

    guard_functions(door)


    @functions_framework.cloud_event
    def handle(event):
        print(current_principal(), event["id"])

Those of `functions_framework.aio` run in an application that takes no door, so each is guarded by the
decorator that makes it a function::

    @guarded_http(door)
    async def orders(request):
        return f"Hello, {principal_of(request)}"


    @guarded_cloud_event(door)
    async def handle(event):
        print(current_principal(), event["id"])
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from doorward import Admission, ConfigurationError, Principal, Refusal
from doorward.door.base import BaseDoor
from doorward.extras import needs_extra
from doorward_integrations import admission as shared
from doorward_integrations.admission import (
    ADMISSION,
    CURRENT,
    DOOR,
    check_door,
    end_user_of,
    principal_of,
    show_door,
)
from doorward_integrations.asgi import AsgiRequest, decide
from doorward_integrations.narrowing import Narrowing, Predicate, narrowed, service_accounts
from doorward_integrations.refusal import text_headers
from doorward_integrations.starlette import response_to
from doorward_integrations.wsgi import WsgiRequest

with needs_extra("functions-framework"):
    import flask
    from cloudevents.http import CloudEvent, from_http
    from functions_framework import _function_registry as registry
    from functions_framework import aio

    from doorward_integrations.flask import Invoker

__all__ = [
    "current_principal",
    "end_user_of",
    "guard_functions",
    "guarded_cloud_event",
    "guarded_http",
    "only",
    "principal_of",
    "service_accounts",
]

_Handle = Callable[[Request], Awaitable[Any]]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_SCOPE: Final = contextvars.ContextVar[dict[str, Any]]("doorward.scope")
"""The scope of the request that a function of `functions_framework.aio` is handling."""

_guarded: Final = set[str]()
"""The names of the functions that a decorator of this module guards."""


def current_principal() -> Principal:
    """Return the verified caller of the request or event that a function is handling, of either kind.

    Returns:
        The principal; the anonymous one where the door admits without a verified caller.

    Raises:
        ConfigurationError: If no door has decided on it.
    """
    if flask.has_request_context():
        return principal_of(flask.request)
    return shared.current_principal()


def guard_functions(door: BaseDoor) -> None:
    """Guard the function that this process serves, if it is one of `functions_framework`.

    It is called in the module of the function, anywhere at its top level, and stands before everything: an
    event that cannot be parsed is refused like any other request.

    Args:
        door: The door.

    Raises:
        ConfigurationError: If the door is not a `doorward.Door`, if the Functions Framework is not loading
            the module, or if the function is one of `functions_framework.aio`, which this cannot guard.
    """
    if not flask.has_app_context():
        raise ConfigurationError(
            "guard_functions(door) has to be called while the Functions Framework loads the module, without "
            "its option --asgi; decorate functions of functions_framework.aio with @guarded_http(door) or "
            "@guarded_cloud_event(door)"
        )
    app: flask.Flask = flask.current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    Invoker(app, door)
    # The framework names the application after the function, and serves another application in its place if
    # the function turns out to be an asynchronous one, by a decorator further down.
    functions = _AsgiFunctions(registry.ASGI_FUNCTIONS)
    functions.check(app.name)
    functions.behind_flask.add(app.name)
    registry.ASGI_FUNCTIONS = functions


class _AsgiFunctions(set[str]):
    """The names of the functions of `functions_framework.aio`; refuses those that are left without a door."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(names)
        self.behind_flask: set[str] = getattr(names, "behind_flask", set())

    def add(self, name: str) -> None:
        super().add(name)
        if name in self.behind_flask:
            self.check(name)

    def check(self, name: str) -> None:
        if name in self and name not in _guarded:
            raise ConfigurationError(
                f"guard_functions(door) cannot guard {name!r}, a function of functions_framework.aio: "
                "decorate it with @guarded_http(door) or @guarded_cloud_event(door) instead"
            )


def guarded_http(door: BaseDoor) -> Callable[[Callable[[Request], Any]], _Handle]:
    """Make a function that takes a request, as `functions_framework.aio.http` does, behind a door.

    Args:
        door: The door.

    Returns:
        The decorator. The function may be a coroutine function, or a plain one, which runs in a thread.

    Raises:
        ConfigurationError: If it is not a `doorward.Door`.
    """
    check_door(door, "@guarded_http(door)")

    def decorate(function: Callable[[Request], Any]) -> _Handle:
        return _register(door, function, lambda request: _call(function, request))

    return decorate


def guarded_cloud_event(door: BaseDoor) -> Callable[[Callable[[CloudEvent], Any]], _Handle]:
    """Make a function that takes a CloudEvent, as `functions_framework.aio.cloud_event` does, behind a door.

    The framework knows it as a function that takes a request, since it would parse the event before the door
    is asked. What is deployed stays the same: the kind of a function that a decorator registers counts more
    than ``--signature-type`` and ``FUNCTION_SIGNATURE_TYPE``.

    Args:
        door: The door.

    Returns:
        The decorator. The function may be a coroutine function, or a plain one, which runs in a thread.

    Raises:
        ConfigurationError: If it is not a `doorward.Door`.
    """
    check_door(door, "@guarded_cloud_event(door)")

    def decorate(function: Callable[[CloudEvent], Any]) -> _Handle:
        async def handle(request: Request) -> Response:
            if request.method != "POST":
                raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
            await _call(function, await _event(request))
            return Response("OK")

        return _register(door, function, handle)

    return decorate


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[[_Function], _Function]:
    """Let only some of the callers that the door admits into a function; the others get its 403.

    It stands below the decorator that makes the function, and is for modules from which several functions
    are deployed behind one door::

        @functions_framework.cloud_event
        @only(members=["serviceAccount:eventarc@my-project.iam.gserviceaccount.com"])
        def on_order(event): ...

    The framework makes a 500 of everything that a typed function raises, so that such a function is not
    called either, and answers 500 in place of 403.

    Args:
        predicate: Returns True for a caller that may use the function.
        members: In place of it, the members of IAM that may.

    Returns:
        The decorator.

    Raises:
        ConfigurationError: If neither or both are given, one cannot decide, or it decorates no function.
    """
    callers = Narrowing(predicate, members)

    return lambda function: narrowed(function, callers, _find, _refuse)


class _NarrowedError(Exception):
    """Ends a function before it begins, since what it returns is of no account where it handles an event."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


def _find(*_args: object) -> tuple[None, Mapping[str, Any], WsgiRequest | AsgiRequest]:
    if flask.has_request_context():
        return None, flask.request.environ, WsgiRequest(flask.request.environ)
    scope = _SCOPE.get(None)
    if scope is None:
        raise ConfigurationError(
            "no door has decided here: put guard_functions(door), @guarded_http(door) or "
            "@guarded_cloud_event(door) above @only(...)"
        )
    return None, scope, AsgiRequest(scope)


def _refuse(refusal: Refusal, _request: object) -> NoReturn:
    if flask.has_request_context():
        flask.abort(flask.Response(refusal.body, refusal.status, text_headers(refusal)))
    raise _NarrowedError(refusal)


async def _event(request: Request) -> CloudEvent:
    body = await request.body()
    try:
        return from_http(request.headers, body)
    except Exception as error:
        # As the framework answers, whatever the parser raises.
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, f"Bad Request: Got CloudEvent exception: {error!r}"
        ) from error


def _register(door: BaseDoor, function: Callable[..., Any], handle: _Handle) -> _Handle:
    """Put the door before the handler of admitted requests, and register both as the function."""

    @functools.wraps(function)
    async def guarded(request: Request) -> Any:  # noqa: ANN401 - a response, or what the framework makes one of
        decided = decide(door, request.scope)
        outcome = decided if isinstance(decided, Admission) else await decided
        if isinstance(outcome, Refusal):
            return response_to(outcome, request.method)
        scope = {**request.scope, "headers": outcome.headers, ADMISSION: outcome, DOOR: door}
        before, before_scope = CURRENT.set(outcome.principal), _SCOPE.set(scope)
        try:
            return await handle(Request(scope, request.receive))
        except _NarrowedError as error:
            return response_to(error.refusal, request.method)
        finally:
            CURRENT.reset(before)
            _SCOPE.reset(before_scope)

    show_door(guarded, door)
    _guarded.add(function.__name__)
    aio.http(guarded)
    return guarded


async def _call(function: Callable[[Any], Any], argument: object) -> Any:  # noqa: ANN401 - what it returns
    if inspect.iscoroutinefunction(function):
        return await function(argument)
    return await asyncio.to_thread(function, argument)
