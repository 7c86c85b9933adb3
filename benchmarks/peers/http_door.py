"""doorward's door as a service makes it: keys from an endpoint, and one service account that may invoke."""

from __future__ import annotations

from doorward import Door, InvokerPolicy, Issuer, Verifier
from peers.settings import Settings

__all__ = ["door"]


def door(token_cache_size: int | None = None) -> Door:
    """Make a door.

    Args:
        token_cache_size: The number of tokens that its verifier caches at most; by default, the default of
            `Verifier`.
    """
    settings = Settings.here()
    google = Issuer(
        name="google", iss_values=(settings.issuer,), key_url=settings.keys_url, google_accounts=True
    )
    verifier = (
        Verifier(settings.audience, issuers=[google])
        if token_cache_size is None
        else Verifier(settings.audience, issuers=[google], token_cache_size=token_cache_size)
    )
    return Door(verifier, InvokerPolicy.from_members([f"serviceAccount:{settings.caller}"]))
