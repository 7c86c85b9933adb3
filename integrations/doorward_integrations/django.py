"""The door in front of a Django application, under WSGI and under ASGI.

In the settings::

    INSTALLED_APPS = ["doorward_integrations.django.DoorwardConfig", ...]
    MIDDLEWARE = ["doorward_integrations.django.InvokerMiddleware", ...]  # the first one
    DOORWARD_DOOR = "orders.doors.door"  # a Door, or where it is

In a view::

    def orders(request):
        return HttpResponse(f"Hello, {request.principal}")  # or principal_of(request)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from doorward import Admission, ConfigurationError, Principal, Refusal
from doorward.door.base import BaseDoor
from doorward.door.credentials import RawHeaders
from doorward.extras import needs_extra
from doorward.policy.paths import check_public_prefix
from doorward.policy.request import RequestFacts
from doorward_integrations import admission as shared
from doorward_integrations.admission import ADMISSION, DOOR
from doorward_integrations.asgi import AsgiRequest
from doorward_integrations.narrowing import Narrowing, Predicate, narrowed, service_accounts
from doorward_integrations.readiness import readiness_answer
from doorward_integrations.refusal import body_of
from doorward_integrations.wsgi import WsgiRequest, environ_key, headers_of

with needs_extra("django"):
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.apps import AppConfig
    from django.conf import settings
    from django.core import checks
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from django.utils.module_loading import import_string

__all__ = [
    "DoorwardConfig",
    "InvokerMiddleware",
    "check_settings",
    "configured_door",
    "end_user_of",
    "only",
    "principal_of",
    "readiness",
    "service_accounts",
]

_NAME: Final = "doorward_integrations.django.InvokerMiddleware"
_MAY_STAND_BEFORE: Final = frozenset({"corsheaders.middleware.CorsMiddleware"})
"""What answers preflights, which carry no credential, and adds its headers to a refusal."""

_View = TypeVar("_View", bound=Callable[..., Any])
_Respond = Callable[[HttpRequest], "HttpResponseBase | Awaitable[HttpResponseBase]"]


def principal_of(request: HttpRequest) -> Principal:
    """Return the verified caller of a request that the door has admitted.

    Args:
        request: The request.

    Returns:
        The principal; the anonymous one where the policy admits a request without a verified caller.

    Raises:
        ConfigurationError: If no door has decided on the request.
    """
    carrier: Any = request
    return shared.principal_of(carrier)


def end_user_of(request: HttpRequest) -> Principal | None:
    """Return the verified user on whose behalf the caller calls.

    Args:
        request: As for `principal_of`.

    Returns:
        The user, never the caller itself; None if there is none, or the door looks for none.

    Raises:
        ConfigurationError: As `principal_of`.
    """
    carrier: Any = request
    return shared.end_user_of(carrier)


class InvokerMiddleware:
    """Passes admitted requests on, and answers the others itself.

    Views find the caller in ``request.principal``; ``request.META`` and ``request.headers`` have the token
    without its signature. Where views and middleware are asynchronous, so is this one.

    Attributes:
        door: The door.
    """

    sync_capable: Final = True
    async_capable: Final = True
    door: Final[BaseDoor]

    def __init__(self, get_response: _Respond) -> None:
        """Put the door of the settings in front.

        Args:
            get_response: What answers an admitted request: the next middleware, or the view.

        Raises:
            ConfigurationError: If ``DOORWARD_DOOR`` is no door, or ``DOORWARD_PUBLIC_PREFIX`` is not a path.
        """
        self.door = configured_door()
        self._public_prefix: Final = _public_prefix()
        self._get_response: Final[Any] = get_response
        self._asynchronous: Final[bool] = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Decide on one request.

        Args:
            request: The request; ``principal`` is added to it.

        Returns:
            The response, or what to await for it.
        """
        if self._asynchronous:
            return self._respond(request)
        headers = _headers(request)
        outcome: Admission | Refusal | None = self._admit_cached(request, headers)
        if outcome is None:
            outcome = self.door.admit(headers, _facts(request, self._public_prefix))
        if isinstance(outcome, Refusal):
            return _response_to(outcome, request.method or "GET")
        _hand_over(request, headers, outcome, self.door)
        response: HttpResponseBase = self._get_response(request)
        return response

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        headers = _headers(request)
        outcome: Admission | Refusal | None = self._admit_cached(request, headers)
        if outcome is None:
            outcome = await self.door.aadmit(headers, _facts(request, self._public_prefix))
        if isinstance(outcome, Refusal):
            return _response_to(outcome, request.method or "GET")
        _hand_over(request, headers, outcome, self.door)
        response: HttpResponseBase = await self._get_response(request)
        return response

    def _admit_cached(self, request: HttpRequest, headers: RawHeaders) -> Admission | None:
        return self.door.admit_cached(headers, request.method or "GET", request.path)


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[[_View], _View]:
    """Let only some of the callers that the door admits into a view; the others get its 403.

    It decorates view functions, sync or async; the methods of a class by Django's ``method_decorator``.

    Args:
        predicate: Returns True for a caller that may use the view.
        members: In place of it, the members of IAM that may.

    Returns:
        The decorator.

    Raises:
        ConfigurationError: If neither or both are given, one cannot decide, or it decorates no function.
    """
    callers = Narrowing(predicate, members)
    needs = "a view function: for the methods of a class use method_decorator(only(...))"

    def narrow(view: _View) -> _View:
        # The mark by which Django knows an asynchronous view of a class is asgiref's.
        return narrowed(view, callers, _find, _answer, asynchronous=iscoroutinefunction(view), needs=needs)

    return narrow


