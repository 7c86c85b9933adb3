"""The members of bindings: the forms in which IAM writes them, read.

The forms are those of https://cloud.google.com/iam/docs/principal-identifiers. IAM compares the type of a
member (``user``, ``serviceAccount``, …) with regard to case, an address or a domain without, and the value
of ``principal:`` and ``principalSet:`` with regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold, is_service_account
from doorward.shown import quoted

__all__ = [
    "ALL_AUTHENTICATED_USERS",
    "ALL_USERS",
    "Member",
    "federated_reason",
    "member_key",
    "read_member",
    "read_resource_set",
]

ALL_USERS: Final = "allUsers"
"""The member that stands for every request, with or without a credential."""

ALL_AUTHENTICATED_USERS: Final = "allAuthenticatedUsers"
"""The member that stands for every Google account."""

_PUBLIC: Final = frozenset({ALL_USERS, ALL_AUTHENTICATED_USERS})
_DELETED: Final = re.compile(
    r"deleted:(?:(?:user|serviceAccount|group):[^@\s]+@[^@\s?]+\?uid=\w+|principal(?:Set)?://\S+)"
)
_POOL: Final = re.compile(
    r"principal(?:Set)?://iam\.googleapis\.com/"
    r"(?:locations/global/(?P<workforce>workforcePools)|projects/\d+/locations/global/workloadIdentityPools)"
    r"/[^/\s]+/(?:subject/\S+|group/\S+|attribute\.[^/\s]+/\S+|namespace/\S+|kubernetes\.\S+|\*)"
)
_RESOURCE: Final = re.compile(r"principal(?:Set)?://[a-z0-9.-]+\.system\.id\.goog/\S+")
_RESOURCE_SET: Final = re.compile(
    r"principalSet://cloudresourcemanager\.googleapis\.com/(projects|folders|organizations)/(\d+)/type/(\w+)"
)
_KUBERNETES: Final = re.compile(r"serviceAccount:[^\s\[\]@]+\.svc\.id\.goog\[[^\s/\[\]]+/[^\s/\[\]]+\]")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a binding, read. Exactly one of `key`, `group`, `issuer` and `never_reason` is set.

    Attributes:
        text: The member, as the policy has it.
        key: The form in which `doorward.policy.membership.identities.identities` returns it for a principal
            that is this member.
        group: The address of the group that it names, in lower case.
        issuer: The issuer whose every user is this member, as `Principal.issuer`; IAM has no such member, so
            that no text is read as one.
        never_reason: Why no principal with an ID token can be this member.
    """

    text: str
    key: str | None = None
    group: str | None = None
    issuer: str | None = None
    never_reason: str | None = None


def read_member(member: object, project_numbers: Mapping[str, str] | None = None) -> Member:
    """Read one member of a binding.

    Args:
        member: The member, as IAM prints it.
        project_numbers: The known numbers of projects, by project id.

    Returns:
        The member, read.

    Raises:
        PolicyError: If it is not a member.
    """
    if not isinstance(member, str):
        raise PolicyError(f"a member must be a string, not {type(member).__name__}")
    if member in _PUBLIC:
        return Member(member, key=member)
    kind, colon, value = member.partition(":")
    if kind in ("principal", "principalSet", "deleted"):
        return _read_identifier(member, project_numbers or {})
    if _KUBERNETES.fullmatch(member):
        return Member(
            member,
            never_reason="a Kubernetes workload presents the ID token of the account that it impersonates",
        )
    if colon and value:
        folded = fold(value)
        if kind in ("user", "serviceAccount") and _is_address(value):
            if kind == "user" and is_service_account(folded):
                raise PolicyError(f"member {quoted(member)} is a service account: write serviceAccount:EMAIL")
            return Member(member, key=f"{kind}:{folded}")
        if kind == "group" and _is_address(value):
            return Member(member, group=folded)
        if kind == "domain" and "@" not in value and not any(map(str.isspace, value)):
            return Member(member, key=f"domain:{folded}")
    raise _not_understood(member)


def member_key(member: object) -> str | None:
    """Return the key of one member of a binding.

    Args:
        member: The member, as IAM prints it.

    Returns:
        `Member.key`; None for a group, and for a member that no principal with an ID token can be.

    Raises:
        PolicyError: If it is not a member.
    """
    return read_member(member).key


def federated_reason(text: str) -> str | None:
    """Return why no principal with an ID token can have a federated identity.

    Args:
        text: A ``principal:`` or ``principalSet:``, as IAM prints it.

    Returns:
        The reason; None if it does not have one of the known forms of federated identities.
    """
    if (pool := _POOL.fullmatch(text)) is not None:
        kind = "workforce" if pool["workforce"] else "workload"
        return f"a {kind} identity presents no Google ID token but that of an account it impersonates"
    if _RESOURCE.fullmatch(text):
        return "the built-in identity of a resource presents no Google ID token"
    return None


def read_resource_set(text: str) -> tuple[str, str, str] | None:
    """Read a member that stands for the accounts of a project, a folder or an organisation.

    Args:
        text: A ``principalSet:``, as IAM prints it.

    Returns:
        The kind of resource (``projects``, ``folders`` or ``organizations``), its number and the type of the
        accounts; None if it does not have that form.
    """
    found = _RESOURCE_SET.fullmatch(text)
    return None if found is None else (found[1], found[2], found[3])


def _is_address(value: str) -> bool:
    return value.count("@") == 1 and not any(map(str.isspace, value)) and value[0] != "@" != value[-1]


def _read_identifier(member: str, project_numbers: Mapping[str, str]) -> Member:
    """Read a ``principal:``, ``principalSet:`` or ``deleted:`` member."""
    if _DELETED.fullmatch(member):
        return Member(member, never_reason="a deleted account is granted nothing until it is undeleted")
    if (reason := federated_reason(member)) is not None:
        return Member(member, never_reason=reason)
    if (resource_set := read_resource_set(member)) is None:
        raise _not_understood(member)
    resource, number, account_type = resource_set
    if (resource, account_type) != ("projects", "ServiceAccount"):
        reason = f"which {resource} an account belongs to is not in its ID token"
        return Member(member, never_reason=reason)
    if number not in project_numbers.values():
        return Member(
            member,
            never_reason="an ID token names the project by its id, not its number: pass "
            f"project_numbers={{'PROJECT_ID': {quoted(number)}}}",
        )
    return Member(member, key=member)


def _not_understood(member: str) -> PolicyError:
    return PolicyError(
        f"member {quoted(member)} is not understood: write user:EMAIL, serviceAccount:EMAIL, group:EMAIL, "
        f"domain:DOMAIN, {ALL_USERS}, {ALL_AUTHENTICATED_USERS}, or a principal:, principalSet: or "
        "deleted: form of IAM, with exactly these upper-case and lower-case letters"
    )
