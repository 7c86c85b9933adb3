"""The evaluation of a policy for one principal and one request."""

from __future__ import annotations

from typing import Final

from doorward.policy.decision import Decision
from doorward.policy.index import PermissionBinding, PolicyIndex
from doorward.policy.membership.groups import Unresolved
from doorward.policy.membership.identities import identities
from doorward.policy.membership.matching import PrincipalMatcher
from doorward.policy.request import RequestFacts
from doorward.shown import shortened
from doorward.tokens.principal import Principal

__all__ = ["Evaluation", "decide"]

_NOT_GRANTED: Final = Decision(granted=False, same_for_every_request=True)


def decide(index: PolicyIndex, principal: Principal, request: RequestFacts, now: float) -> Decision:
    """Decide whether a policy grants the permission to a principal, in as few steps as possible.

    Args:
        index: The policy.
        principal: The caller.
        request: The request to decide on.
        now: Seconds since the epoch.

    Returns:
        The decision.
    """
    if not index.denials:
        grant = index.unconditional_grant(identities(principal, index.known))
        if grant is not None:
            return grant
        if not (index.groups or index.conditional or index.issuers):
            return _NOT_GRANTED
    return Evaluation(index, principal, request, now).decision()


class Evaluation:
    """One evaluation. Each condition and each group is evaluated at most once in it.

    Decisions and their explanations are made by its steps, so that they cannot disagree.

    Attributes:
        index: The policy.
        matcher: The principal, matched against members.
        request: The request to decide on.
        now: Seconds since the epoch.
    """

    def __init__(self, index: PolicyIndex, principal: Principal, request: RequestFacts, now: float) -> None:
        """Begin an evaluation.

        Args:
            index: The policy.
            principal: The caller.
            request: The request to decide on.
            now: Seconds since the epoch.
        """
        self.index: Final[PolicyIndex] = index
        self.matcher: Final[PrincipalMatcher] = PrincipalMatcher(principal, index.known)
        self.request: Final[RequestFacts] = request
        self.now: Final[float] = now
        self._conditions: dict[PermissionBinding, bool] = {}
        self._asked_conditions = False

    def holds(self, binding: PermissionBinding) -> bool:
        """Return whether the condition of a binding holds; True without a condition.

        Args:
            binding: The binding.
        """
        if binding not in self._conditions:
            condition = binding.condition
            self._conditions[binding] = condition is None or condition.holds(self.request, self.now)
        return self._conditions[binding]

    @property
    def _is_fixed(self) -> bool:
        """Whether nothing evaluated so far depends on the request, on the time or on a group."""
        return not self._asked_conditions and not self.matcher.asked_groups

    def decision(self) -> Decision:
        """Return the decision: by deny rules, then by members, then by groups."""
        index = self.index
        if (denied := self._by_denials()) is not None:
            return denied
        grant = index.unconditional_grant(self.matcher.members)
        if grant is None and index.issuers:
            grant = index.issuer_grant(self.matcher.principal.issuer)
        if grant is not None:
            return grant if self._is_fixed else grant._replace(same_for_every_request=False)
        for member in self.matcher.members:
            for binding in index.conditional.get(member, ()):
                self._asked_conditions = True
                if self.holds(binding):
                    return Decision(granted=True, member=member, role=binding.role)
        return self._by_groups()

    def _by_denials(self) -> Decision | None:
        """Decide by the deny rules; None if none of them applies."""
        unknown: Unresolved | None = None
        for denial in self.index.denials:
            applies, _ = denial.applies(self.matcher)
            if applies is True:
                return Decision(
                    granted=False, same_for_every_request=self._is_fixed, denied_by=denial.rule.name
                )
            if isinstance(applies, Unresolved):
                unknown = unknown or applies
        if unknown is not None:
            return Decision(granted=False, unknown=unknown.reason, pending=unknown.pending)
        return None

    def _by_groups(self) -> Decision:
        """Decide by groups; if none grants, all of them are resolved, so that their look-ups run at once."""
        unknown: list[Unresolved] = []
        for group, binding, unconditional in self.index.groups:
            if not self.matcher.google_account:
                break
            if not unconditional:
                self._asked_conditions = True
                if not self.holds(binding):
                    continue
            match self.matcher.in_group(group, binding.groups):
                case True:
                    return Decision(granted=True, member=shortened(f"group:{group}"), role=binding.role)
                case Unresolved() as unresolved:
                    unknown.append(unresolved)
                case _:
                    pass
        if unknown:
            pending = next((found.pending for found in unknown if found.pending is not None), None)
            return Decision(granted=False, unknown=unknown[0].reason, pending=pending)
        return _NOT_GRANTED if self._is_fixed else Decision(granted=False)
