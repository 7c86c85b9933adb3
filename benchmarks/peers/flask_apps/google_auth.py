"""google-auth as documented: a request object made on the spot, and certificates fetched for each token."""

from __future__ import annotations

from google.auth.transport import requests

from peers.flask_apps.bare import app
from peers.flask_apps.bearer import guard
from peers.google_loopback import REFUSALS, verify_oauth2_token
from peers.settings import Settings

__all__ = ["app"]

settings = Settings.here()
guard(app, lambda token: verify_oauth2_token(token, requests.Request(), settings.audience), REFUSALS)
