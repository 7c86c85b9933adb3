"""A condition that is not understood: it never holds, and the other bindings of its policy remain."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.policy.request import RequestFacts

__all__ = ["UnreadableCondition"]


@dataclass(frozen=True, slots=True)
class UnreadableCondition:
    """A condition that is not understood, as a `doorward.policy.decision.BindingCondition`.

    Attributes:
        expression: The expression, as the policy has it.
        title: The title, as the policy has it.
        why: What is not understood.
    """

    expression: str
    title: str
    why: str

    @property
    def depends_on_request(self) -> bool:
        """Never: it holds for no request."""
        return False

    @property
    def depends_on_time(self) -> bool:
        """Never: it holds at no time."""
        return False

    def holds(self, request: RequestFacts, now: float) -> bool:
        """Return False.

        Args:
            request: Any request.
            now: Any time.
        """
        del request, now
        return False

    def explain(self, request: RequestFacts, now: float) -> tuple[bool, str]:
        """Return False, and what is not understood.

        Args:
            request: Any request.
            now: Any time.
        """
        del request, now
        return False, f"it is not understood, so that it grants nothing: {self.why}"
