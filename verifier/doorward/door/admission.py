"""What a door returns for a request that it admits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from doorward.policy.decision import Decision
from doorward.tokens.principal import Principal

__all__ = ["EXEMPT", "Admission", "AdmissionForUser"]

EXEMPT: Final = Decision(granted=True)
"""The decision on every request that is admitted unread; it is known by its identity."""


@dataclass(slots=True)  # made for each request: to seal it would take longer than to make it
class Admission:
    """A request that is admitted.

    Attributes:
        principal: The caller; anonymous where the policy admits everyone and no caller was verified.
        headers: The headers for the application, in the order they came.
        decision: What the policy granted it by.
    """

    principal: Principal
    headers: list[tuple[bytes, bytes]]
    decision: Decision

    @property
    def end_user(self) -> Principal | None:
        """The verified user on whose behalf the caller calls, if the door was given ``end_user``; else None.

        It is never the caller: what the policy has admitted is `principal`.
        """
        return None


@dataclass(slots=True)
class AdmissionForUser(Admission):
    """A request that is admitted, and that carries the verified token of an end user besides.

    A class of its own, so that requests without one are not made slower by it.

    Attributes:
        user: The end user.
    """

    user: Principal

    @property
    def end_user(self) -> Principal | None:
        """The verified user on whose behalf the caller calls."""
        return self.user
