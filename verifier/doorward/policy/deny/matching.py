"""Whether a rule of a deny policy applies to a principal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold, is_service_account, is_service_agent
from doorward.policy.conditions.resource_tags import ResourceTags
from doorward.policy.deny.policy import DenyPolicy, DenyRule
from doorward.policy.deny.principals import DenyPrincipal
from doorward.policy.membership.groups import Resolver, Unresolved
from doorward.policy.membership.identities import KnownAccounts, agent_resource, project_number, unique_id
from doorward.policy.membership.matching import Match, PrincipalMatcher
from doorward.policy.request import ANYWHERE
from doorward.shown import quoted, shortened

__all__ = ["Denial", "denials_of"]

_TAKEN_TO_HOLD: Final = "its condition is taken to hold"
_NO_ADDRESS: Final = "the token names no address, so that it may be this one"


@dataclass(frozen=True, slots=True)
class Denial:
    """A deny rule that covers the permission, with what it takes to apply it.

    Attributes:
        rule: The rule.
        groups: Resolves its groups.
        known: What the user of the policy knows of accounts.
        customers: The Workspace domains of customers, by customer id.
        holds: Whether the condition of the rule holds for the service; None if that is not known, or if it
            has none. A condition that is not known to be false is taken to hold.
        assumption: Why it is not known whether the condition holds; None if it is known.
    """

    rule: DenyRule
    groups: Resolver
    known: KnownAccounts
    customers: Mapping[str, Collection[str]] = field(default_factory=dict)
    holds: bool | None = None
    assumption: str | None = None

    @property
    def asks_for_groups(self) -> bool:
        """Whether the members of a group may decide whether the rule applies."""
        principals = (*self.rule.denied_principals, *self.rule.exception_principals)
        return self.holds is not False and any(one.group is not None for one in principals)

    def __post_init__(self) -> None:
        """Check that the rule can be decided for every principal.

        Raises:
            PolicyError: If an ID token does not show whether its principal is one of those of the rule.
        """
        rule = self.rule
        if self.holds is False:
            return
        for denied in rule.denied_principals:
            if (why := self._undecidable_reason(denied)) is not None:
                raise PolicyError(
                    f"{rule.name} denies {quoted(denied.text)}, which cannot be decided on: {why}"
                )
        for principal in (*rule.denied_principals, *rule.exception_principals):
            if principal.group is not None:
                try:
                    self.groups.check(principal.group)
                except PolicyError as error:
                    raise PolicyError(f"{rule.name}: {error}") from None

    def applies(self, matcher: PrincipalMatcher) -> Match:
        """Return whether the rule applies to the principal of a decision, and why.

        Args:
            matcher: The principal, matched against members; the groups that it resolved are not resolved
                again.
        """
        if self.holds is False:
            return False, "its condition does not hold for the tags of the service"
        return _DenyMatcher(self, matcher).applies()

    def _undecidable_reason(self, principal: DenyPrincipal) -> str | None:
        if principal.customer is not None and principal.customer not in self.customers:
            return (
                "an ID token names a domain, not a customer: read this deny policy with DenyPolicy and "
                f"customers={{{quoted(principal.customer)}: [DOMAIN]}}, and add it by InvokerPolicy.with_deny"
            )
        if principal.project is not None and principal.project not in self.known.project_numbers.values():
            return (
                "an ID token names a project by its id, not its number: pass InvokerPolicy "
                f"project_numbers={{'PROJECT_ID': {quoted(principal.project)}}}"
            )
        if principal.agents_of is not None and principal.agents_of[0] != "projects":
            return (
                f"which {principal.agents_of[0]} the project of a service agent is in is not in its ID token"
            )
        return principal.undecidable_reason


def denials_of(
    policy: DenyPolicy, permission: str, groups: Resolver, known: KnownAccounts, tags: ResourceTags | None
) -> list[Denial]:
    """Return the rules of a deny policy that cover a permission, with what it takes to apply them.

    Args:
        policy: The deny policy.
        permission: The name of the permission in roles.
        groups: Resolves the groups of the rules.
        known: What the user of the policy knows of accounts.
        tags: The tags of the service; None if they are not known.

    Returns:
        The denials, in order.

    Raises:
        PolicyError: If one of them cannot be decided for every principal.
    """
    covering = [rule for rule in policy.rules if rule.covers(permission)]
    return [Denial(rule, groups, known, policy.customers, *_condition(rule, tags)) for rule in covering]


def _condition(rule: DenyRule, tags: ResourceTags | None) -> tuple[bool | None, str | None]:
    """Return whether the condition of a rule holds, and why that is not known."""
    if rule.condition is None:
        return None, None
    if tags is None:
        return None, f"{_TAKEN_TO_HOLD}: the tags of the service are not known: pass resource_tags"
    # A policy without tags needs no library that evaluates conditions.
    from doorward.policy.conditions.condition import compile_condition  # noqa: PLC0415
    from doorward.policy.conditions.library import check_library  # noqa: PLC0415

    check_library()
    try:
        condition = compile_condition(rule.condition, tags=tags)
    except PolicyError as error:
        return None, f"{_TAKEN_TO_HOLD}: it is not understood: {error}"
    if condition.depends_on_request or condition.depends_on_time:
        return None, f"{_TAKEN_TO_HOLD}: it reads more than resource tags"
    if (holds := condition.outcome(ANYWHERE, 0.0)) is None:
        return None, f"{_TAKEN_TO_HOLD}: {condition.explain(ANYWHERE, 0.0)[1]}"
    return holds, None


class _DenyMatcher:
    """The principal of one decision, matched against the principals of one deny rule."""

    __slots__ = ("_denial", "_matcher")

    def __init__(self, denial: Denial, matcher: PrincipalMatcher) -> None:
        self._denial = denial
        self._matcher = matcher

    def applies(self) -> Match:
        rule = self._denial.rule
        denied, why = self._any_of(rule.denied_principals, denying=True)
        if denied is False:
            return False, why
        excepted, why_excepted = self._any_of(rule.exception_principals, denying=False)
        if excepted is True:
            return False, f"excepts {why_excepted}"
        if isinstance(denied, Unresolved):
            return denied, why
        if isinstance(excepted, Unresolved):
            return excepted, why_excepted
        if self._denial.assumption is not None:
            why += f"; {self._denial.assumption}"
        return True, f"denies {why}"

    # In what follows `denying` says which list of the rule is matched: the denied principals, or the excepted
    # ones. What an ID token leaves open counts as a match for the former, and not for the latter.

    def _any_of(self, principals: Iterable[DenyPrincipal], *, denying: bool) -> Match:
        unresolved: Match | None = None
        for principal in principals:
            found, reason = self._is(principal, denying=denying)
            if isinstance(found, Unresolved):
                unresolved = found, f"{shortened(principal.text)}: {reason}"
            elif found:
                return True, f"{shortened(principal.text)}: {reason}"
        return unresolved or (False, "the caller is none of its principals")

    def _is(self, principal: DenyPrincipal, *, denying: bool) -> Match:
        if principal.everyone:
            return True, "everyone"
        if not self._matcher.google_account:
            return False, "the caller is no Google account"
        if principal.group is not None:
            return self._in_group(principal.group, denying=denying)
        if principal.account is not None:
            return self._is_account(principal.account, denying=denying)
        if (reason := principal.never_reason or principal.undecidable_reason) is not None:
            return False, f"never: {reason}"
        return self._belongs(principal, denying=denying)

    def _in_group(self, group: str, *, denying: bool) -> Match:
        found = self._matcher.in_group(group, self._denial.groups)
        if isinstance(found, Unresolved):
            return found, found.reason
        return (denying, _NO_ADDRESS) if found is None else (found, "by the members of the group")

    def _address(self, *, denying: bool) -> str | None:
        """Return the address to match; one that changed hands is still denied, but not excepted any more."""
        if denying and self._matcher.principal.member is not None:
            return self._matcher.principal.member.partition(":")[2]
        return self._matcher.address

    def _is_account(self, account: str, *, denying: bool) -> Match:
        if account.isdigit():
            return account == unique_id(self._matcher.principal), "by the unique id of the caller"
        address = self._address(denying=denying)
        if address is not None:
            return account == address, "by the address of the caller"
        ids = self._denial.known.unique_ids
        uid = ids.get(f"serviceAccount:{account}", ids.get(f"user:{account}"))
        if uid is not None and uid != unique_id(self._matcher.principal):
            return False, "by the unique id of the caller"
        return denying, _NO_ADDRESS

    def _belongs(self, principal: DenyPrincipal, *, denying: bool) -> Match:
        """Match the account against a customer, a project, or the service agents of a resource."""
        address = self._address(denying=denying)
        if address is None:
            return denying, _NO_ADDRESS
        service_account = is_service_account(address)
        if principal.customer is not None:
            if service_account:
                return denying, "the token of a service account does not name the customer that owns it"
            domain = fold(self._matcher.principal.hosted_domain or "")
            customers = self._denial.customers
            return domain in customers.get(principal.customer, ()), "by the domain of the caller"
        if principal.agents_of is not None:
            return _is_agent_of(address, principal.agents_of, denying=denying)
        number = project_number(address, self._denial.known.project_numbers)
        if service_account and number is None:
            return denying, "the address of the service account does not name its project"
        return service_account and number == principal.project, "by the project of the caller"


def _is_agent_of(address: str, resource: tuple[str, str], *, denying: bool) -> Match:
    """Match an account against the service agents of a resource: their addresses hold its number."""
    if not is_service_account(address):
        return False, "the caller is no service account"
    of = agent_resource(address)
    if of is not None and (denying or is_service_agent(address)):
        return of == resource, "by the number in the address of the service agent"
    if of is not None or project_number(address, {}) is not None:
        return False, "the caller is no service agent"
    return denying, "the address of the service account does not say whether it is a service agent"
