"""IAM member strings, and which of them a principal is.

The forms are those of https://cloud.google.com/iam/docs/principal-identifiers. The type of a member is
case-sensitive, an address or a domain is not; the value of ``principal:`` and ``principalSet:`` is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from doorward.errors import PolicyError
from doorward.tokens.principal import Principal

__all__ = [
    "ALL_AUTHENTICATED_USERS",
    "ALL_USERS",
    "NO_KNOWN_ACCOUNTS",
    "KnownAccounts",
    "Member",
    "canonical",
    "federated",
    "fold",
    "identities",
    "project_number",
    "project_set",
    "read_member",
    "unique_id",
]

ALL_USERS: Final = "allUsers"
ALL_AUTHENTICATED_USERS: Final = "allAuthenticatedUsers"

_PUBLIC: Final = frozenset({ALL_USERS, ALL_AUTHENTICATED_USERS})
_ADDRESSES: Final = frozenset({"user", "serviceAccount"})
_DELETED: Final = re.compile(
    r"deleted:(?:(?:user|serviceAccount|group):[^@\s]+@[^@\s?]+\?uid=\w+|principal(?:Set)?://\S+)"
)
_POOL: Final = re.compile(
    r"principal(?:Set)?://iam\.googleapis\.com/"
    r"(?:locations/global/(?P<workforce>workforcePools)|projects/\d+/locations/global/workloadIdentityPools)"
    r"/[^/\s]+/(?:subject/\S+|group/\S+|attribute\.[^/\s]+/\S+|namespace/\S+|kubernetes\.\S+|\*)"
)
_RESOURCE: Final = re.compile(r"principal(?:Set)?://[a-z0-9.-]+\.system\.id\.goog/\S+")
_PROJECT_SET: Final = re.compile(
    r"principalSet://cloudresourcemanager\.googleapis\.com/(projects|folders|organizations)/(\d+)/type/(\w+)"
)
_ACCOUNTS_OF: Final = "principalSet://cloudresourcemanager.googleapis.com/projects/{}/type/ServiceAccount"
_KUBERNETES: Final = re.compile(r"serviceAccount:[^\s\[\]@]+\.svc\.id\.goog\[[^\s/\[\]]+/[^\s/\[\]]+\]")
_OF_PROJECT: Final = re.compile(
    r"[^@]+@(?P<user>[a-z0-9.-]+)\.iam\.gserviceaccount\.com|(?P<engine>[a-z0-9.:-]+)@appspot\.gserviceaccount\.com"
    r"|(?P<number>\d+)-compute@developer\.gserviceaccount\.com"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a binding, understood. Just one of the last three is set.

    Attributes:
        text: As the policy spells it.
        key: The form in which `identities` gives it for whoever is it.
        group: The address of the group that it names, in lower case.
        never: Why no caller with an ID token can be it.
    """

    text: str
    key: str | None = None
    group: str | None = None
    never: str | None = None