def _find(
    request: Any,  # noqa: ANN401 - of two classes
    *_args: object,
    **_kwargs: object,
) -> tuple[HttpRequest, Mapping[str, Any], RequestFacts]:
    carrier = request.scope if hasattr(request, "scope") else request.environ
    return request, carrier, _facts(request, "")


def _answer(refusal: Refusal, request: HttpRequest) -> HttpResponse:
    return _response_to(refusal, request.method or "GET")


def readiness(request: HttpRequest) -> HttpResponse:
    """Answer a readiness probe: 200 if the door can decide now, else 503, with what is not ready as JSON.

    It is a view, ``path("readyz", readiness)``, and the door must exempt its path:
    ``exempt=[("GET", "/readyz")]``.

    Args:
        request: The request.

    Returns:
        The response.
    """
    status, headers, body = readiness_answer(configured_door(), request.method or "GET")
    return HttpResponse(body, status=status, headers=dict(headers))


def _headers(request: Any) -> RawHeaders:  # noqa: ANN401 - of two classes
    """Return the headers of a request, from what the server gave."""
    scope = getattr(request, "scope", None)
    return headers_of(request.environ) if scope is None else scope["headers"]


def _facts(request: Any, public_prefix: str) -> RequestFacts:  # noqa: ANN401 - of two classes
    """Return the facts of a request, from what the server gave."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        return AsgiRequest(scope, request.META["SCRIPT_NAME"], public_prefix)
    # Django has written the decoded paths into the environ, where WSGI has bytes as text (PEP 3333).
    paths = {name: request.META[name].encode().decode("latin-1") for name in ("SCRIPT_NAME", "PATH_INFO")}
    return WsgiRequest(request.environ | paths, public_prefix)


def _hand_over(request: Any, before: RawHeaders, admission: Admission, door: BaseDoor) -> None:  # noqa: ANN401
    """Give a request the headers and the caller of its admission, wherever a view could look."""
    for key in {environ_key(name) for name, _ in set(before) ^ set(admission.headers)}:
        # Names with '_' are not in META under ASGI, except in a Django that lacks a security release; under
        # WSGI there are none.
        values = [value for name, value in admission.headers if environ_key(name) == key and b"_" not in name]
        if values:
            request.META[key] = b",".join(values).decode("latin-1")
        else:
            request.META.pop(key, None)
    request.__dict__.pop("headers", None)  # what was read from META before
    admitted = {ADMISSION: admission, DOOR: door}
    if hasattr(request, "scope"):
        request.scope = {**request.scope, "headers": admission.headers, **admitted}
    else:
        request.environ.update(admitted)
    request.principal = admission.principal


def _response_to(refusal: Refusal, method: str) -> HttpResponse:
    response = HttpResponse(body_of(refusal, method), status=refusal.status)
    del response.headers["Content-Type"]  # Django's own, which a style need not have
    for name, value in refusal.headers:
        response.headers[name.decode("latin-1")] = value.decode("latin-1")
    return response


def configured_door() -> BaseDoor:
    """Return the door of the settings.

    Returns:
        What ``DOORWARD_DOOR`` is, or names.

    Raises:
        ConfigurationError: If it is no door.
    """
    given = getattr(settings, "DOORWARD_DOOR", None)
    if isinstance(given, str):
        try:
            given = import_string(given)
        except ImportError as error:
            raise ConfigurationError(f"DOORWARD_DOOR={given!r} cannot be imported: {error}") from error
    if not isinstance(given, BaseDoor):
        raise ConfigurationError(
            f"DOORWARD_DOOR must be a Door, or where it is, such as 'orders.doors.door', not "
            f"{type(given).__name__}"
        )
    return given


def _public_prefix() -> str:
    return check_public_prefix(getattr(settings, "DOORWARD_PUBLIC_PREFIX", ""))


class DoorwardConfig(AppConfig):
    """The application for ``INSTALLED_APPS``, which adds the checks of ``manage.py check``."""

    name = "doorward_integrations"
    label = "doorward"

    def ready(self) -> None:
        """Add the checks."""
        checks.register(check_settings, checks.Tags.security)


def check_settings(**_options: object) -> list[checks.CheckMessage]:
    """Check that the door stands in front of everything, and can be made.

    Args:
        **_options: What Django passes to every check.

    Returns:
        What is wrong: ``doorward.E001`` if there is not exactly one door in ``MIDDLEWARE``, ``doorward.E002``
        if its settings are wrong, and ``doorward.W001`` if another middleware stands before it. The one of
        django-cors-headers may.
    """
    found: list[checks.CheckMessage] = []
    names = list(settings.MIDDLEWARE)
    if names.count(_NAME) != 1:
        found.append(
            checks.Error(
                f"MIDDLEWARE has {names.count(_NAME)} doors in place of one.",
                hint=f"Put {_NAME!r} first in MIDDLEWARE, once.",
                id="doorward.E001",
            )
        )
    for read in (configured_door, _public_prefix):
        try:
            read()
        except ConfigurationError as error:
            found.append(checks.Error(str(error), id="doorward.E002"))
    before = names[: names.index(_NAME)] if _NAME in names else []
    before = [name for name in before if name not in _MAY_STAND_BEFORE]
    if before:
        found.append(
            checks.Warning(
                f"These run before the door, for requests that it would refuse: {', '.join(before)}.",
                hint=f"Put {_NAME!r} first in MIDDLEWARE.",
                id="doorward.W001",
            )
        )
    return found
