"""How a decision is explained: the steps of its evaluation, taken one by one."""

from __future__ import annotations

from collections.abc import Iterator

from doorward.policy.decision import Decision
from doorward.policy.evaluation import Evaluation
from doorward.policy.explanation import (
    BindingExplanation,
    DenyExplanation,
    MemberExplanation,
    PolicyExplanation,
)
from doorward.policy.index import PermissionBinding
from doorward.policy.membership.groups import Unresolved
from doorward.shown import shortened
from doorward.tokens.principal import Principal

__all__ = ["explain", "explain_disabled"]


def explain(evaluation: Evaluation, permission: str, remarks: tuple[str, ...] = ()) -> PolicyExplanation:
    """Explain the decision of a policy.

    Args:
        evaluation: The evaluation of the policy.
        permission: The permission that the policy decides on.
        remarks: What the policy holds that grants nothing and was perhaps meant to.

    Returns:
        The decision of the evaluation, and every deny rule and binding that it evaluates.
    """
    return PolicyExplanation(
        principal=shortened(str(evaluation.matcher.principal)),
        permission=permission,
        decision=evaluation.decision(),
        check_disabled=False,
        deny=tuple(_explain_denials(evaluation)),
        bindings=tuple(_explain_binding(evaluation, binding) for binding in evaluation.index.bindings),
        remarks=remarks,
    )


def explain_disabled(permission: str, principal: Principal, decision: Decision) -> PolicyExplanation:
    """Explain the decision of a policy whose check is switched off: nothing is evaluated.

    Args:
        permission: The permission that is not checked.
        principal: The caller.
        decision: The decision.

    Returns:
        The decision, without deny rules and bindings.
    """
    return PolicyExplanation(
        shortened(str(principal)), permission, decision, check_disabled=True, deny=(), bindings=()
    )


def _explain_denials(evaluation: Evaluation) -> Iterator[DenyExplanation]:
    for denial in evaluation.index.denials:
        applies, reason = denial.applies(evaluation.matcher)
        yield DenyExplanation(denial.rule.name, _decided(applies), reason)


def _explain_binding(evaluation: Evaluation, binding: PermissionBinding) -> BindingExplanation:
    members = tuple(_explain_members(evaluation, binding))
    matched = next((member.member for member in members if member.matched), None)
    undecided = any(member.matched is None for member in members)
    holds, condition = evaluation.holds(binding), binding.condition
    return BindingExplanation(
        binding=binding.name,
        role=binding.role,
        members=members,
        matched=matched,
        condition=None if condition is None else shortened(condition.title or condition.expression),
        condition_holds=holds,
        condition_reason=""
        if condition is None
        else condition.explain(evaluation.request, evaluation.now)[1],
        grants=holds and (matched is not None or (None if undecided else False)),
    )


def _explain_members(evaluation: Evaluation, binding: PermissionBinding) -> Iterator[MemberExplanation]:
    for member in binding.members:
        matches, reason = evaluation.matcher.matches(member, binding.groups)
        yield MemberExplanation(shortened(member.text), _decided(matches), reason)


def _decided(found: bool | Unresolved) -> bool | None:  # noqa: FBT001 - the first part of a `Match`
    return None if isinstance(found, Unresolved) else found
