"""doorward's door as a service has it: keys from an endpoint, and one service account that may pass."""

from __future__ import annotations

from doorward import Door, InvokerPolicy, Issuer, Verifier
from peers.settings import Settings

__all__ = ["door"]


def door(remember: int | None = None) -> Door:
    """Make a door.

    Args:
        remember: How many tokens its verifier remembers; by default, as many as it does by default.
    """
    settings = Settings.here()
    google = Issuer(
        name="google", iss_values=(settings.issuer,), key_url=settings.keys_url, google_accounts=True
    )
    verifier = (
        Verifier(settings.audience, issuers=[google])
        if remember is None
        else Verifier(settings.audience, issuers=[google], token_cache_size=remember)
    )
    return Door(verifier, InvokerPolicy.from_members([f"serviceAccount:{settings.caller}"]))
