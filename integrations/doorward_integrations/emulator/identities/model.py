"""Who there is: service accounts, users, groups, and the bindings by which one may act as another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from doorward.errors import ConfigurationError, PolicyError
from doorward.issuers.service_accounts import fold
from doorward.policy.membership.members import ALL_AUTHENTICATED_USERS, ALL_USERS, read_member
from doorward.shown import quoted
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT, Account, numeric_id
from doorward_integrations.emulator.identities.permissions import ROLES

__all__ = ["DEFAULT_PROJECT", "Binding", "Identities", "normal_member"]

DEFAULT_PROJECT: Final = "doorward-demo"
"""The id of the project, unless another is chosen."""

_PROJECT_NUMBER_DIGITS: Final = 12


def normal_member(text: object) -> str:
    """Return a member in the one form in which members are compared.

    Args:
        text: A member as IAM writes it, such as ``user:EMAIL`` or ``principalSet://…``.

    Returns:
        The member; addresses and domains in lower case.

    Raises:
        ConfigurationError: If it is no member.
    """
    try:
        member = read_member(text)
    except PolicyError as error:
        raise ConfigurationError(str(error)) from None
    return member.key or (f"group:{member.group}" if member.group else member.text)


@dataclass(frozen=True, slots=True)
class Binding:
    """Who is granted one role on a service account, or on all accounts of the project.

    Attributes:
        role: One of the roles in `doorward_integrations.emulator.identities.permissions.ROLES`.
        members: Who has it, as IAM writes members.
    """

    role: str
    members: frozenset[str]

    def __post_init__(self) -> None:
        """Check the role, and bring the members into one form.

        Raises:
            ConfigurationError: If the role grants nothing that is emulated, or a member is not one.
        """
        if self.role not in ROLES:
            raise ConfigurationError(
                f"the role {quoted(self.role)} says nothing about acting as a service account: write one of "
                f"{', '.join(ROLES)}"
            )
        object.__setattr__(self, "members", frozenset(map(normal_member, self.members)))

    def grants(self, permission: str, members: AbstractSet[str]) -> bool:
        """Return whether it grants a permission to one who is any of these members.

        Args:
            permission: The permission.
            members: Every member that the caller is.
        """
        return permission in ROLES[self.role] and not self.members.isdisjoint(members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """Who there is on the emulated Google, and who may act as whom. Immutable.

    With the defaults, every address is an account, and no one may act as another.

    Attributes:
        project: The id of the project.
        project_number: Its number, in digits; follows from the id by default.
        accounts: The accounts that are described. If a service account is among them, there are no other
            service accounts; if a user is, there are no other users.
        attached: The addresses of the service accounts that the metadata server has tokens for, the default
            one first.
        bindings: The bindings of the service accounts, by address.
        project_bindings: The bindings of the project, which hold for each of its service accounts.
        groups: The members of each group; a group may be a member of another. It can be passed as ``groups``
            to the policies of a door.
    """

    project: str = DEFAULT_PROJECT
    project_number: str = ""
    accounts: tuple[Account, ...] = ()
    attached: tuple[str, ...] = ()
    bindings: Mapping[str, tuple[Binding, ...]] = field(default_factory=dict)
    project_bindings: tuple[Binding, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _by_address: Mapping[str, Account] = field(init=False, repr=False, compare=False)
    _by_unique_id: Mapping[str, Account] = field(init=False, repr=False, compare=False)
    _groups_of: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that everything fits together.

        Raises:
            ConfigurationError: If the project is empty, two accounts share an address or a unique id, an
                attached account or one with bindings does not exist, or a group cannot be resolved.
        """
        if not self.project:
            raise ConfigurationError("the emulator needs the id of a project, such as doorward-demo")
        put = object.__setattr__
        put(self, "project_number", self.project_number or numeric_id(self.project, _PROJECT_NUMBER_DIGITS))
        put(self, "_by_address", _indexed("address", ((fold(one.email), one) for one in self.accounts)))
        put(self, "_by_unique_id", _indexed("unique id", ((one.subject, one) for one in self.accounts)))
        put(self, "bindings", MappingProxyType({fold(name): tuple(b) for name, b in self.bindings.items()}))
        put(self, "groups", _normal_groups(self.groups))
        put(self, "_groups_of", _parents(self.groups))
        first = next((one.email for one in self.accounts if one.is_service_account), DEFAULT_ACCOUNT)
        put(self, "attached", tuple(self.attached) or (first,))
        for where, names in (("attached", self.attached), ("bindings", self.bindings)):
            for name in names:
                account = self.find(name)
                if account is None or not account.is_service_account:
                    raise ConfigurationError(
                        f"{where}: {quoted(name)} is none of the service accounts: add it to them"
                    )

    def find(self, address: str) -> Account | None:
        """Look an account up by its address.

        Args:
            address: The address, in any case.

        Returns:
            The account, as it is described; None if there is no such account.
        """
        described = self._by_address.get(fold(address))
        if described is not None:
            return described
        try:
            account = Account(address)
        except ConfigurationError:
            return None
        alike = (one.is_service_account == account.is_service_account for one in self.accounts)
        return None if any(alike) else account

    def find_by_name(self, name: str) -> Account | None:
        """Look an account up by its address or its unique id, as IAM does.

        Args:
            name: The address in any case, or the unique id.

        Returns:
            The account; None if there is none. An account that is not described has no unique id to be found
            by.
        """
        return self._by_unique_id.get(name) or self.find(name)

    @property
    def unique_ids(self) -> dict[str, str]:
        """The unique ids by member, as ``unique_ids`` of the policies of a door.

        A token without an e-mail names its account by nothing else.
        """
        return {_member(account): account.subject for account in self.accounts}

    def members_of(self, account: Account) -> frozenset[str]:
        """Return every member that an account is: itself, its groups and its domain, and all accounts.

        Args:
            account: The account.
        """
        own = _member(account)
        found = {own, ALL_USERS, ALL_AUTHENTICATED_USERS}
        if account.hosted_domain is not None:
            found.add(f"domain:{fold(account.hosted_domain)}")
        todo = [own]
        while todo:
            for group in self._groups_of.get(todo.pop(), ()):
                if group not in found:
                    found.add(group)
                    todo.append(group)
        return frozenset(found)

    def may(self, members: AbstractSet[str], permission: str, account: Account) -> bool:
        """Return whether a caller holds a permission on a service account.

        Args:
            members: Every member that the caller is, as `members_of` returns them.
            permission: The permission.
            account: The account.
        """
        bindings = (*self.project_bindings, *self.bindings.get(fold(account.email), ()))
        return any(binding.grants(permission, members) for binding in bindings)


