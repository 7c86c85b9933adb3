"""The service in Django, with an included set of paths; for both interfaces."""

from __future__ import annotations

import inspect
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from doorward import Door
from support.conformance.answers import answer

__all__ = ["asynchronous", "blocking", "configure", "paths"]


def configure(door: Door, urls: str) -> None:
    """Set Django up, once in a process."""
    settings.configure(
        ALLOWED_HOSTS=["*"],
        APPEND_SLASH=False,
        DOORWARD_DOOR=door,
        INSTALLED_APPS=["doorward_integrations.django.DoorwardConfig"],
        MIDDLEWARE=[
            "doorward_integrations.django.InvokerMiddleware",
            "django.middleware.common.CommonMiddleware",
        ],
        ROOT_URLCONF=urls,
        SECRET_KEY="a secret of the tests",
    )
    django.setup()


def _response(handler: str, request: Any) -> HttpResponse:
    shown = answer(handler, request.principal, request.method, request.headers.get, request.body)
    return HttpResponse(shown, content_type="application/json")


def blocking(handler: str) -> Any:
    """Return the view of a handler."""

    def view(request: HttpRequest, rest: str = "") -> HttpResponse:
        return _response(handler, request)

    return view


def asynchronous(handler: str) -> Any:
    """Return the view of a handler, as a coroutine function."""

    async def view(request: HttpRequest, rest: str = "") -> HttpResponse:
        return _response(handler, request)

    assert inspect.iscoroutinefunction(view)
    return view


def paths(view: Any) -> list[Any]:
    """Return the routes of the service."""
    return [
        path("orders", view("orders")),
        path("orders/<path:rest>", view("orders")),
        path("healthz", view("health")),
        path("sub/", include([path("orders", view("sub"))])),
    ]
