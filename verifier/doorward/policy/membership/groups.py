"""The members of groups. No ID token names them, so the user of a policy says how to resolve them.

Three ways: a mapping that lists the members of each group, a function, or a directory such as
`doorward.policy.membership.cloud_identity.CloudIdentityGroups`, which asks Google.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold, is_service_account
from doorward.keys.flight import Flight
from doorward.loglimit import LogLimit
from doorward.policy.membership.members import read_member
from doorward.shown import quoted, shortened
from doorward.tokens.principal import Principal

__all__ = ["GroupDirectory", "Groups", "Resolver", "Unresolved", "resolver"]

_log: Final = logging.getLogger("doorward.policy")
# A caller can have the groups looked up with each request, and so a failure logged.
_failures: Final = LogLimit(_log, logging.ERROR, "look-ups of group members that failed", lines=0)
_MOST_KEPT: Final = 1_024  # accounts whose groups are kept


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The answer "cannot know now" to whether a principal is in a group.

    Attributes:
        reason: Why, for the operator's log.
        pending: A look-up that is under way and worth waiting for; None if waiting does not help.
    """

    reason: str
    pending: Flight | None = None


@runtime_checkable
class GroupDirectory(Protocol):
    """A directory that looks up an address in a group.

    It must return at once: decisions are made in event loops too.
    """

    def look_up(self, group: str, address: str, /) -> bool | Unresolved:
        """Return whether an account is in a group, directly or through other groups.

        Args:
            group: The address of the group, in lower case.
            address: The address of the account, in lower case.

        Returns:
            Whether it is; `Unresolved` if that cannot be known now.
        """
        ...


Groups = Mapping[str, Collection[str]] | Callable[[str, Principal], "bool | Unresolved"] | GroupDirectory
"""What can be passed as ``groups``: the members of each group, a function of the group's address and the
principal, or a directory. A function is called in the thread that decides, which may be an event loop's: a
function that blocks holds up every other request of that loop."""


class Resolver(Protocol):
    """Any `Groups`, in one form."""

    def __call__(self, group: str, principal: Principal, address: str | None, /) -> bool | Unresolved | None:
        """Return whether a Google account is in a group.

        Args:
            group: The address of the group, in lower case.
            principal: The caller; a Google account.
            address: The address of the account, in lower case; None if it is not known.

        Returns:
            Whether it is; `Unresolved` if that cannot be known now; None if only its address could decide.
        """
        ...

    @property
    def directory(self) -> object:
        """What is asked, for a readiness probe; None if nothing is."""
        ...

    def check(self, group: str) -> None:
        """Check, when a policy is read, that a group can be resolved.

        Args:
            group: The address of the group, in lower case.

        Raises:
            PolicyError: If it can never be resolved.
        """
        ...


def resolver(groups: Groups | None) -> Resolver:
    """Return the resolver for what the user passed as ``groups``.

    Args:
        groups: The groups, as passed; None if none were passed.

    Returns:
        The resolver.

    Raises:
        PolicyError: If it is anything else.
    """
    if groups is None:
        return _NoGroups()
    if isinstance(groups, Mapping):
        return _ListedGroups(groups)
    if isinstance(groups, GroupDirectory):
        return _DirectoryGroups(groups)
    if callable(groups):
        return _FunctionGroups(groups)
    raise PolicyError(
        "groups must be a mapping, a function or a directory such as CloudIdentityGroups, "
        f"not {type(groups).__name__}"
    )


class _NoGroups:
    """Resolves no group: a policy that names one does not load."""

    @property
    def directory(self) -> None:
        return None

    def __call__(self, group: str, principal: Principal, address: str | None) -> None:
        raise NotImplementedError

    def check(self, group: str) -> None:
        raise PolicyError(
            f"member 'group:{shortened(group)}' needs the members of the group, which no ID token names: "
            f"pass groups={{{quoted(group)}: [...]}}, or a function of the group and the principal, or "
            "CloudIdentityGroups(...)"
        )


