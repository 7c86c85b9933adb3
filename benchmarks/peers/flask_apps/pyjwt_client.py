"""PyJWT with its key client."""

from __future__ import annotations

from typing import Any

import jwt

from peers.flask_apps.bare import app
from peers.flask_apps.bearer import guard
from peers.settings import Settings

__all__ = ["app"]

settings = Settings.here()
keys = jwt.PyJWKClient(settings.keys_url)


def verify(token: str) -> dict[str, Any]:
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["RS256"],
        audience=settings.audience,
        issuer=settings.issuer,
        options={"require": ["exp", "iss", "aud"]},
    )


guard(app, verify, (jwt.PyJWTError,))
