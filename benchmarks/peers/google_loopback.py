"""The work of google-auth's ``verify_oauth2_token``, with certificates from a configured address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import google.auth.exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from peers.settings import Settings

__all__ = ["REFUSALS", "verify_oauth2_token"]

REFUSALS = (ValueError, KeyError, google.auth.exceptions.GoogleAuthError)

_settings = Settings.here()
_issuers = {_settings.issuer, _settings.issuer.removeprefix("https://")}


def verify_oauth2_token(token: str, request: Request, audience: str) -> Mapping[str, Any]:
    """Verify a token, and its issuer too."""
    claims: Mapping[str, Any] = id_token.verify_token(
        token, request, audience=audience, certs_url=_settings.certificates_url
    )
    if claims["iss"] not in _issuers:
        raise ValueError("wrong issuer")
    return claims
