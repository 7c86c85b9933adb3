"""Whether a rule of a deny policy applies to a principal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import is_service_account
from doorward.policy.deny.policy import DenyPolicy, DenyPrincipal, DenyRule
from doorward.policy.groups import Resolver, Unresolved
from doorward.policy.matching import Match, PrincipalMatcher
from doorward.policy.members import KnownAccounts, fold, project_number, unique_id

__all__ = ["Denial", "DenyMatcher", "denials_of"]

_NO_ADDRESS: Final = "the token names no address, so that it may be this one"


@dataclass(frozen=True, slots=True)
class Denial:
    """A rule that is about the permission, with what it takes to apply it."""

    rule: DenyRule
    groups: Resolver
    known: KnownAccounts
    customers: Mapping[str, Collection[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a rule that could not be decided on.

        Raises:
            PolicyError: If one of its principals cannot be told from an ID token.
        """
        rule = self.rule
        for one in rule.denied:
            if (why := self._undecidable(one)) is not None:
                raise PolicyError(f"{rule.name} denies {one.text!r}, which cannot be decided on: {why}")
        for one in (*rule.denied, *rule.excepted):
            if one.group is not None:
                try:
                    self.groups.check(one.group)
                except PolicyError as error:
                    raise PolicyError(f"{rule.name}: {error}") from None

    def _undecidable(self, one: DenyPrincipal) -> str | None:
        if one.customer is not None and one.customer not in self.customers:
            return (
                "an ID token names a domain, not a customer: pass DenyPolicy customers="
                f"{{'{one.customer}': [DOMAIN]}}"
            )
        if one.projects is not None and one.projects not in self.known.project_numbers.values():
            return (
                "an ID token names a project by its id, not its number: pass InvokerPolicy "
                f"project_numbers={{'PROJECT_ID': '{one.projects}'}}"
            )
        return one.undecidable


def denials_of(policy: DenyPolicy, permission: str, groups: Resolver, known: KnownAccounts) -> list[Denial]:
    """Select the rules of a deny policy that are about a permission, with what it takes to apply them.

    Args:
        policy: The deny policy.
        permission: The permission, as roles spell it.
        groups: Resolves the members of groups.
        known: What is known of accounts beyond their tokens.

    Returns:
        The denials, in order.

    Raises:
        PolicyError: If one of them could not be decided.
    """
    return [
        Denial(rule, groups, known, policy.customers) for rule in policy.rules if rule.concerns(permission)
    ]


class DenyMatcher:
    """A principal in one decision, as the rules of deny policies see it."""

    __slots__ = ("_matcher",)

    def __init__(self, matcher: PrincipalMatcher) -> None:
        """Look at a principal.

        Args:
            matcher: The principal, as bindings see it; what was looked up for them is not looked up again.
        """
        self._matcher: Final = matcher

    def any_of(self, principals: Iterable[DenyPrincipal], denial: Denial, *, cautious: bool) -> Match:
        """Tell whether it is one of the principals of a deny rule.

        Args:
            principals: Those who are denied, or those who are excepted.
            denial: The rule.
            cautious: Whether what cannot be ruled out counts: for those who are denied.

        Returns:
            Whether it is, and why.
        """
        unresolved: Match | None = None
        for one in principals:
            found, reason = self._is(one, denial, cautious=cautious)
            if isinstance(found, Unresolved):
                unresolved = found, f"{one.text}: {reason}"
            elif found:
                return True, f"{one.text}: {reason}"
        return unresolved or (False, "names somebody else")

    def _is(self, one: DenyPrincipal, denial: Denial, *, cautious: bool) -> Match:
        if one.everyone:
            return True, "everyone"
        if not self._matcher.google_account:
            return False, "the caller is no Google account"
        if one.group is not None:
            return self._in_denied_group(one.group, denial, cautious=cautious)
        if one.account is not None:
            return self._is_account(one.account, denial, cautious=cautious)
        if one.customer is None and one.projects is None:
            return False, f"never: {one.never or one.undecidable}"
        return self._belongs(one, denial, cautious=cautious)

    def _in_denied_group(self, group: str, denial: Denial, *, cautious: bool) -> Match:
        found = self._matcher.in_group(group, denial.groups)
        if isinstance(found, Unresolved):
            return found, found.reason
        return (cautious, _NO_ADDRESS) if found is None else (found, "by the members of the group")

    def _address_for(self, *, cautious: bool) -> str | None:
        """Give its address. One that changed hands is still denied by, though not excepted any more."""
        if cautious and self._matcher.principal.member is not None:
            return self._matcher.principal.member.partition(":")[2]
        return self._matcher.address

    def _is_account(self, account: str, denial: Denial, *, cautious: bool) -> Match:
        if account.isdigit():
            return account == unique_id(self._matcher.principal), "by the unique id of the caller"
        address = self._address_for(cautious=cautious)
        if address is not None:
            return account == address, "by the address of the caller"
        ids = denial.known.unique_ids
        uid = ids.get(f"serviceAccount:{account}", ids.get(f"user:{account}"))
        if uid is not None and uid != unique_id(self._matcher.principal):
            return False, "by the unique id of the caller"
        return cautious, _NO_ADDRESS

    def _belongs(self, one: DenyPrincipal, denial: Denial, *, cautious: bool) -> Match:
        """Tell whether it belongs to a customer, or a project."""
        address = self._address_for(cautious=cautious)
        if address is None:
            return cautious, _NO_ADDRESS
        robot = is_service_account(address)
        if one.customer is not None:
            if robot:
                return cautious, "whose a service account is, its token does not say"
            domain = fold(self._matcher.principal.hosted_domain or "")
            return domain in denial.customers.get(one.customer, ()), "by the domain of the caller"
        number = project_number(address, denial.known.project_numbers)
        if robot and number is None:
            return cautious, "which project the service account belongs to, its address does not say"
        return robot and number == one.projects, "by the project of the caller"
