"""Who is in a group: that is in no ID token, so whoever uses a policy with groups says how to find out.

Three ways: a mapping of the members of each group, a function, or `CloudIdentityGroups`, which asks Google.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from doorward.errors import PolicyError
from doorward.keys.flight import Flight
from doorward.policy.members import fold, read_member
from doorward.tokens.principal import Principal

__all__ = ["GroupDirectory", "Groups", "Resolver", "Unresolved", "resolver"]

_log: Final = logging.getLogger("doorward.policy")


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Nobody can say now whether somebody is in a group.

    Attributes:
        reason: Why, for the operator's log.
        pending: A look-up that is on its way and worth waiting for; None where waiting does not help.
    """

    reason: str
    pending: Flight | None = None


@runtime_checkable
class GroupDirectory(Protocol):
    """Whatever can look up an address in a group. It answers at once: it is asked in event loops too."""

    def look_up(self, group: str, address: str, /) -> bool | Unresolved:
        """Tell whether an account is in a group, directly or through other groups.

        Args:
            group: The address of the group, in lower case.
            address: The address of the account, in lower case.

        Returns:
            Whether it is; or that nobody can say now.
        """
        ...


Groups = Mapping[str, Collection[str]] | Callable[[str, Principal], "bool | Unresolved"] | GroupDirectory
"""What can be given as ``groups``: the members of each group, a function of the group's address and the
principal, or a directory. A function is called in whichever thread decides, also in an event loop's: one that
waits for something holds up every other request there."""


class Resolver(Protocol):
    """Any of them, in one form."""

    def __call__(self, group: str, principal: Principal, address: str | None, /) -> bool | Unresolved | None:
        """Tell whether a Google account is in a group.

        Args:
            group: The address of the group, in lower case.
            principal: The caller; a Google account.
            address: Its address, in lower case, if it is known.

        Returns:
            Whether it is; that nobody can say now; or None where its address would have to be known.
        """
        ...

    def check(self, group: str) -> None:
        """Refuse a group that can never be resolved.

        Raises:
            PolicyError: If it is one.
        """
        ...


def resolver(groups: Groups | None) -> Resolver:
    """Give what the user passed as ``groups`` its one form.

    Args:
        groups: As the user passed it.

    Returns:
        The resolver.

    Raises:
        PolicyError: If it is something else.
    """
    if groups is None:
        return _Nothing()
    if isinstance(groups, Mapping):
        return _Listed(groups)
    if isinstance(groups, GroupDirectory):
        return _Directory(groups)
    if callable(groups):
        return _Asked(groups)
    raise PolicyError(
        "groups must be a mapping, a function or a directory such as CloudIdentityGroups, "
        f"not {type(groups).__name__}"
    )


class _Nothing:
    """No way to resolve any group: a policy that names one does not load."""

    def __call__(self, group: str, principal: Principal, address: str | None) -> None:
        raise NotImplementedError

    def check(self, group: str) -> None:
        raise PolicyError(
            f"member 'group:{group}' needs a way to tell who is in the group, which no ID token says: pass "
            f"groups={{'{group}': [...]}}, or a function of the group and the principal, or "
            "CloudIdentityGroups(...)"
        )


class _Listed:
    """Groups whose members are listed; a group may be the member of another."""

    def __init__(self, groups: Mapping[str, Collection[str]]) -> None:
        direct = {fold(group.removeprefix("group:")): _read(group, names) for group, names in groups.items()}
        self._members = {group: _flat(group, direct) for group in direct}

    def __call__(self, group: str, principal: Principal, address: str | None) -> bool | None:
        del principal
        return None if address is None else address in self._members[group]

    def check(self, group: str) -> None:
        if group not in self._members:
            raise PolicyError(
                f"groups lists no members for 'group:{group}': add it, with an empty list if nobody is in it"
            )


def _read(group: str, names: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Read the members of a group: accounts and groups."""
    if isinstance(names, str):
        raise PolicyError(f"groups: the members of {group} must be a list, not one string")
    accounts, nested = set(), set()
    for name in names:
        text = name if not isinstance(name, str) or ":" in name else f"user:{name}"
        if isinstance(text, str) and text.lower().endswith(".gserviceaccount.com") and ":" not in name:
            text = f"serviceAccount:{name}"
        try:
            member = read_member(text)
        except PolicyError as error:
            raise PolicyError(f"groups: {group}: {error}") from None
        if member.group is not None:
            nested.add(member.group)
        elif member.key is not None and "@" in member.key:
            accounts.add(member.key.partition(":")[2])
        else:
            raise PolicyError(f"groups: {group}: {name!r} is not an account or a group")
    return frozenset(accounts), frozenset(nested)


def _flat(group: str, direct: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> frozenset[str]:
    """Gather the accounts of a group and of every group in it."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = [group]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        if one not in direct:
            raise PolicyError(
                f"groups: 'group:{one}' is a member of {group}, and its own members are not listed"
            )
        accounts, nested = direct[one]
        found |= accounts
        todo += nested
    return frozenset(found)


class _Directory:
    """A directory that is asked by address."""

    def __init__(self, directory: GroupDirectory) -> None:
        self._directory = directory

    def __call__(self, group: str, principal: Principal, address: str | None) -> bool | Unresolved | None:
        del principal
        if address is None:
            return None
        return _asked(group, lambda: self._directory.look_up(group, address))

    def check(self, group: str) -> None:
        """Any group may be there."""


class _Asked:
    """A function of the user's own."""

    def __init__(self, function: Callable[[str, Principal], bool | Unresolved]) -> None:
        self._function = function

    def __call__(self, group: str, principal: Principal, address: str | None) -> bool | Unresolved:
        del address
        return _asked(group, lambda: self._function(group, principal))

    def check(self, group: str) -> None:
        """Any group may be known to it."""


def _asked(group: str, ask: Callable[[], bool | Unresolved]) -> bool | Unresolved:
    """Ask code that is not doorward's: what goes wrong in it must neither grant nor hide other bindings."""
    try:
        answer = ask()
    except Exception as error:  # noqa: BLE001 - see above
        _log.exception("who is in the group %s could not be found out", group)
        return Unresolved(f"asking for the members of {group} failed: {type(error).__name__}")
    if isinstance(answer, bool | Unresolved):
        return answer
    _log.error("the answer for the group %s is no bool but %s", group, type(answer).__name__)
    return Unresolved(f"the answer for the group {group} is no bool")
