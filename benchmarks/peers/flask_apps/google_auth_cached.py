"""google-auth over CacheControl, which keeps the certificates."""

from __future__ import annotations

import cachecontrol
from google.auth.transport import requests
from requests import session

from peers.flask_apps.bare import app
from peers.flask_apps.bearer import guard
from peers.google_loopback import REFUSALS, verify_oauth2_token
from peers.settings import Settings

__all__ = ["app"]

settings = Settings.here()
request = requests.Request(session=cachecontrol.CacheControl(session()))
guard(app, lambda token: verify_oauth2_token(token, request, settings.audience), REFUSALS)