@dataclass(frozen=True, slots=True)
class KnownAccounts:
    """What the user knows of accounts, and a token does not say.

    Attributes:
        unique_ids: The unique id of accounts, by member (``serviceAccount:EMAIL``).
        project_numbers: The numbers of projects, by project id.
    """

    unique_ids: Mapping[str, str] = field(default_factory=dict)
    project_numbers: Mapping[str, str] = field(default_factory=dict)
    by_id: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what is no such mapping.

        Raises:
            PolicyError: If a key is no account, or a value no number.
        """
        folded: dict[str, str] = {}
        for member, uid in self.unique_ids.items():
            key = canonical(member)
            if key is None or key.partition(":")[0] not in _ADDRESSES:
                raise PolicyError(f"unique_ids: {member!r} is not user:EMAIL or serviceAccount:EMAIL")
            if not isinstance(uid, str) or not uid.isascii() or not uid.isdigit():
                raise PolicyError(f"unique_ids: the unique id of {member} must be a string of digits")
            folded[key] = uid
        by_id = {uid: key for key, uid in folded.items()}
        if len(by_id) != len(folded):
            raise PolicyError("unique_ids: two members have the same unique id")
        for project, number in self.project_numbers.items():
            if not isinstance(number, str) or not number.isascii() or not number.isdigit():
                raise PolicyError(f"project_numbers: the number of {project!r} must be a string of digits")
        put = object.__setattr__
        put(self, "unique_ids", MappingProxyType(folded))
        put(self, "project_numbers", MappingProxyType(dict(self.project_numbers)))
        put(self, "by_id", MappingProxyType(by_id))

    def joined(self, other: KnownAccounts) -> KnownAccounts:
        """Put two together.

        Args:
            other: The other one.

        Returns:
            What either knows.

        Raises:
            PolicyError: If they contradict each other.
        """
        for mine, theirs in (
            (self.unique_ids, other.unique_ids),
            (self.project_numbers, other.project_numbers),
        ):
            for name in mine.keys() & theirs.keys():
                if mine[name] != theirs[name]:
                    raise PolicyError(f"the policies know two different numbers of {name!r}")
        return KnownAccounts(
            {**self.unique_ids, **other.unique_ids}, {**self.project_numbers, **other.project_numbers}
        )

    def account(self, principal: Principal) -> str | None:
        """Name the account that a principal is, as a member.

        Args:
            principal: The verified caller, or the anonymous one.

        Returns:
            Its member; None where neither its address nor its unique id tells. An address whose unique id is
            known to be another one has changed hands, and is not that member any more.
        """
        if not principal.google_account:
            return None
        if principal.member is None:
            # A token without any e-mail names its account by the unique id alone.
            return None if "email" in principal.claims else self.by_id.get(unique_id(principal))
        uid = self.unique_ids.get(principal.member)
        return principal.member if uid is None or uid == unique_id(principal) else None


def unique_id(principal: Principal) -> str:
    """Give the unique id of a Google account.

    Args:
        principal: The caller.

    Returns:
        The id as Google's own tokens have it; empty if there is none. Identity-Aware Proxy writes the issuer
        before it (https://cloud.google.com/iap/docs/signed-headers-howto).
    """
    return (principal.subject or "").removeprefix("accounts.google.com:")


def fold(value: str) -> str:
    """Give an address or a domain in the form in which IAM compares it.

    Args:
        value: As it is written.

    Returns:
        In lower case, if it is ASCII: some foreign letters fold into it.
    """
    return value.lower() if value.isascii() else value


def _is_address(value: str) -> bool:
    return value.count("@") == 1 and not any(map(str.isspace, value)) and value[0] != "@" != value[-1]


def federated(text: str) -> str | None:
    """Tell why an identity that does not come from Google cannot be a caller's.

    Args:
        text: A ``principal:`` or ``principalSet:``.

    Returns:
        The reason; None if it is not a known form of such an identity.
    """
    if (pool := _POOL.fullmatch(text)) is not None:
        kind = "workforce" if pool["workforce"] else "workload"
        return f"a {kind} identity presents no Google ID token but that of an account it impersonates"
    if _RESOURCE.fullmatch(text):
        return "the built-in identity of a resource presents no Google ID token"
    return None


def project_set(text: str) -> tuple[str, str, str] | None:
    """Read a set of the accounts of a project, a folder or an organisation.

    Args:
        text: A ``principalSet:``.

    Returns:
        The kind of resource, its number and the type of account; None if it is no such set.
    """
    found = _PROJECT_SET.fullmatch(text)
    return None if found is None else (found[1], found[2], found[3])


def read_member(member: object, project_numbers: Mapping[str, str] | None = None) -> Member:
    """Read one member of a binding.

    Args:
        member: As IAM prints it.
        project_numbers: The numbers of projects that are known, by project id.

    Returns:
        What it means.

    Raises:
        PolicyError: If it is not a member.
    """
    if not isinstance(member, str):
        raise PolicyError(f"a member must be a string, not {type(member).__name__}")
    if member in _PUBLIC:
        return Member(member, key=member)
    kind, colon, value = member.partition(":")
    if kind in ("principal", "principalSet", "deleted"):
        return _read_identity(member, project_numbers or {})
    if _KUBERNETES.fullmatch(member):
        return Member(
            member, never="a Kubernetes workload presents the ID token of the account that it impersonates"
        )
    if colon and value:
        folded = fold(value)
        if kind in _ADDRESSES and _is_address(value):
            if kind == "user" and folded.endswith(".gserviceaccount.com"):
                raise PolicyError(f"member {member!r} is a service account: write serviceAccount:{value}")
            return Member(member, key=f"{kind}:{folded}")
        if kind == "group" and _is_address(value):
            return Member(member, group=folded)
        if kind == "domain" and "@" not in value and not any(map(str.isspace, value)):
            return Member(member, key=f"domain:{folded}")
    raise _not_understood(member)


def _read_identity(member: str, project_numbers: Mapping[str, str]) -> Member:
    if _DELETED.fullmatch(member):
        return Member(member, never="a deleted account is granted nothing until it is undeleted")
    if (never := federated(member)) is not None:
        return Member(member, never=never)
    if (found := project_set(member)) is None:
        raise _not_understood(member)
    resource, number, accounts = found
    if (resource, accounts) != ("projects", "ServiceAccount"):
        return Member(member, never=f"which {resource} an account belongs to is not in its ID token")
    if number not in project_numbers.values():
        return Member(
            member,
            never="an ID token names the project by its id, not its number: pass "
            f"project_numbers={{'PROJECT_ID': '{number}'}}",
        )
    return Member(member, key=member)


def _not_understood(member: str) -> PolicyError:
    return PolicyError(
        f"member {member!r} is not understood; known are user:EMAIL, serviceAccount:EMAIL, group:EMAIL, "
        f"domain:DOMAIN, {ALL_USERS}, {ALL_AUTHENTICATED_USERS}, and the principal:, principalSet: and "
        "deleted: forms of IAM, spelled in exactly this case"
    )


def canonical(member: object) -> str | None:
    """Read one member of a binding, where only its key matters.

    Args:
        member: As IAM prints it.

    Returns:
        `Member.key`.

    Raises:
        PolicyError: As `read_member`.
    """
    return read_member(member).key


def project_number(address: str, numbers: Mapping[str, str]) -> str | None:
    """Find the number of the project that a service account belongs to, by the forms that Google documents.

    https://cloud.google.com/iam/docs/service-account-types

    Args:
        address: Its address, in lower case.
        numbers: The numbers of projects that are known, by project id.

    Returns:
        The number; empty if it is a project whose number is not known; None if the address does not tell.
    """
    found = _OF_PROJECT.fullmatch(address)
    if found is None:
        return None
    if found["number"] is not None:
        return found["number"]
    project = found["user"] or found["engine"]
    # The project example.com:orders has accounts at orders.example.com.
    name, dot, domain = project.partition(".")
    return numbers.get(f"{domain}:{name}" if dot else project, "")


NO_KNOWN_ACCOUNTS: Final = KnownAccounts()


def identities(principal: Principal, known: KnownAccounts = NO_KNOWN_ACCOUNTS) -> tuple[str, ...]:
    """Name every member that a principal is, groups excepted, the narrowest first.

    Args:
        principal: The verified caller, or the anonymous one.
        known: What the user knows of accounts.

    Returns:
        Canonical member strings; ``allUsers`` is always the last.
    """
    found: list[str] = []
    # An address or a domain means something to IAM only where Google vouches for it.
    if principal.google_account:
        account = known.account(principal)
        if account is not None:
            found.append(account)
            kind, _, address = account.partition(":")
            if known.project_numbers and kind == "serviceAccount":
                number = project_number(address, known.project_numbers)
                if number:
                    found.append(_ACCOUNTS_OF.format(number))
        if principal.email is not None and (domain := principal.hosted_domain) is not None:
            found.append(f"domain:{fold(domain)}")
        found.append(ALL_AUTHENTICATED_USERS)
    found.append(ALL_USERS)
    return tuple(found)
