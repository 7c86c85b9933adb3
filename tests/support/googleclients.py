"""Google's client for Python, which has no types: each of its parts as a test uses it."""

from __future__ import annotations

import importlib
from typing import Any

impersonated_credentials: Any = importlib.import_module("google.auth.impersonated_credentials")
service_account: Any = importlib.import_module("google.oauth2.service_account")


def refresh(credentials: Any) -> str:
    """Have credentials get a token, and return it."""
    transport: Any = importlib.import_module("google.auth.transport.requests")
    credentials.refresh(transport.Request())
    return str(credentials.token)
