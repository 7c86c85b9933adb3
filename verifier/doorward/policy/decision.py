"""What a policy says of a principal, and what a condition is to it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from doorward.keys.flight import Flight
from doorward.policy.request import RequestFacts

__all__ = ["BindingCondition", "Decision"]


class Decision(NamedTuple):
    """What a policy says of a principal.

    Attributes:
        granted: Whether the principal may invoke.
        member: The member of the policy that it matched; None where none did, or the check is switched off.
        role: The role that grants it; None where none does.
        lasting: Whether it is the same for every request at any time, so that it may be remembered.
        denied_by: The rule of a deny policy that forbids it; None where none does.
        unknown: Why nobody can say now, where something that could not be found out might have decided
            otherwise: such a principal is not granted, and not refused for good either. FetchResponse with 503.
        pending: What to wait for before asking again, where waiting makes sense.
    """

    granted: bool
    member: str | None = None
    role: str | None = None
    lasting: bool = True
    denied_by: str | None = None
    unknown: str | None = None
    pending: Flight | None = None


class BindingCondition(Protocol):
    """The condition of a binding; files give `doorward.policy.conditions.condition.Condition`."""

    @property
    def expression(self) -> str:
        """What the policy says."""
        ...

    @property
    def title(self) -> str:
        """What the policy calls it."""
        ...

    @property
    def depends_on_request(self) -> bool:
        """Whether another request may have another outcome."""
        ...

    @property
    def depends_on_time(self) -> bool:
        """Whether another time may have another outcome."""
        ...

    def holds(self, request: RequestFacts, now: float) -> bool:
        """Tell whether it holds; what cannot be evaluated does not. Never raises.

        Args:
            request: What is asked for.
            now: Seconds since the epoch.
        """
        ...

    def account(self, request: RequestFacts, now: float) -> tuple[bool, str]:
        """Tell whether it holds, and why.

        Args:
            request: What is asked for.
            now: Seconds since the epoch.
        """
        ...
