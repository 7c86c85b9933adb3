"""Whether a principal is a member of a binding."""

from __future__ import annotations

from typing import Final

from doorward.policy.membership.groups import Resolver, Unresolved
from doorward.policy.membership.identities import KnownAccounts, identities
from doorward.policy.membership.members import Member
from doorward.tokens.principal import Principal

__all__ = ["Match", "PrincipalMatcher"]

Match = tuple[bool | Unresolved, str]
"""Whether the principal of a decision matches, or `Unresolved` if that cannot be known now; and why."""


class PrincipalMatcher:
    """The principal of one decision, matched against members. Each group is resolved at most once.

    Attributes:
        principal: The principal.
        address: The address of its account, in lower case; None if neither its token nor its unique id names
            one.
        members: Every member that it is, groups excepted, the narrowest first.
        google_account: Whether it is a Google account; no other principal is in any group.
    """

    __slots__ = ("_memberships", "address", "google_account", "members", "principal")

    def __init__(self, principal: Principal, known: KnownAccounts) -> None:
        """Find the members that the principal is, groups excepted.

        Args:
            principal: The verified caller, or the anonymous one.
            known: What the user of the policy knows of accounts.
        """
        self.principal: Final[Principal] = principal
        self.google_account: Final[bool] = principal.google_account
        self.members: Final[tuple[str, ...]] = identities(principal, known)
        account = known.account(principal)
        self.address: Final[str | None] = None if account is None else account.partition(":")[2]
        self._memberships: dict[tuple[str, int], bool | Unresolved | None] = {}

    @property
    def asked_groups(self) -> bool:
        """Whether a group was resolved for it."""
        return bool(self._memberships)

    def in_group(self, group: str, groups: Resolver) -> bool | Unresolved | None:
        """Return whether the principal is in a group.

        Args:
            group: The address of the group, in lower case.
            groups: Resolves the group.

        Returns:
            Whether it is; `Unresolved` if that cannot be known now; None if only its address could decide,
            and its token names none.
        """
        if not self.google_account:
            return False
        key = (group, id(groups))
        if key not in self._memberships:
            self._memberships[key] = groups(group, self.principal, self.address)
        return self._memberships[key]

    def matches(self, member: Member, groups: Resolver) -> Match:
        """Return whether the principal is a member of a binding, and why.

        Args:
            member: The member.
            groups: Resolves the group that it names, if it names one.
        """
        if member.never_reason is not None:
            return False, f"never: {member.never_reason}"
        if member.issuer is not None:
            found = member.issuer == self.principal.issuer
            return found, f"the token of the caller is {'' if found else 'not '}from this issuer"
        if member.group is None:
            found = member.key in self.members
            return found, f"the caller is {'' if found else 'not '}this member"
        answer = self.in_group(member.group, groups)
        if isinstance(answer, Unresolved):
            return answer, answer.reason
        if answer is None:
            return False, "the token names no address to look up in the group"
        return answer, f"the caller is {'' if answer else 'not '}in the group"