class _ListedGroups:
    """Groups whose members are listed; a group may be a member of another one.

    The members of groups in groups are not collected: in a chain of groups they are as many as the square of
    its length. From the groups that list an account it goes up to those that list these, once per account.
    """

    @property
    def directory(self) -> None:
        return None

    def __init__(self, groups: Mapping[str, Collection[str]]) -> None:
        listed = {
            fold(group.removeprefix("group:")): _read_members(group, names) for group, names in groups.items()
        }
        self._groups: Final = frozenset(listed)
        self._listing_account: Final = _listing({group: accounts for group, (accounts, _) in listed.items()})
        self._listing_group: Final = _listing({group: nested for group, (_, nested) in listed.items()})
        for group, parents in self._listing_group.items():
            if group not in self._groups:
                raise PolicyError(
                    f"groups: 'group:{shortened(group)}' is a member of {shortened(parents[0])}, and its own "
                    "members are not listed: list them"
                )
        self._found: Final[dict[str, frozenset[str]]] = {}

    def __call__(self, group: str, principal: Principal, address: str | None) -> bool | None:
        del principal
        return None if address is None else group in self._groups_of(address)

    def _groups_of(self, address: str) -> frozenset[str]:
        """Return every group that an account is in."""
        found = self._found.get(address)
        if found is None:
            found = _all_above(self._listing_account.get(address, ()), self._listing_group)
            # Of accounts in no group there may be any number: they are not kept.
            if found:
                if len(self._found) >= _MOST_KEPT:
                    self._found.clear()
                self._found[address] = found
        return found

    def check(self, group: str) -> None:
        if group not in self._groups:
            raise PolicyError(
                f"groups lists no members for 'group:{shortened(group)}': add it, with an empty list if it "
                "has none"
            )


def _listing(members: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the groups that list each member."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for group, names in members.items():
        for name in names:
            found[name].append(group)
    return dict(found)


def _all_above(groups: Iterable[str], listing: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return groups, those that list them, and so on; each is visited once, also in a circle."""
    found = set(groups)
    todo = list(found)
    while todo:
        for group in listing.get(todo.pop(), ()):
            if group not in found:
                found.add(group)
                todo.append(group)
    return frozenset(found)


def _read_members(group: str, names: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Read the members of a group: return the addresses of its accounts, and those of the groups in it."""
    if isinstance(names, str):
        raise PolicyError(f"groups: the members of {shortened(group)} must be a list, not one string")
    accounts, nested = set(), set()
    for name in names:
        try:
            member = read_member(_typed_member(name))
        except PolicyError as error:
            raise PolicyError(f"groups: {shortened(group)}: {error}") from None
        if member.group is not None:
            nested.add(member.group)
        elif member.key is not None and "@" in member.key:
            accounts.add(member.key.partition(":")[2])
        else:
            raise PolicyError(f"groups: {shortened(group)}: {quoted(name)} is not an account or a group")
    return frozenset(accounts), frozenset(nested)


def _typed_member(name: object) -> object:
    """Return a member of a group with its type; a bare address is that of an account."""
    if not isinstance(name, str) or ":" in name:
        return name
    return f"serviceAccount:{name}" if is_service_account(fold(name)) else f"user:{name}"


class _DirectoryGroups:
    """Groups that a directory looks up by address."""

    def __init__(self, directory: GroupDirectory) -> None:
        self.directory: Final = directory

    def __call__(self, group: str, principal: Principal, address: str | None) -> bool | Unresolved | None:
        del principal
        if address is None:
            return None
        return _resolve(group, lambda: self.directory.look_up(group, address))

    def check(self, group: str) -> None:
        """Accept any group: only a look-up shows whether it exists."""


class _FunctionGroups:
    """Groups that a function of the user resolves."""

    def __init__(self, function: Callable[[str, Principal], bool | Unresolved]) -> None:
        self.directory: Final = function

    def __call__(self, group: str, principal: Principal, address: str | None) -> bool | Unresolved:
        del address
        return _resolve(group, lambda: self.directory(group, principal))

    def check(self, group: str) -> None:
        """Accept any group: only a call shows whether the function knows it."""


def _resolve(group: str, look_up: Callable[[], bool | Unresolved]) -> bool | Unresolved:
    """Call code that is not doorward's: an error in it must neither grant nor hide other bindings."""
    try:
        answer = look_up()
    except Exception as error:  # noqa: BLE001 - see above
        if _failures.allows(type(error).__name__):
            _log.exception("resolving the members of the group %s failed", shortened(group))
        return Unresolved(f"resolving the members of {shortened(group)} failed: {type(error).__name__}")
    if isinstance(answer, bool | Unresolved):
        return answer
    kind, name = type(answer).__name__, shortened(group)
    if _failures.allows(kind):
        _log.error("the answer for the group %s must be bool or Unresolved, not %s", name, kind)
    return Unresolved(f"the answer for the group {name} is neither bool nor Unresolved")
