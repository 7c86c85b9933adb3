"""Until when the tokens behind an admission are good, for connections that outlive the decision."""

from __future__ import annotations

from doorward.door.admission import Admission
from doorward.door.base import BaseDoor
from doorward.issuers.claim_rule import numeric_date
from doorward.tokens.verifier import engine_of

__all__ = ["expires_at"]


def expires_at(door: BaseDoor, admission: Admission) -> float | None:
    """Return until when the tokens of an admission are good: of the caller, and of the end user.

    Args:
        door: The door that has admitted.
        admission: Its admission.

    Returns:
        When the first of them is refused as expired, in seconds since the epoch, leeway included; None if
        there is no token.
    """
    ends = []
    if not admission.principal.anonymous:
        ends.append(numeric_date(admission.principal.claims, "exp") + door.leeway)
    if admission.end_user is not None and door.end_user_verifier is not None:
        end = numeric_date(admission.end_user.claims, "exp")
        ends.append(end + engine_of(door.end_user_verifier).leeway)
    return min(ends, default=None)
