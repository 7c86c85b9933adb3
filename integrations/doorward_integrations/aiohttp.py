"""The door in front of an aiohttp server.

::

    app = web.Application()
    Invoker(app, door)


    async def orders(request):
        return web.Response(text=f"Hello, {principal_of(request)}")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Final, TypeVar

from doorward import Admission, ConfigurationError, Principal, Refusal
from doorward.door.base import BaseDoor
from doorward.extras import needs_extra
from doorward.policy.paths import check_public_prefix, readings_of
from doorward.policy.request import host_name
from doorward_integrations import admission as shared
from doorward_integrations.admission import check_door, show_door
from doorward_integrations.narrowing import Narrowing, Predicate, narrowed, service_accounts
from doorward_integrations.readiness import READINESS_PATH, readiness_answer
from doorward_integrations.refusal import body_of

with needs_extra("aiohttp"):
    from aiohttp import web
    from aiohttp.abc import AbstractView
    from aiohttp.typedefs import Handler, Middleware
    from multidict import CIMultiDict

__all__ = [
    "ADMISSION",
    "AiohttpRequest",
    "Invoker",
    "add_readiness",
    "end_user_of",
    "invoker_middleware",
    "only",
    "principal_of",
    "service_accounts",
]

ADMISSION: Final = web.RequestKey("doorward.admission", Admission)
"""The key of the `doorward.Admission` in an admitted request."""

_DOOR: Final = web.RequestKey(shared.DOOR, BaseDoor)
_View = TypeVar("_View", bound=Callable[..., Any])
_Await = Callable[[Any], Generator[Any, None, web.StreamResponse]]


def principal_of(request: web.BaseRequest) -> Principal:
    """Return the verified caller of a request that the door has admitted.

    Args:
        request: The request, as a handler gets it.

    Returns:
        The principal; the anonymous one where the policy admits a request without a verified caller.

    Raises:
        ConfigurationError: If no door has decided on the request.
    """
    return _admission_of(request).principal


def end_user_of(request: web.BaseRequest) -> Principal | None:
    """Return the verified user on whose behalf the caller of a request calls.

    Args:
        request: As for `principal_of`.

    Returns:
        The user, never the caller itself; None if the request has none, or the door looks for none.

    Raises:
        ConfigurationError: As `principal_of`.
    """
    return _admission_of(request).end_user


def _admission_of(request: web.BaseRequest) -> Admission:
    admission = request.get(ADMISSION)
    if not isinstance(admission, Admission):
        raise ConfigurationError(
            "no door has decided on this request, so its caller is not verified: put Invoker(app, door) in "
            "front of the application, and ask with the request that the handler gets"
        )
    return admission


class Invoker:
    """Puts the door in front of a whole application: routes, sub-applications, static files and websockets.

    It is the first middleware of the application, and the application does not start if another one was put
    before it later. A middleware that must run before the door, such as one that answers CORS preflights,
    which carry no credential, needs an explicit order:
    ``web.Application(middlewares=[cors, invoker_middleware(door)])`` in place of this class.

    Attributes:
        door: The door.
    """

    door: Final[BaseDoor]

    def __init__(self, app: web.Application, door: BaseDoor, *, public_prefix: str = "") -> None:
        """Guard an application.

        Args:
            app: The application, before it starts. Its sub-applications are guarded with it.
            door: The door.
            public_prefix: As for `invoker_middleware`.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, the prefix is not a path, or the
                application is not a `web.Application`, has started, or has a door already.
        """
        check_door(door, "Invoker(app, door)")
        if not isinstance(app, web.Application):
            raise ConfigurationError(
                f"Invoker(app, door) needs the application itself, not {type(app).__name__}"
            )
        if app.frozen:
            raise ConfigurationError("the application has started: call Invoker(app, door) before it does")
        if _APP in app:
            raise ConfigurationError("the application has a door already: call Invoker once for it")
        middleware = invoker_middleware(door, public_prefix=public_prefix)
        app.middlewares.insert(0, middleware)
        app[_APP] = self
        self.door = door
        self._middleware: Final = middleware
        app.on_startup.insert(0, self._check_order)

    async def _check_order(self, app: web.Application) -> None:
        if app.middlewares[0] is not self._middleware:
            raise ConfigurationError(
                "a middleware was put before the door: append it, or say the order with "
                "web.Application(middlewares=[..., invoker_middleware(door)]) in place of Invoker"
            )


_APP: Final = web.AppKey("doorward", Invoker)


def invoker_middleware(door: BaseDoor, *, public_prefix: str = "") -> Middleware:
    """Make the middleware that passes admitted requests on, and answers the others itself.

    Args:
        door: The door.
        public_prefix: The part of the path that a proxy in front cuts off, where conditions name the path
            with it, such as ``/api``; empty where conditions name the path that the application receives.

    Returns:
        The middleware, for ``web.Application(middlewares=[...])``.

    Raises:
        ConfigurationError: If the door is not a `doorward.Door`, or the prefix is not a path.
    """
    check_door(door, "invoker_middleware(door)")
    check_public_prefix(public_prefix)

    @web.middleware
    async def decide(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = [(name.lower(), value) for name, value in request.raw_headers]
        outcome: Admission | Refusal | None = door.admit_cached(headers, request.method, request.path)
        if outcome is None:
            outcome = await door.aadmit(headers, AiohttpRequest(request, public_prefix))
        if isinstance(outcome, Refusal):
            return _response_to(outcome, request.method)
        passed = request.clone(headers=CIMultiDict((_text(n), _text(v)) for n, v in outcome.headers))
        passed[ADMISSION] = outcome
        passed[_DOOR] = door
        return await handler(passed)

    show_door(decide, door)
    return decide


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[[_View], _View]:
    """Let only some of the callers that the door admits into a handler; the others get its 403.

    It decorates handlers, methods that are handlers, methods of a `web.View`, and a whole `web.View`. It
    stands below the decorator that makes the route::

        @routes.get("/reports")
        @only(service_accounts)
        async def reports(request): ...

    Args:
        predicate: Returns True for a caller that may use the handler.
        members: In place of it, the members of IAM that may.

    Returns:
        The decorator.

    Raises:
        ConfigurationError: If neither or both are given, or one cannot decide; or if what it decorates is
            neither a coroutine function that takes a request, nor a view.
    """
    callers = Narrowing(predicate, members)

    def narrow(view: _View) -> _View:
        same: Any = view
        if isinstance(same, type) and issubclass(same, AbstractView):
            _narrow_in_place(same, callers)
            return view
        if not inspect.iscoroutinefunction(same) or not inspect.signature(same).parameters:
            raise ConfigurationError(
                f"only(...) decorates a coroutine function that takes a request, or a web.View, not {view!r}"
            )
        return narrowed(view, callers, _find, _answer)

    return narrow


def _narrow_in_place(view: type[AbstractView], callers: Narrowing) -> None:
    """Narrow a class of views: in itself, since it may be routed, and derived from, under its own name."""
    respond: _Await = view.__await__
    narrowing: Any = _narrowed_await(respond, callers)
    view.__await__ = narrowing  # type: ignore[method-assign]


def _narrowed_await(respond: _Await, callers: Narrowing) -> _Await:
    def narrow(view: AbstractView) -> Generator[Any, None, web.StreamResponse]:
        request, carrier, facts = _find(view)
        refusal = callers.refusal_of(carrier, facts)
        if refusal is not None:
            return _response_to(refusal, request.method)
        return (yield from respond(view))

    return narrow


def _find(*args: object, **kwargs: object) -> tuple[web.BaseRequest, Mapping[str, Any], AiohttpRequest]:
    """Find the request of a handler: its last argument, or that of the view whose method it is."""
    found = kwargs.get("request", args[-1] if args else None)
    request = found.request if isinstance(found, AbstractView) else found
    if not isinstance(request, web.BaseRequest):
        raise ConfigurationError(
            f"what only(...) decorates was called with {type(found).__name__} in place of a request"
        )
    carrier = {shared.ADMISSION: _admission_of(request), shared.DOOR: request.get(_DOOR)}
    return request, carrier, AiohttpRequest(request)


def _answer(refusal: Refusal, request: web.BaseRequest) -> web.Response:
    return _response_to(refusal, request.method)


def add_readiness(app: web.Application, door: BaseDoor, path: str = READINESS_PATH) -> None:
    """Answer readiness probes: 200 if the door can decide now, else 503, with what is not ready as JSON.

    Args:
        app: The application, before a route is added to it that takes every path.
        door: The door. If it stands in front of the application, it must exempt the path:
            ``exempt=[("GET", "/readyz")]``.
        path: The path of the probe.

    Raises:
        ConfigurationError: If the door is not a `doorward.Door`.
    """
    check_door(door, "add_readiness(app, door)")

    async def answer(request: web.Request) -> web.Response:
        status, headers, body = readiness_answer(door, request.method)
        return web.Response(status=status, headers=CIMultiDict(headers), body=body)

    app.router.add_get(path, answer)


class AiohttpRequest:
    """The facts of a request that a policy may ask for, each computed when it is read."""

    __slots__ = ("_public_prefix", "_request")

    def __init__(self, request: web.BaseRequest, public_prefix: str = "") -> None:
        """Make the facts of a request.

        Args:
            request: The request.
            public_prefix: What a proxy in front cuts off the path that conditions name.
        """
        self._request = request
        self._public_prefix = public_prefix

    @property
    def method(self) -> str:
        """The method; ``GET`` for a websocket."""
        return self._request.method

    @property
    def path(self) -> str:
        """The whole decoded path."""
        return self._request.path

    @property
    def sent_path(self) -> str:
        """The path as sent, without the query."""
        target = self._request.raw_path
        return target.partition("?")[0] if target.startswith("/") else self._request.rel_url.raw_path

    @property
    def readings(self) -> tuple[str, ...]:
        """Every path by which the application could route the request."""
        return readings_of(self.path, self.sent_path, (), self._public_prefix)

    @property
    def websocket(self) -> bool:
        """Whether a handler could open a websocket with it, by aiohttp's own test."""
        return web.WebSocketResponse().can_prepare(self._request).ok

    @property
    def host(self) -> str:
        """The host that the Host header names."""
        headers = self._request.raw_headers
        return host_name(next((value for name, value in headers if name.lower() == b"host"), b""))


def _text(raw: bytes) -> str:
    # A clone encodes its headers anew, which what aiohttp makes of other bytes (surrogates) would not allow.
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _response_to(refusal: Refusal, method: str) -> web.Response:
    headers = CIMultiDict((_text(name), _text(value)) for name, value in refusal.headers)
    return web.Response(status=refusal.status, body=body_of(refusal, method), headers=headers)