def _member(account: Account) -> str:
    return f"{'serviceAccount' if account.is_service_account else 'user'}:{fold(account.email)}"


def _indexed(what: str, pairs: Iterable[tuple[str, Account]]) -> Mapping[str, Account]:
    found: dict[str, Account] = {}
    for key, account in pairs:
        if key in found:
            raise ConfigurationError(f"two accounts have the {what} {quoted(key)}: each needs its own")
        found[key] = account
    return MappingProxyType(found)


def _parents(groups: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Return the groups that each member is in itself."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for group, members in groups.items():
        for member in members:
            found[member].append(f"group:{group}")
    return MappingProxyType({member: tuple(named) for member, named in found.items()})


def _normal_groups(groups: Mapping[str, Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
    """Bring groups into the form in which they are compared, which is also one that a policy takes.

    Raises:
        ConfigurationError: If a member is none, or a group that is not listed.
    """
    found = {
        fold(name): tuple(_member_of_group(name, one) for one in listed) for name, listed in groups.items()
    }
    if len(found) != len(groups):
        raise ConfigurationError("groups: the same group is listed twice, in other letters")
    for name, listed in found.items():
        for member in listed:
            if member.startswith("group:") and member.removeprefix("group:") not in found:
                raise ConfigurationError(
                    f"groups: {quoted(member)} is a member of {quoted(name)}, and its own members are not "
                    "listed: list them"
                )
    return MappingProxyType(found)


def _member_of_group(group: str, text: str) -> str:
    if text.startswith(("user:", "serviceAccount:", "group:")):
        try:
            return normal_member(text)
        except ConfigurationError as error:
            raise ConfigurationError(f"groups: {quoted(group)}: {error}") from None
    raise ConfigurationError(
        f"groups: {quoted(group)}: {quoted(text)} is no member of a group: write user:EMAIL, "
        "serviceAccount:EMAIL or group:EMAIL"
    )
