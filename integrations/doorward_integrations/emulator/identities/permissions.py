"""What may be done as a service account, and the roles that grant it.

https://cloud.google.com/iam/docs/service-account-permissions has the roles and their permissions. Only those
that concern tokens are emulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

__all__ = [
    "GET_ACCESS_TOKEN",
    "GET_OPEN_ID_TOKEN",
    "IMPLICIT_DELEGATION",
    "ROLES",
    "SIGN_BLOB",
    "SIGN_JWT",
]

GET_ACCESS_TOKEN: Final = "iam.serviceAccounts.getAccessToken"  # noqa: S105 - no token
"""To get an access token of the account."""

GET_OPEN_ID_TOKEN: Final = "iam.serviceAccounts.getOpenIdToken"  # noqa: S105 - no token
"""To get an ID token of the account."""

IMPLICIT_DELEGATION: Final = "iam.serviceAccounts.implicitDelegation"
"""To act through the account on the next one of a delegation chain."""

SIGN_BLOB: Final = "iam.serviceAccounts.signBlob"
"""To have bytes signed with the key of the account."""

SIGN_JWT: Final = "iam.serviceAccounts.signJwt"
"""To have a JWT signed with the key of the account."""

ROLES: Final[Mapping[str, AbstractSet[str]]] = MappingProxyType(
    {
        "roles/iam.serviceAccountTokenCreator": frozenset(
            {GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, IMPLICIT_DELEGATION, SIGN_BLOB, SIGN_JWT}
        ),
        "roles/iam.serviceAccountOpenIdTokenCreator": frozenset({GET_OPEN_ID_TOKEN}),
        "roles/iam.workloadIdentityUser": frozenset({GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN}),
        # Lets a service run as the account: no token is got by it.
        "roles/iam.serviceAccountUser": frozenset(),
    }
)
"""The permissions of each role that a binding may grant."""
