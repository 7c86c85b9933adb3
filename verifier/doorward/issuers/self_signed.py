"""A service account that signs tokens with its own key, without Google in between."""

from __future__ import annotations

import re
from collections.abc import Mapping

from doorward.errors import ConfigurationError, Reason
from doorward.issuers.claim_rule import refuse
from doorward.issuers.issuer import Identity, Issuer
from doorward.issuers.service_accounts import is_service_account

__all__ = ["service_account_issuer"]


def _check_subject(claims: Mapping[str, object], _leeway: float, _now: float) -> None:
    if claims.get("sub") != claims.get("iss"):
        refuse(
            Reason.CLAIM_INVALID, "sub", "'sub' must be 'iss' in a token that a service account signed itself"
        )


def service_account_issuer(email: str) -> Issuer:
    """Make the issuer that a service account is by its own key.

    Such a token is a JWT that the account has signed for itself: ``iss`` and ``sub`` are its address. The
    holder of one of its keys, or of the permission to call ``signJwt`` for it, makes tokens with any audience
    and any other claim; none of those claims is believed.

    Args:
        email: The address of the account.

    Returns:
        The issuer.

    Raises:
        ConfigurationError: If it is not the address of a service account, in lower case.
    """
    if (
        not isinstance(email, str)
        or not is_service_account(email)
        or not re.fullmatch(r"[a-z0-9-]+@[a-z0-9.-]+", email)
    ):
        raise ConfigurationError(
            f"{email!r} is not the address of a service account in lower case, "
            "such as NAME@PROJECT.iam.gserviceaccount.com"
        )
    # Its identity is the account itself: the account alone wrote everything else in its tokens.
    identity = Identity(email, google_account=True)
    return Issuer(
        name=email,
        iss_values=(email,),
        key_url=f"https://www.googleapis.com/service_accounts/v1/jwk/{email}",
        extra_rules=(_check_subject,),
        identify=lambda _claims: identity,
    )
