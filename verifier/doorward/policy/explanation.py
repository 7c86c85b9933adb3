"""The explanation of a decision: every deny rule and binding that was evaluated, and why it matched or not.

Plain data that `doorward.policy.explainer` makes, and lines to print.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from doorward.policy.decision import Decision

__all__ = ["BindingExplanation", "DenyExplanation", "MemberExplanation", "PolicyExplanation"]

_SHOWN_MEMBERS = 10
_MARKS = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True)
class MemberExplanation:
    """One member of a binding.

    Attributes:
        member: The member, as the policy has it.
        matched: Whether the principal is this member; None if undecided.
        reason: Why.
    """

    member: str
    matched: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class BindingExplanation:
    """One binding whose role holds the permission.

    Attributes:
        binding: Its position in the policy, after the name of the file if there is one.
        role: Its role.
        members: Its members, in order.
        matched: The first member that the principal is; None if there is none.
        condition: The title of its condition, or the expression if it has no title; None without a condition.
        condition_holds: Whether the condition holds; True without a condition.
        condition_reason: Why; empty without a condition.
        grants: Whether the binding grants the permission; None if undecided.
    """

    binding: str
    role: str
    members: tuple[MemberExplanation, ...]
    matched: str | None
    condition: str | None
    condition_holds: bool
    condition_reason: str
    grants: bool | None


@dataclass(frozen=True, slots=True)
class DenyExplanation:
    """One rule of a deny policy that covers the permission.

    Attributes:
        rule: Its position in the deny policy, after the display name if there is one.
        applies: Whether it denies the principal the permission; None if undecided.
        reason: Why.
    """

    rule: str
    applies: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyExplanation:
    """Why a policy decides as it does.

    Attributes:
        principal: The principal, as IAM writes it.
        permission: The permission that was asked for.
        decision: The decision.
        check_disabled: Whether the check is switched off, so that nothing else was evaluated.
        deny: The deny rules that cover the permission; they are evaluated first.
        bindings: The bindings whose role holds the permission.
        remarks: What the policy holds that grants nothing and was perhaps meant to.
    """

    principal: str
    permission: str
    decision: Decision
    check_disabled: bool
    deny: tuple[DenyExplanation, ...]
    bindings: tuple[BindingExplanation, ...]
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the explanation as plain dictionaries and lists, for JSON."""
        decision = {name: value for name, value in self.decision._asdict().items() if name != "pending"}
        return {
            "principal": self.principal,
            "permission": self.permission,
            "decision": decision,
            "check_disabled": self.check_disabled,
            "deny": [asdict(rule) for rule in self.deny],
            "bindings": [asdict(binding) for binding in self.bindings],
            "remarks": list(self.remarks),
        }

    def lines(self) -> Iterator[str]:
        """Return the explanation line by line, the outcome first.

        Of a binding with many members that do not match, only the first ten are shown.
        """
        yield f"{self.principal}: {self._outcome()}"
        if self.check_disabled:
            yield "  the invoker check is switched off: nothing else is evaluated"
        for rule in self.deny:
            yield f"  deny {rule.rule}: {_MARKS[rule.applies]}, {rule.reason}"
        for binding in self.bindings:
            yield f"  {binding.binding} {binding.role}: grants {_MARKS[binding.grants]}"
            if binding.condition is not None:
                yield f"    condition {binding.condition}: {binding.condition_reason}"
            yield from _member_lines(binding.members)
        if not self.bindings and not self.check_disabled:
            yield f"  no binding has a role that holds {self.permission}"
        yield from (f"  {remark}" for remark in self.remarks)

    def _outcome(self) -> str:
        decision = self.decision
        if decision.granted:
            by = f" by {decision.role} of {decision.member}" if decision.member is not None else ""
            return f"may use {self.permission}{by}"
        if decision.denied_by is not None:
            return f"is denied {self.permission} by {decision.denied_by}"
        if decision.unknown is not None:
            return f"undecided now whether it may use {self.permission}: {decision.unknown}"
        return f"may not use {self.permission}"

    def __str__(self) -> str:
        """Return all lines as one text."""
        return "\n".join(self.lines())


def _member_lines(members: tuple[MemberExplanation, ...]) -> Iterator[str]:
    """Return the lines of members that matched or are undecided; of all members if there are none."""
    relevant = [member for member in members if member.matched is not False] or list(members)
    shown = relevant[:_SHOWN_MEMBERS]
    for member in shown:
        yield f"    {member.member}: {member.reason}"
    if rest := len(members) - len(shown):
        yield f"    and {rest} more, which do not match"
