"""The identities file: one small file, YAML or JSON, that says who there is and who may act as whom.

Every member of it is optional, and what is not understood is refused: a mistyped name would else change
nothing, without a word. `docs/emulator.md` describes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from doorward.errors import ConfigurationError, PolicyError
from doorward.issuers.service_accounts import fold, is_service_account
from doorward.policy.files.file import read_file
from doorward.shown import quoted
from doorward_integrations.emulator.accounts import CLOUD_PLATFORM, Account
from doorward_integrations.emulator.identities.model import DEFAULT_PROJECT, Binding, Identities

__all__ = ["parse_identities", "read_identities"]

_MEMBERS: Final = (
    "project",
    "project_number",
    "service_accounts",
    "users",
    "attached",
    "bindings",
    "groups",
)
_PROJECT: Final = re.compile(r"(?:[a-z0-9.-]{1,60}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_DIGITS: Final = re.compile(r"[1-9][0-9]{0,20}")
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,200}")  # RFC 6749, section 3.3
_POLICY: Final = re.compile(r"^not a policy(?: in [A-Z]+)?: ")


def read_identities(path: str | os.PathLike[str]) -> Identities:
    """Read an identities file.

    Args:
        path: The file, at most 1 MiB. ``.json`` means JSON; YAML needs the extra ``yaml``.

    Returns:
        What it says.

    Raises:
        ConfigurationError: If it cannot be read, or holds anything but what `parse_identities` understands.
    """
    name = os.fspath(path)
    try:
        document = read_file(path)
    except PolicyError as error:
        # It is read as strictly as a policy, and by the same reader.
        why = _POLICY.sub("", str(error))
        raise ConfigurationError(f"the identities file {name!r} cannot be read: {why}") from None
    try:
        return parse_identities(document)
    except ConfigurationError as error:
        raise ConfigurationError(f"the identities file {name!r}: {error}") from None


def parse_identities(document: object) -> Identities:
    """Make identities of what a file holds.

    Args:
        document: The parsed file.

    Returns:
        The identities.

    Raises:
        ConfigurationError: If a member is not understood; the message names it.
    """
    members = _mapping("the file", document)
    _check_names("the file", members, _MEMBERS)
    described = dict(_accounts(members, "service_accounts", ("unique_id", "scopes", "bindings")))
    users = dict(_accounts(members, "users", ("unique_id", "hosted_domain")))
    bindings = {
        email: _bindings(f"service_accounts: {quoted(email)}: bindings", settings["bindings"])
        for email, settings in described.items()
        if settings.get("bindings") is not None
    }
    groups = {
        _address("groups", name): tuple(_text(f"groups: {quoted(name)}", one) for one in _list(name, listed))
        for name, listed in _mapping("groups", members.get("groups")).items()
    }
    return Identities(
        project=_matching("project", members.get("project"), _PROJECT) or DEFAULT_PROJECT,
        project_number=_digits("project_number", members.get("project_number")) or "",
        accounts=tuple(_account(email, one) for email, one in (*described.items(), *users.items())),
        attached=tuple(_address("attached", one) for one in _list("attached", members.get("attached"))),
        bindings=bindings,
        project_bindings=_bindings("bindings", members.get("bindings")),
        groups=groups,
    )


def _accounts(
    members: Mapping[str, object], kind: str, names: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    for email, settings in _mapping(kind, members.get(kind)).items():
        where = f"{kind}: {quoted(email)}"
        if is_service_account(fold(_address(kind, email))) != (kind == "service_accounts"):
            other = "users" if kind == "service_accounts" else "service_accounts"
            raise ConfigurationError(f"{where} belongs to {other}, by the end of its address")
        described = _mapping(where, settings)
        _check_names(where, described, names)
        yield email, described


def _account(email: str, settings: Mapping[str, object]) -> Account:
    where = quoted(email)
    scopes = (
        _matching(f"{where}: scopes", one, _SCOPE, needed=True)
        for one in _list(f"{where}: scopes", settings.get("scopes"))
    )
    return Account(
        email,
        unique_id=_digits(f"{where}: unique_id", settings.get("unique_id")),
        hosted_domain=_matching(f"{where}: hosted_domain", settings.get("hosted_domain"), _DOMAIN),
        scopes=tuple(filter(None, scopes)) or (CLOUD_PLATFORM,),
    )


def _bindings(where: str, listed: object) -> tuple[Binding, ...]:
    found: list[Binding] = []
    for one in _list(where, listed):
        binding = _mapping(where, one)
        _check_names(where, binding, ("role", "members"))
        role = _text(f"{where}: role", binding.get("role"))
        members = [_text(f"{where}: members", name) for name in _list(where, binding.get("members"))]
        try:
            found.append(Binding(role, frozenset(members)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
    return tuple(found)


def _check_names(where: str, found: Mapping[str, object], names: tuple[str, ...]) -> None:
    for name in found:
        if name not in names:
            raise ConfigurationError(
                f"{where} has a member {quoted(name)}, which is not understood: there are {', '.join(names)}"
            )


def _mapping(where: str, value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} must be a mapping, not {_kind(value)}")
    return value


def _list(where: str, value: object) -> tuple[object, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{where} must be a list, not {_kind(value)}")
    return tuple(value)


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where} must be a text, not {_kind(value)}")
    return value


def _address(where: str, value: object) -> str:
    try:
        return Account(_text(where, value)).email
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _matching(where: str, value: object, pattern: re.Pattern[str], *, needed: bool = False) -> str | None:
    if value is None and not needed:
        return None
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ConfigurationError(f"{where} cannot be {quoted(value)}")
    return value


def _digits(where: str, value: object) -> str | None:
    # YAML reads a number that is not in quotes as one.
    plain = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return _matching(where, plain, _DIGITS)


def _kind(value: object) -> str:
    names = {dict: "a mapping", str: "a text", bool: "true or false", int: "a number", type(None): "nothing"}
    return "a list" if isinstance(value, list | tuple) else names.get(type(value), "that")
