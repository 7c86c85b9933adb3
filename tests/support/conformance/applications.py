"""The adapters, as rows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from support.conformance.doors import make_door

__all__ = ["ADAPTERS", "Adapter", "make_all"]


@dataclass(frozen=True)
class Adapter:
    """One adapter.

    Attributes:
        name: Its name, which is the host of its requests.
        interface: How a server calls it: ``asgi``, ``wsgi``, or as one of the two kinds of functions.
        module: The module in ``apps`` that makes the service with it.
        websockets: Whether its service has websockets.
    """

    name: str
    interface: str
    module: str
    websockets: bool = False


ADAPTERS = (
    Adapter("asgi", "asgi", "plain_asgi", websockets=True),
    Adapter("starlette", "asgi", "starlette_app", websockets=True),
    Adapter("fastapi", "asgi", "fastapi_app", websockets=True),
    Adapter("wsgi", "wsgi", "plain_wsgi"),
    Adapter("flask", "wsgi", "flask_app"),
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
