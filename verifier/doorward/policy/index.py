"""A policy, indexed for decisions.

A member that a binding grants unconditionally is found by one look-up, however many members there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from doorward.policy.decision import BindingCondition, Decision
from doorward.policy.membership.groups import Resolver
from doorward.policy.membership.identities import KnownAccounts
from doorward.policy.membership.members import ALL_USERS, Member
from doorward.policy.request import ANYWHERE

if TYPE_CHECKING:  # most policies have no deny rules, and need not load what matches them
    from doorward.policy.deny.matching import Denial

__all__ = ["PermissionBinding", "PolicyIndex"]


@dataclass(frozen=True, slots=True, eq=False)
class PermissionBinding:
    """A binding whose role holds the permission, read.

    Attributes:
        name: Its position in the policy, after the name of the file if there is one.
        role: Its role.
        members: Its members.
        condition: Its condition; None if it has none.
        groups: Resolves its groups.
    """

    name: str
    role: str
    members: tuple[Member, ...]
    condition: BindingCondition | None
    groups: Resolver

    @property
    def always(self) -> bool | None:
        """Whether it grants its members for every request at any time, or never; None if that depends."""
        if self.condition is None:
            return True
        if self.condition.depends_on_request or self.condition.depends_on_time:
            return None
        return self.condition.holds(ANYWHERE, 0.0)


class PolicyIndex:
    """The bindings and deny rules of a policy, indexed; immutable.

    Attributes:
        bindings: The bindings whose role holds the permission, in order.
        denials: The deny rules that cover the permission, in order.
        known: What the user of the policy knows of accounts.
        unconditional: The first binding that grants a member unconditionally, by the key of the member.
        conditional: The bindings that grant a member under a condition, by the key of the member.
        groups: The groups that bindings grant: the address, the binding, and whether it grants
            unconditionally.
        issuers: The first binding that grants every user of an issuer, by the issuer.
        public: Whether a binding grants every request, with or without a condition.
        size: The number of different members.
    """

    __slots__ = (
        "bindings",
        "conditional",
        "denials",
        "groups",
        "issuers",
        "known",
        "public",
        "size",
        "unconditional",
    )

    def __init__(
        self, bindings: Iterable[PermissionBinding], denials: Iterable[Denial], known: KnownAccounts
    ) -> None:
        """Index bindings.

        Args:
            bindings: The bindings, in order.
            denials: The deny rules that cover the permission, in order.
            known: What the user of the policy knows of accounts.
        """
        self.bindings: Final[tuple[PermissionBinding, ...]] = tuple(bindings)
        self.denials: Final[tuple[Denial, ...]] = tuple(denials)
        self.known: Final[KnownAccounts] = known
        unconditional: dict[str, PermissionBinding] = {}
        conditional: dict[str, list[PermissionBinding]] = {}
        groups: list[tuple[str, PermissionBinding, bool]] = []
        issuers: dict[str, PermissionBinding] = {}
        for binding in self.bindings:
            always = binding.always
            if always is False:
                continue
            for member in binding.members:
                if member.issuer is not None and always:
                    issuers.setdefault(member.issuer, binding)
                elif member.group is not None:
                    groups.append((member.group, binding, always is True))
                elif member.key is not None and always:
                    unconditional.setdefault(member.key, binding)
                elif member.key is not None:
                    conditional.setdefault(member.key, []).append(binding)
        self.unconditional: Final[Mapping[str, PermissionBinding]] = unconditional
        self.conditional: Final[Mapping[str, tuple[PermissionBinding, ...]]] = {
            key: tuple(found) for key, found in conditional.items()
        }
        self.groups: Final[tuple[tuple[str, PermissionBinding, bool], ...]] = tuple(groups)
        self.issuers: Final[Mapping[str, PermissionBinding]] = issuers
        self.public: Final[bool] = ALL_USERS in unconditional or ALL_USERS in conditional
        group_members = {f"group:{group}" for group, _, _ in groups}
        self.size: Final[int] = len(unconditional.keys() | conditional.keys() | group_members) + len(issuers)

    def unconditional_grant(self, members: tuple[str, ...]) -> Decision | None:
        """Return the decision of the first binding that grants one of some members unconditionally.

        Args:
            members: The keys of every member that the principal is, the narrowest first.

        Returns:
            A grant for every request; None if there is no such binding.
        """
        unconditional = self.unconditional
        for member in members:
            if member in unconditional:
                return Decision(True, member, unconditional[member].role, True)  # noqa: FBT003 - fields with names
        return None

    def issuer_grant(self, issuer: str | None) -> Decision | None:
        """Return the decision of the first binding that grants every user of an issuer.

        Args:
            issuer: The issuer of the principal; None if it is anonymous.

        Returns:
            A grant for every request; None if there is no such binding.
        """
        if issuer is None or issuer not in self.issuers:
            return None
        binding = self.issuers[issuer]
        return Decision(
            granted=True, member=binding.members[0].text, role=binding.role, same_for_every_request=True
        )
