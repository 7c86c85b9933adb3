"""What a door asks: a policy, or a source of policies that may be replaced while the door is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from doorward.policy.decision import Decision
from doorward.policy.request import RequestFacts
from doorward.tokens.principal import Principal

__all__ = ["FixedPolicy", "Policy", "PolicySource"]


class Policy(Protocol):
    """Decides whether a principal may invoke; `InvokerPolicy` is the one that ships. Immutable."""

    @property
    def public(self) -> bool:
        """Whether a request without a credential may be admitted at all."""
        ...

    def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
        """Decide whether a principal may invoke.

        Args:
            principal: The verified caller, or the anonymous one.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision; `Decision.lasting` if it would be the same for every request at any time.
        """
        ...


@runtime_checkable
class PolicySource(Protocol):
    """A policy that may be replaced while the door is in use."""

    @property
    def current(self) -> Policy:
        """The policy that decides now."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """The source of a policy that is never replaced.

    Attributes:
        current: The policy.
    """

    current: Policy
