"""A principal as a policy sees it: which members of bindings and which principals of deny rules it is."""

from __future__ import annotations

from typing import Final

from doorward.policy.groups import Resolver, Unresolved
from doorward.policy.members import KnownAccounts, Member, identities
from doorward.tokens.principal import Principal

__all__ = ["Match", "PrincipalMatcher"]

Match = tuple[bool | Unresolved, str]
"""Whether somebody is somebody, and why."""


class PrincipalMatcher:
    """A principal in one decision. A group that was asked for once is not asked for again.

    Attributes:
        principal: The principal.
        address: The address of its account, in lower case; None where neither its token nor its unique id names
            one.
        names: Every member that it is, groups excepted, the narrowest first.
        google_account: Whether it is a Google identity; nothing else is in any group.
        asked_groups: Whether a group had to be asked for.
    """

    __slots__ = ("_memberships", "address", "google_account", "names", "principal")

    def __init__(self, principal: Principal, known: KnownAccounts) -> None:
        """Work out who it is.

        Args:
            principal: The verified caller, or the anonymous one.
            known: What the user knows of accounts.
        """
        self.principal = principal
        self.google_account: Final = principal.google_account
        self.names: Final = identities(principal, known)
        account = known.account(principal)
        self.address = None if account is None else account.partition(":")[2]
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
            self._memberships[key] = groups(group, self.principal, self.address)
        return self._memberships[key]

    def member(self, member: Member, groups: Resolver) -> Match:
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
