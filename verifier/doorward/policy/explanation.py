"""The account of a decision: every rule that had a say, and why. Plain data, and lines to print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from doorward.policy.decision import Decision

__all__ = ["BindingExplanation", "DenyExplanation", "MemberExplanation", "PolicyExplanation"]

_SHOWN = 10
_MARKS = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True)
class MemberExplanation:
    """One member of a binding.

    Attributes:
        member: As the policy spells it.
        matched: Whether the caller is it; None if nobody can say now.
        reason: Why.
    """

    member: str
    matched: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class BindingExplanation:
    """One binding whose role holds the permission.

    Attributes:
        binding: Where it stands.
        role: Its role.
        members: Its members, in order.
        matched: The member that the caller is; None if there is none.
        condition: What its condition says; None if it has none.
        condition_holds: Whether that holds; True if it has none.
        condition_reason: Why; empty if it has none.
        grants: Whether the binding grants the permission; None if nobody can say now.
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
    """One rule of a deny policy that is about the permission.

    Attributes:
        rule: Where it stands.
        applies: Whether it denies the caller the permission; None if nobody can say now.
        reason: Why.
    """

    rule: str
    applies: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyExplanation:
    """Why a policy decides as it does.

    Attributes:
        principal: The caller, as IAM spells it.
        permission: What was asked for.
        decision: The decision.
        check_disabled: Whether the check is switched off, so that nothing else was asked.
        deny: The deny rules about the permission, which come first.
        bindings: The bindings whose role holds it.
    """

    principal: str
    permission: str
    decision: Decision
    check_disabled: bool
    deny: tuple[DenyExplanation, ...]
    bindings: tuple[BindingExplanation, ...]

    def as_dict(self) -> dict[str, object]:
        """Give it as plain dictionaries and lists, for JSON."""
        decision = {name: value for name, value in self.decision._asdict().items() if name != "pending"}
        return {
            "principal": self.principal,
            "permission": self.permission,
            "decision": decision,
            "check_disabled": self.check_disabled,
            "deny": [asdict(one) for one in self.deny],
            "bindings": [asdict(one) for one in self.bindings],
        }

    def lines(self) -> Iterator[str]:
        """Give it line by line, the outcome first; of many members that do not match, only some are shown."""
        yield f"{self.principal}: {self._outcome()}"
        if self.check_disabled:
            yield "  the invoker check is switched off: nothing else is asked"
        for rule in self.deny:
            yield f"  deny {rule.rule}: {_MARKS[rule.applies]}, {rule.reason}"
        for binding in self.bindings:
            yield f"  {binding.binding} {binding.role}: grants {_MARKS[binding.grants]}"
            if binding.condition is not None:
                yield f"    condition {binding.condition}: {binding.condition_reason}"
            told = [one for one in binding.members if one.matched is not False] or list(binding.members)
            for one in told[:_SHOWN]:
                yield f"    {one.member}: {one.reason}"
            if rest := len(binding.members) - len(told[:_SHOWN]):
                yield f"    and {rest} more, which do not match"
        if not self.bindings and not self.check_disabled:
            yield f"  no binding has a role that holds {self.permission}"

    def _outcome(self) -> str:
        decision = self.decision
        if decision.granted:
            by = f" by {decision.role} of {decision.member}" if decision.member is not None else ""
            return f"may use {self.permission}{by}"
        if decision.denied_by is not None:
            return f"is denied {self.permission} by {decision.denied_by}"
        if decision.unknown is not None:
            return f"nobody can say now whether it may use {self.permission}: {decision.unknown}"
        return f"may not use {self.permission}"

    def __str__(self) -> str:
        """Give all lines."""
        return "\n".join(self.lines())
