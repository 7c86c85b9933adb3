"""doorward, in front of the whole app."""

from __future__ import annotations

from doorward_integrations.fastapi import InvokerMiddleware
from peers.fastapi_apps.bare import app
from peers.http_door import door

__all__ = ["app"]

app.add_middleware(InvokerMiddleware, door=door())
