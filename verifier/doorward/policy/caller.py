"""A principal as a policy sees it: which members of bindings and which principals of deny rules it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from doorward.policy.groups import Resolver, Unresolved
from doorward.policy.members import Known, Member, fold, identities, project_number, unique_id
from doorward.tokens.principal import Principal

if TYPE_CHECKING:
    from doorward.policy.deny import Denial, DenyPrincipal

__all__ = ["Answer", "Caller"]

Answer = tuple[bool | Unresolved, str]
"""Whether somebody is somebody, and why."""

_NO_ADDRESS: Final = "the token names no address, so that it may be this one"


class Caller:
    """A principal in one decision. A group that was asked for once is not asked for again.

    Attributes:
        names: Every member that it is, groups excepted, the narrowest first.
        google_account: Whether it is a Google identity; nothing else is in any group.
        asked_groups: Whether a group had to be asked for.
    """

    __slots__ = ("_address", "_memberships", "_principal", "google_account", "names")

    def __init__(self, principal: Principal, known: Known) -> None:
        """Work out who it is.

        Args:
            principal: The verified caller, or the anonymous one.
            known: What the user knows of accounts.
        """
        self._principal = principal
        self.google_account: Final = principal.google_account
        self.names: Final = identities(principal, known)
        account = known.account(principal)
        self._address = None if account is None else account.partition(":")[2]
        self._memberships: dict[tuple[str, int], bool | Unresolved | None] = {}

    @property
    def asked_groups(self) -> bool:
        """Whether a group had to be asked for."""
        return bool(self._memberships)

    def in_group(self, group: str, groups: Resolver) -> bool | Unresolved | None:
        """Tell whether it is in a group.

        Args:
            group: The address of the group, in lower case.
            groups: Tells who is.

        Returns:
            Whether it is; that nobody can say now; or None where its address would have to be known.
        """
        if not self.google_account:
            return False
        key = (group, id(groups))
        if key not in self._memberships:
            self._memberships[key] = groups(group, self._principal, self._address)
        return self._memberships[key]

    def member(self, member: Member, groups: Resolver) -> Answer:
        """Tell whether it is a member of a binding.

        Args:
            member: The member.
            groups: Tells who is in a group.

        Returns:
            Whether it is, and why.
        """
        if member.never is not None:
            return False, f"never: {member.never}"
        if member.group is None:
            found = member.key in self.names
            return found, f"the caller is {'' if found else 'not '}this member"
        answer = self.in_group(member.group, groups)
        if isinstance(answer, Unresolved):
            return answer, answer.reason
        if answer is None:
            return False, "the token names no address to look up in the group"
        return answer, f"the caller is {'' if answer else 'not '}in the group"

    def any_of(self, principals: Iterable[DenyPrincipal], denial: Denial, *, cautious: bool) -> Answer:
        """Tell whether it is one of the principals of a deny rule.

        Args:
            principals: Those who are denied, or those who are excepted.
            denial: The rule.
            cautious: Whether what cannot be ruled out counts: for those who are denied.

        Returns:
            Whether it is, and why.
        """
        unresolved: Answer | None = None
        for one in principals:
            found, reason = self._is(one, denial, cautious=cautious)
            if isinstance(found, Unresolved):
                unresolved = found, f"{one.text}: {reason}"
            elif found:
                return True, f"{one.text}: {reason}"
        return unresolved or (False, "names somebody else")

    def _is(self, one: DenyPrincipal, denial: Denial, *, cautious: bool) -> Answer:
        if one.everyone:
            return True, "everyone"
        if not self.google_account:
            return False, "the caller is no Google account"
        if one.group is not None:
            return self._in_denied_group(one.group, denial, cautious=cautious)
        if one.account is not None:
            return self._is_account(one.account, denial, cautious=cautious)
        if one.customer is None and one.projects is None:
            return False, f"never: {one.never or one.undecidable}"
        return self._belongs(one, denial, cautious=cautious)

    def _in_denied_group(self, group: str, denial: Denial, *, cautious: bool) -> Answer:
        found = self.in_group(group, denial.groups)
        if isinstance(found, Unresolved):
            return found, found.reason
        return (cautious, _NO_ADDRESS) if found is None else (found, "by the members of the group")

    def _address_for(self, *, cautious: bool) -> str | None:
        """Give its address. One that changed hands is still denied by, though not excepted any more."""
        if cautious and self._principal.member is not None:
            return self._principal.member.partition(":")[2]
        return self._address

    def _is_account(self, account: str, denial: Denial, *, cautious: bool) -> Answer:
        if account.isdigit():
            return account == unique_id(self._principal), "by the unique id of the caller"
        address = self._address_for(cautious=cautious)
        if address is not None:
            return account == address, "by the address of the caller"
        ids = denial.known.unique_ids
        uid = ids.get(f"serviceAccount:{account}", ids.get(f"user:{account}"))
        if uid is not None and uid != unique_id(self._principal):
            return False, "by the unique id of the caller"
        return cautious, _NO_ADDRESS

    def _belongs(self, one: DenyPrincipal, denial: Denial, *, cautious: bool) -> Answer:
        """Tell whether it belongs to a customer, or a project."""
        address = self._address_for(cautious=cautious)
        if address is None:
            return cautious, _NO_ADDRESS
        robot = address.endswith(".gserviceaccount.com")
        if one.customer is not None:
            if robot:
                return cautious, "whose a service account is, its token does not say"
            domain = fold(self._principal.hosted_domain or "")
            return domain in denial.customers.get(one.customer, ()), "by the domain of the caller"
        number = project_number(address, denial.known.project_numbers)
        if robot and number is None:
            return cautious, "which project the service account belongs to, its address does not say"
        return robot and number == one.projects, "by the project of the caller"
