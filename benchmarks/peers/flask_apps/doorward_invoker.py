"""doorward, in front of the whole app."""

from __future__ import annotations

from doorward_integrations.flask import Invoker
from peers.flask_apps.bare import app
from peers.http_door import door

__all__ = ["app"]

Invoker(app, door())
