"""The adapters, as rows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from support.conformance.doors import make_door
from support.conformance.table import FOLDED_NAMES, NO_CHUNKS, Gives

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
        decodes: As of a `Server`.
        loses: The rows whose path it cannot show as it was sent, where it has the decoded one alone.
        servers: The servers on which it is tried; all of its interface, if there are none.
    """

    name: str
    interface: str
    module: str
    websockets: bool = False
    gives: Gives = field(default_factory=dict)
    decodes: bool = False
    loses: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset()


# Applications behind an adapter that is tried on every server.
_FEW = frozenset({"uvicorn-h11", "hypercorn"})

ADAPTERS = (
    Adapter("asgi", "asgi", "plain_asgi", websockets=True),
    Adapter("starlette", "asgi", "starlette_app", websockets=True),
    Adapter("fastapi", "asgi", "fastapi_app", websockets=True),
    Adapter("django-async", "asgi", "django_asgi"),
    Adapter("quart", "asgi", "quart_app", websockets=True, servers=_FEW),
    Adapter("litestar", "asgi", "litestar_app", websockets=True, servers=_FEW),
    Adapter(
        "flask-under-asgi",
        "asgi",
        "flask_asgi_app",
        # The bridge gives no more than WSGI asks for.
        gives=FOLDED_NAMES | NO_CHUNKS,
        decodes=True,
        loses=frozenset({"no UTF-8"}),
        servers=_FEW,
    ),
    Adapter("wsgi", "wsgi", "plain_wsgi"),
    Adapter("flask", "wsgi", "flask_app"),
    Adapter(
        "django",
        "wsgi",
        "django_wsgi",
        # Django writes "%FF" for a byte that is no text.
        gives=NO_CHUNKS,
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
