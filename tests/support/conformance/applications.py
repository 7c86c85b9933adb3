"""The adapters, as rows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from support.conformance.doors import make_door
from support.conformance.table import SEEN, Gives

__all__ = ["ADAPTERS", "Adapter", "make_all"]


@dataclass(frozen=True)
class Adapter:
    """One adapter.

    Attributes:
        name: Its name, which is the host of its requests.
        interface: How a server calls it: ``asgi``, ``wsgi``, or in the one way of its framework.
        module: The module in ``apps`` that makes the service with it.
        websockets: Whether its service has websockets.
        gives: What its framework makes of some rows of the table, as in a `Server`.
        loses: The rows whose path it cannot show as it was sent, where a server gives the decoded one.
    """

    name: str
    interface: str
    module: str
    websockets: bool = False
    gives: Gives = field(default_factory=dict)
    loses: frozenset[str] = frozenset()


ADAPTERS = (
    Adapter("asgi", "asgi", "plain_asgi", websockets=True),
    Adapter("starlette", "asgi", "starlette_app", websockets=True),
    Adapter("fastapi", "asgi", "fastapi_app", websockets=True),
    Adapter("django-async", "asgi", "django_asgi"),
    Adapter("wsgi", "wsgi", "plain_wsgi"),
    Adapter("flask", "wsgi", "flask_app"),
    Adapter(
        "django",
        "wsgi",
        "django_wsgi",
        # Django reads no more than Content-Length says, and writes "%FF" for a byte that is no text.
        gives={"chunked body": {"seen": SEEN | {"body": ""}}},
        loses=frozenset({"no UTF-8"}),
    ),
    Adapter("aiohttp", "aiohttp", "aiohttp_app", websockets=True),
    Adapter("function", "function", "function_http"),
    Adapter("function", "async function", "function_aio"),
)


def make_all(interface: str) -> dict[str, Any]:
    """Make the guarded application of every adapter of an interface, by its name."""
    made = {}
    for adapter in ADAPTERS:
        if adapter.interface == interface:
            module = importlib.import_module(f"support.conformance.apps.{adapter.module}")
            made[adapter.name] = module.make(make_door())
    return made
