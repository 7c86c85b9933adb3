"""Identity-Aware Proxy: the assertion that it adds to every request that it admits.

From https://cloud.google.com/iap/docs/signed-headers-howto. The assertion stands in a header of its own,
without ``Bearer``: give a door ``credential=find_iap_assertion``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doorward.issuers.issuer import Identity, Issuer

__all__ = ["IAP"]

_GOOGLE_SUBJECT: Final = "accounts.google.com:"


def _identify(claims: Mapping[str, object]) -> Identity:
    """Distinguish a Google identity from an external one, of Identity Platform or of a workforce pool.

    The proxy has authenticated its user: ``email`` is believed without ``email_verified``, which its tokens
    do not have. That holds for Google identities only: an external one has ``gcip``, and the name of its
    token issuer before ``sub`` and ``email``.
    """
    sub, email, domain = claims.get("sub"), claims.get("email"), claims.get("hd")
    if type(sub) is not str or not sub.startswith(_GOOGLE_SUBJECT) or "gcip" in claims:
        return Identity(None, google_account=False, external=True)
    # Never against what the token itself says.
    vouched = isinstance(email, str) and ":" not in email and claims.get("email_verified", True) is True
    return Identity(
        email if isinstance(email, str) and vouched else None,
        google_account=True,
        hosted_domain=domain if isinstance(domain, str) else None,
    )


IAP: Final = Issuer(
    name="iap",
    iss_values=("https://cloud.google.com/iap",),
    key_url="https://www.gstatic.com/iap/verify/public_key-jwk",
    algorithms=("ES256",),
    # Ten minutes and twice the skew of 30 s is the longest that is documented; a verifier's leeway, added to
    # every lifetime, is the other half of that.
    max_lifetime=630.0,
    identify=_identify,
)
"""Identity-Aware Proxy: for users that it admitted, at a service that can also be reached without it."""
