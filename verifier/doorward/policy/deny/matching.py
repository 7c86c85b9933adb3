"""Whether a rule of a deny policy applies to a principal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold, is_service_account
from doorward.policy.deny.policy import DenyPolicy, DenyRule
from doorward.policy.deny.principals import DenyPrincipal
from doorward.policy.groups import Resolver, Unresolved
from doorward.policy.identities import KnownAccounts, project_number, unique_id
from doorward.policy.matching import Match, PrincipalMatcher

__all__ = ["Denial", "denials_of"]

_NO_ADDRESS: Final = "the token names no address, so that it may be this one"


@dataclass(frozen=True, slots=True)
class Denial:
    """A deny rule that covers the permission, with what it takes to apply it.

    Attributes:
        rule: The rule.
        groups: Resolves its groups.
        known: What the user of the policy knows of accounts.
        customers: The Workspace domains of customers, by customer id.
    """

    rule: DenyRule
    groups: Resolver
    known: KnownAccounts
    customers: Mapping[str, Collection[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the rule can be decided for every principal.

        Raises:
            PolicyError: If an ID token does not show whether its principal is one of those of the rule.
        """
        rule = self.rule
        for denied in rule.denied_principals:
            if (why := self._undecidable_reason(denied)) is not None:
                raise PolicyError(f"{rule.name} denies {denied.text!r}, which cannot be decided on: {why}")
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
        return _DenyMatcher(self, matcher).applies()

    def _undecidable_reason(self, principal: DenyPrincipal) -> str | None:
        if principal.customer is not None and principal.customer not in self.customers:
            return (
                "an ID token names a domain, not a customer: pass DenyPolicy customers="
                f"{{'{principal.customer}': [DOMAIN]}}"
            )
        if principal.project is not None and principal.project not in self.known.project_numbers.values():
            return (
                "an ID token names a project by its id, not its number: pass InvokerPolicy "
                f"project_numbers={{'PROJECT_ID': '{principal.project}'}}"
            )
        return principal.undecidable_reason


def denials_of(policy: DenyPolicy, permission: str, groups: Resolver, known: KnownAccounts) -> list[Denial]:
    """Return the rules of a deny policy that cover a permission, with what it takes to apply them.

    Args:
        policy: The deny policy.
        permission: The name of the permission in roles.
        groups: Resolves the groups of the rules.
        known: What the user of the policy knows of accounts.

    Returns:
        The denials, in order.

    Raises:
        PolicyError: If one of them cannot be decided for every principal.
    """
    return [Denial(rule, groups, known, policy.customers) for rule in policy.rules if rule.covers(permission)]


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
        if rule.condition is not None:
            why += (
                "; its condition asks for resource tags, which a request does not carry, and is taken to hold"
            )
        return True, f"denies {why}"

    # In what follows `denying` says which list of the rule is matched: the denied principals, or the excepted
    # ones. What an ID token leaves open counts as a match for the former, and not for the latter.

    def _any_of(self, principals: Iterable[DenyPrincipal], *, denying: bool) -> Match:
        unresolved: Match | None = None
        for principal in principals:
            found, reason = self._is(principal, denying=denying)
            if isinstance(found, Unresolved):
                unresolved = found, f"{principal.text}: {reason}"
            elif found:
                return True, f"{principal.text}: {reason}"
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
        """Match the account against a customer, or a project."""
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
        number = project_number(address, self._denial.known.project_numbers)
        if service_account and number is None:
            return denying, "the address of the service account does not name its project"
        return service_account and number == principal.project, "by the project of the caller"
