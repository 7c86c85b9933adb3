"""The paths of the emulator's own endpoints, which no Google host has, and the header that they need."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CONTROL_HEADER",
    "CONTROL_VALUE",
    "DECISIONS_PATH",
    "FOLLOW_PATH",
    "HEALTH_PATH",
    "KEYS_PATH",
    "KEY_FILES_PATH",
    "OIDC_PATH",
    "PAGE_PATH",
    "TOKENS_PATH",
]

CONTROL_HEADER: Final = "X-Doorward-Emulator"
"""The header that a request must have: no web page of another site can add it without being asked first."""

CONTROL_VALUE: Final = "1"
"""Its value, the same for all requests."""

HEALTH_PATH: Final = "/healthz"
"""Where it is said that this is an emulator; for any client, without the header."""

_PREFIX: Final = "/doorward/v1"

TOKENS_PATH: Final = f"{_PREFIX}/tokens"
"""Where tokens are minted."""

KEYS_PATH: Final = f"{_PREFIX}/keys"
"""Where keys are listed; with ``:rotate`` or ``:revoke`` behind it, they are rotated or revoked."""

KEY_FILES_PATH: Final = f"{_PREFIX}/accounts/{{account}}/keys"
"""Where a key file of an account is made."""

FOLLOW_PATH: Final = f"{_PREFIX}/policies:follow"
"""Where a door asks for the next policy; ``seen`` is the number of the one that it has taken."""

DECISIONS_PATH: Final = f"{_PREFIX}/decisions"
"""Where decisions of doors are taken, and listed."""

PAGE_PATH: Final = f"{_PREFIX}/page"
"""What the paths begin with that only the page at the root asks for."""

OIDC_PATH: Final = f"{_PREFIX}/oidc"
"""What the paths of OpenID Connect issuers begin with; for any client, without the header."""
