"""The service in Flask, under ASGI."""

from __future__ import annotations

from typing import Any

from asgiref.wsgi import WsgiToAsgi

from doorward import Door
from support.conformance.apps import flask_app

__all__ = ["make"]


def make(door: Door) -> Any:
    """Return the guarded application."""
    bridge: Any = WsgiToAsgi
    return bridge(flask_app.make(door))
