"""Behind a middleware that does nothing."""

from __future__ import annotations

from peers.apps import Nothing
from peers.fastapi_apps.bare import app

__all__ = ["app"]

app.add_middleware(Nothing)
