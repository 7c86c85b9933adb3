"""IAM member strings, and which of them a principal is.

The forms are those of https://cloud.google.com/iam/docs/principal-identifiers. The type of a member is
case-sensitive, an address or a domain is not.
"""

from __future__ import annotations

from typing import Final

from doorward.errors import PolicyError
from doorward.tokens.principal import Principal

__all__ = ["ALL_AUTHENTICATED_USERS", "ALL_USERS", "canonical", "identities"]

ALL_USERS: Final = "allUsers"
ALL_AUTHENTICATED_USERS: Final = "allAuthenticatedUsers"

_PUBLIC: Final = frozenset({ALL_USERS, ALL_AUTHENTICATED_USERS})
_ADDRESSES: Final = frozenset({"user", "serviceAccount"})
_LATER: Final = {
    "group": "who is in a group is not in an ID token",
    "principal": "federated identities do not present Google ID tokens",
    "principalSet": "federated identities do not present Google ID tokens",
}


def canonical(member: object) -> str | None:
    """Read one member of a binding.

    Args:
        member: As IAM prints it.

    Returns:
        The form in which `identities` gives it; None for a deleted account, which is granted nothing until it
        is undeleted.

    Raises:
        PolicyError: If it is not a member, or one that cannot be decided on here.
    """
    if not isinstance(member, str):
        raise PolicyError(f"a member must be a string, not {type(member).__name__}")
    if member in _PUBLIC:
        return member
    kind, colon, value = member.partition(":")
    if kind == "deleted" and value:
        return None
    folded = value.lower() if value.isascii() else value
    if kind in _ADDRESSES and value.count("@") == 1 and not any(map(str.isspace, value)):
        if kind == "user" and folded.endswith(".gserviceaccount.com"):
            raise PolicyError(f"member {member!r} is a service account: write serviceAccount:{value}")
        return f"{kind}:{folded}"
    if kind == "domain" and value and "@" not in value and not any(map(str.isspace, value)):
        return f"domain:{folded}"
    if colon and kind in _LATER:
        raise PolicyError(
            f"member {member!r} cannot be decided on: {_LATER[kind]}. Take it out of doorward's policy"
        )
    raise PolicyError(
        f"member {member!r} is not understood; known are user:EMAIL, serviceAccount:EMAIL, domain:DOMAIN, "
        f"{ALL_USERS} and {ALL_AUTHENTICATED_USERS}, spelled in exactly this case"
    )


def identities(principal: Principal) -> tuple[str, ...]:
    """Name every member that a principal is, the narrowest first.

    Args:
        principal: The verified caller, or the anonymous one.

    Returns:
        Canonical member strings; ``allUsers`` is always the last.
    """
    found: list[str] = []
    # An address or a domain means something to IAM only where Google vouches for it.
    if principal.google_account:
        if principal.member is not None:
            found.append(principal.member)
        if principal.email is not None and (domain := principal.hosted_domain) is not None:
            found.append(f"domain:{domain.lower() if domain.isascii() else domain}")
        found.append(ALL_AUTHENTICATED_USERS)
    found.append(ALL_USERS)
    return tuple(found)
