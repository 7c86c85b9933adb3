"""The decision of a policy on a principal, and the protocol of a condition."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from doorward.keys.flight import Flight
from doorward.policy.request import RequestFacts

__all__ = ["BindingCondition", "Decision"]


class Decision(NamedTuple):
    """The decision of a policy on one principal.

    Attributes:
        granted: Whether the principal may invoke.
        member: The member of the policy that the principal matched; None if it matched none, or if the
            check is switched off.
        role: The role that grants the permission; None if none does.
        same_for_every_request: Whether the decision is the same for every request at any time, so that it may
            be reused for another one with the same token. False unless the policy promises it.
        denied_by: The rule of a deny policy that denies the permission; None if none does.
        unknown: Why the policy cannot decide now; None if it can. Something that could not be resolved might
            have decided otherwise, so the principal is not granted, and the door answers 503 instead of 403.
        pending: What to wait for before the next attempt; None if waiting does not help.
        disagreed: The readings of the path, each with whether it would be granted, where some would be and
            some not; empty otherwise.
    """

    granted: bool
    member: str | None = None
    role: str | None = None
    same_for_every_request: bool = False
    denied_by: str | None = None
    unknown: str | None = None
    pending: Flight | None = None
    disagreed: tuple[tuple[str, bool], ...] = ()

    @property
    def disagreement(self) -> str:
        """A clause for the log that names the readings of the path, where they disagree; empty otherwise."""
        if not self.disagreed:
            return ""
        ways = (f"{way!r} {'would' if granted else 'would not'}" for way, granted in self.disagreed)
        return f"; the path can be read in ways that disagree on what is granted: {', '.join(ways)}"


class BindingCondition(Protocol):
    """The condition of a binding.

    Policy files give `doorward.policy.conditions.condition.Condition`; a `Binding` takes any implementation.
    """

    @property
    def expression(self) -> str:
        """The expression, as the policy has it."""
        ...

    @property
    def title(self) -> str:
        """The title, as the policy has it; empty if it has none."""
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
        """Return whether the condition holds.

        A condition that cannot be evaluated does not hold. This method never raises.

        Args:
            request: The request to decide on.
            now: Seconds since the epoch.
        """
        ...

    def explain(self, request: RequestFacts, now: float) -> tuple[bool, str]:
        """Return whether the condition holds, and why.

        Args:
            request: The request to decide on.
            now: Seconds since the epoch.

        Returns:
            What `holds` returns, and a sentence.
        """
        ...
