"""A rule that the claims of a token must keep, and what such a rule is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from doorward.errors import ClaimError, Reason

__all__ = ["ClaimRule", "numeric_date", "refuse"]

ClaimRule = Callable[[Mapping[str, object], float, float], None]
"""A rule of one issuer's own: it takes the claims, the leeway in seconds and the time in seconds since the
epoch. It raises `ClaimError`, as `refuse` does, or returns None. Claims are read-only; arrays in them are
tuples."""

_LATEST: Final = 253_402_300_800  # the year 10000; beyond it, date arithmetic fails


def refuse(reason: Reason, claim: str, message: str) -> NoReturn:
    """Refuse a token for one of its claims.

    Args:
        reason: The stable code.
        claim: The name of the claim.
        message: A sentence for the log.

    Raises:
        ClaimError: Always.
    """
    raise ClaimError(reason, message, claim)


def numeric_date(claims: Mapping[str, object], name: str) -> float:
    """Read a NumericDate (RFC 7519, section 2): a number, not text, not a boolean, before the year 10000.

    Args:
        claims: The payload.
        name: The name of the claim.

    Returns:
        Seconds since the epoch.

    Raises:
        ClaimError: If the claim is missing, or is no such number.
    """
    value = claims.get(name)
    if type(value) is int or type(value) is float:
        if 0 <= value < _LATEST:
            return value
        refuse(Reason.CLAIM_INVALID, name, f"'{name}' is out of range")
    if name in claims:
        refuse(Reason.CLAIM_INVALID, name, f"'{name}' must be a number, not {type(value).__name__}")
    refuse(Reason.CLAIM_MISSING, name, f"the token has no '{name}'")
