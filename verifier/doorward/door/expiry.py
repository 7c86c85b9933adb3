"""Until when the tokens behind an admission are good, for connections that outlive the decision."""

from __future__ import annotations

from collections.abc import Callable

from doorward.door.admission import Admission
from doorward.door.door import Door
from doorward.issuers.claim_rule import numeric_date
from doorward.tokens.principal import Principal
from doorward.tokens.verifier import Verifier, engine_of

__all__ = ["clock_of", "expires_at"]


def clock_of(door: Door) -> Callable[[], float]:
    """Return the clock by which a door decides, in seconds since the epoch.

    Args:
        door: The door.
    """
    return engine_of(door.verifier).clock


def expires_at(door: Door, admission: Admission) -> float | None:
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
        ends.append(_end_of(admission.principal, door.verifier))
    if admission.end_user is not None and door.end_user_verifier is not None:
        ends.append(_end_of(admission.end_user, door.end_user_verifier))
    return min(ends, default=None)


def _end_of(principal: Principal, verifier: Verifier) -> float:
    # The leeway is a setting of the verifier, the same for all of its issuers.
    leeway = engine_of(verifier).issuers[0].expectations.leeway
    return numeric_date(principal.claims, "exp") + leeway
