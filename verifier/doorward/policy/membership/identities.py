"""The members of policies that a principal is, groups excepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from doorward.errors import PolicyError
from doorward.issuers.service_accounts import fold
from doorward.policy.membership.members import ALL_AUTHENTICATED_USERS, ALL_USERS, member_key
from doorward.shown import quoted
from doorward.tokens.principal import Principal

__all__ = [
    "NO_KNOWN_ACCOUNTS",
    "KnownAccounts",
    "agent_resource",
    "identities",
    "project_number",
    "unique_id",
]

_ACCOUNTS_OF_PROJECT: Final = (
    "principalSet://cloudresourcemanager.googleapis.com/projects/{}/type/ServiceAccount"
)
_PROJECT_OF: Final = re.compile(
    r"[^@]+@(?P<user>[a-z0-9.-]+)\.iam\.gserviceaccount\.com|(?P<engine>[a-z0-9.:-]+)@appspot\.gserviceaccount\.com"
    r"|(?P<number>\d+)-compute@developer\.gserviceaccount\.com"
)


_AGENT_OF: Final = re.compile(
    r"(?:service-(?P<kind>[pfo]|folder-|org-)?|project-)?(?P<number>[0-9]+)@[a-z0-9.-]+", re.ASCII
)
_RESOURCES: Final = {"f": "folders", "folder-": "folders", "o": "organizations", "org-": "organizations"}


@dataclass(frozen=True, slots=True)
class KnownAccounts:
    """What the user of a policy knows of accounts and projects, and ID tokens do not say.

    Attributes:
        unique_ids: The unique ids of accounts, by member (``serviceAccount:EMAIL``).
        project_numbers: The numbers of projects, by project id.
        by_unique_id: The members of `unique_ids`, by unique id.
    """

    unique_ids: Mapping[str, str] = field(default_factory=dict)
    project_numbers: Mapping[str, str] = field(default_factory=dict)
    by_unique_id: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Check and fold the mappings.

        Raises:
            PolicyError: If a key of `unique_ids` is not an account, or if a value is not a string of digits.
        """
        folded: dict[str, str] = {}
        for member, uid in self.unique_ids.items():
            key = member_key(member)
            if key is None or key.partition(":")[0] not in ("user", "serviceAccount"):
                raise PolicyError(f"unique_ids: {quoted(member)} is not user:EMAIL or serviceAccount:EMAIL")
            if not _is_number(uid):
                raise PolicyError(f"unique_ids: the unique id of {quoted(member)} must be a string of digits")
            folded[key] = uid
        by_unique_id = {uid: key for key, uid in folded.items()}
        if len(by_unique_id) != len(folded):
            raise PolicyError("unique_ids: two members have the same unique id")
        for project, number in self.project_numbers.items():
            if not _is_number(number):
                raise PolicyError(
                    f"project_numbers: the number of {quoted(project)} must be a string of digits"
                )
        put = object.__setattr__
        put(self, "unique_ids", MappingProxyType(folded))
        put(self, "project_numbers", MappingProxyType(dict(self.project_numbers)))
        put(self, "by_unique_id", MappingProxyType(by_unique_id))

    def joined(self, other: KnownAccounts) -> KnownAccounts:
        """Return what two of them know together.

        Args:
            other: The other one.

        Raises:
            PolicyError: If they contradict each other.
        """
        for mine, theirs in (
            (self.unique_ids, other.unique_ids),
            (self.project_numbers, other.project_numbers),
        ):
            for name in mine.keys() & theirs.keys():
                if mine[name] != theirs[name]:
                    raise PolicyError(
                        f"the policies were given two different numbers of {quoted(name)}: give them the same"
                    )
        return KnownAccounts(
            {**self.unique_ids, **other.unique_ids}, {**self.project_numbers, **other.project_numbers}
        )

    def account(self, principal: Principal) -> str | None:
        """Return the member that names the account of a principal.

        Args:
            principal: The verified caller, or the anonymous one.

        Returns:
            The member; None if neither the address nor the unique id of the principal names an account. An
            address whose account is known to have another unique id has changed hands: the principal is not
            that member any more.
        """
        if not principal.google_account:
            return None
        if principal.member is None:
            # A token without any e-mail names its account by the unique id alone.
            return None if "email" in principal.claims else self.by_unique_id.get(unique_id(principal))
        uid = self.unique_ids.get(principal.member)
        return principal.member if uid is None or uid == unique_id(principal) else None


NO_KNOWN_ACCOUNTS: Final[KnownAccounts] = KnownAccounts()
"""For policies whose users pass neither ``unique_ids`` nor ``project_numbers``."""


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def unique_id(principal: Principal) -> str:
    """Return the unique id of a Google account.

    Args:
        principal: The caller.

    Returns:
        The id as Google's own tokens have it; empty if there is none. Identity-Aware Proxy writes the issuer
        before it (https://cloud.google.com/iap/docs/signed-headers-howto).
    """
    return (principal.subject or "").removeprefix("accounts.google.com:")


def project_number(address: str, numbers: Mapping[str, str]) -> str | None:
    """Return the number of the project that a service account belongs to.

    An address names its project in the forms of https://cloud.google.com/iam/docs/service-account-types.

    Args:
        address: The address of the service account, in lower case.
        numbers: The known numbers of projects, by project id.

    Returns:
        The number; empty if the project is known and its number is not; None if the address does not name a
        project.
    """
    found = _PROJECT_OF.fullmatch(address)
    if found is None:
        return None
    if found["number"] is not None:
        return found["number"]
    project = found["user"] or found["engine"]
    # The project example.com:orders has accounts at orders.example.com.
    name, dot, domain = project.partition(".")
    return numbers.get(f"{domain}:{name}" if dot else project, "")


def agent_resource(address: str) -> tuple[str, str] | None:
    """Return the resource for which an address names a service agent, by the form of the address.

    https://cloud.google.com/iam/docs/service-agents. The form says it also of an address that
    `is_service_agent` does not know.

    Args:
        address: The address of a service account, in lower case.

    Returns:
        ``projects``, ``folders`` or ``organizations``, and its number; None if it does not have such a form.
    """
    found = _AGENT_OF.fullmatch(address)
    return None if found is None else (_RESOURCES.get(found["kind"] or "", "projects"), found["number"])


def identities(principal: Principal, known: KnownAccounts = NO_KNOWN_ACCOUNTS) -> tuple[str, ...]:
    """Return every member that a principal is, groups excepted, the narrowest first.

    Args:
        principal: The verified caller, or the anonymous one.
        known: What the user of the policy knows of accounts.

    Returns:
        Keys of members, as `doorward.policy.membership.members.Member.key`; ``allUsers`` is always the last.
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
                    found.append(_ACCOUNTS_OF_PROJECT.format(number))
        if principal.email is not None and (domain := principal.hosted_domain) is not None:
            found.append(f"domain:{fold(domain)}")
        found.append(ALL_AUTHENTICATED_USERS)
    found.append(ALL_USERS)
    return tuple(found)
