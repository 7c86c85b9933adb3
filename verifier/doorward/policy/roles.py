"""Which predefined roles hold the permissions that may be asked for: data.

From the role definitions that the IAM API publishes
(https://cloud.google.com/iam/docs/roles-permissions), as the data set ``iann0036/iam-dataset`` had them at
commit 2073fa52ac008a45477aa0b1b4580cd99135bf60, read on 2026-11-22. ``roles/cloudfunctions.invoker`` invokes
first-generation functions only: a function of the second generation is a Cloud Run service.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from doorward.errors import PolicyError
from doorward.shown import quoted

__all__ = [
    "ACCESS_VIA_IAP",
    "INVOKE",
    "INVOKER_ROLES",
    "INVOKE_FUNCTION",
    "INVOKE_INSTANCE",
    "ROLES",
    "check_permission",
    "intended_role",
    "is_described",
    "narrowest_role",
    "role_holds",
    "role_to_grant",
]

INVOKE: Final = "run.routes.invoke"
"""The permission that the invoker check of a Cloud Run service asks for."""

INVOKE_FUNCTION: Final = "cloudfunctions.functions.invoke"
"""The permission that a function of the first generation asks for."""

INVOKE_INSTANCE: Final = "run.instances.invoke"
"""The permission that a Cloud Run instance asks for."""

ACCESS_VIA_IAP: Final = "iap.webServiceVersions.accessViaIAP"
"""The permission that Identity-Aware Proxy asks for."""

INVOKER_ROLES: Final[frozenset[str]] = frozenset(
    {
        "roles/owner",
        "roles/editor",
        "roles/run.invoker",
        "roles/run.servicesInvoker",
        "roles/run.admin",
        "roles/run.developer",
        "roles/run.editor",
        "roles/run.sourceDeveloper",
        "roles/cloudfunctions.admin",
        "roles/cloudfunctions.developer",
        "roles/cloudfunctions.editor",
        "roles/firebase.admin",
        "roles/firebase.developAdmin",
        "roles/iam.dataScientist",
        "roles/iam.devOps",
        "roles/iam.mlEngineer",
        # Held by Google's own service agents.
        "roles/run.serviceAgent",
        "roles/serverless.serviceAgent",
        "roles/cloudfunctions.serviceAgent",
        "roles/aiplatform.serviceAgent",
        "roles/ces.serviceAgent",
        "roles/dialogflow.serviceAgent",
        "roles/firebaseapphosting.serviceAgent",
        "roles/firebasedataconnect.serviceAgent",
        "roles/integrations.serviceAgent",
        "roles/monitoring.notificationServiceAgent",
        "roles/spanner.serviceAgent",
        "roles/visionai.serviceAgent",
    }
)
"""The 28 predefined roles that hold ``run.routes.invoke``."""

_INSTANCE_ROLES: Final = frozenset(
    {
        "roles/owner",
        "roles/editor",
        "roles/run.invoker",  # but not roles/run.servicesInvoker
        "roles/run.admin",
        "roles/run.developer",
        "roles/run.editor",
        "roles/run.sourceDeveloper",
        "roles/cloudfunctions.admin",
        "roles/cloudfunctions.developer",
        "roles/cloudfunctions.editor",
        "roles/cloudfunctions.serviceAgent",
        "roles/firebase.admin",
        "roles/firebase.developAdmin",
        "roles/iam.dataScientist",
        "roles/iam.devOps",
        "roles/iam.mlEngineer",
    }
)

_FUNCTION_ROLES: Final = frozenset(
    {
        "roles/owner",
        "roles/editor",
        "roles/cloudfunctions.invoker",
        "roles/cloudfunctions.admin",
        "roles/cloudfunctions.developer",
        "roles/cloudfunctions.editor",
        "roles/firebase.admin",
        "roles/firebase.developAdmin",
        "roles/iam.dataScientist",
        "roles/iam.devOps",
        # Held by Google's own service agents.
        "roles/ces.serviceAgent",
        "roles/cloudfunctions.serviceAgent",
        "roles/contentwarehouse.serviceAgent",
        "roles/dialogflow.serviceAgent",
        "roles/identitytoolkit.serviceAgent",
        "roles/integrations.serviceAgent",
        "roles/visionai.serviceAgent",
    }
)

ROLES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        INVOKE: INVOKER_ROLES,
        INVOKE_INSTANCE: _INSTANCE_ROLES,
        INVOKE_FUNCTION: _FUNCTION_ROLES,
        # Not even the owner of the project holds it without this role.
        ACCESS_VIA_IAP: frozenset({"roles/iap.httpsResourceAccessor"}),
    }
)
"""The predefined roles that hold a permission, by its name."""

_NARROWEST: Final = {
    INVOKE: "roles/run.invoker",
    INVOKE_INSTANCE: "roles/run.invoker",
    INVOKE_FUNCTION: "roles/cloudfunctions.invoker",
    ACCESS_VIA_IAP: "roles/iap.httpsResourceAccessor",
}
# The roles that exist to grant a permission to callers, of which a misspelt role may be meant to be one.
_MEANT: Final = {
    INVOKE: ("roles/run.invoker", "roles/run.servicesInvoker"),
    **{permission: (role,) for permission, role in _NARROWEST.items() if permission != INVOKE},
}
_LONGEST: Final = 100
_PREDEFINED: Final = re.compile(r"roles/[A-Za-z0-9_.]+")
_CLOSE: Final = 0.9  # of difflib.SequenceMatcher: "roles/run.viewer" is not close to "roles/run.invoker"
_HIDDEN_CONDITION: Final = "_withcond_"


def check_permission(permission: str) -> str:
    """Check that the roles of a permission are known.

    Args:
        permission: The name of the permission.

    Returns:
        The same name.

    Raises:
        PolicyError: If it is not one of `ROLES`.
    """
    if permission not in ROLES:
        raise PolicyError(f"permission {quoted(permission)} is not known; known are {', '.join(ROLES)}")
    return permission


def narrowest_role(permission: str) -> str:
    """Return the role that exists to grant a permission.

    Args:
        permission: One of `ROLES`.

    Returns:
        The name of the role.
    """
    return _NARROWEST[permission]


def is_described(role: str, custom_roles: Mapping[str, Collection[str]]) -> bool:
    """Return whether the permissions of a role are known: those of a custom role are not in any policy.

    Args:
        role: The name of the role.
        custom_roles: The permissions of custom roles, by role name.
    """
    return role in custom_roles or _PREDEFINED.fullmatch(role) is not None


def intended_role(role: str, permission: str) -> str | None:
    """Return the role that a misspelt one may have been meant to be.

    Args:
        role: The name of a role that does not hold the permission.
        permission: One of `ROLES`.

    Returns:
        The role that exists to grant the permission and is written almost the same; None if there is none.
    """
    if len(role) > _LONGEST:
        return None
    import difflib  # noqa: PLC0415 - slow to import, and most policies have no such role

    folded = {meant.lower(): meant for meant in _MEANT[permission]}
    for written in (role.strip().lower(), f"roles/{role.strip().lower()}"):
        if close := difflib.get_close_matches(written, folded, n=1, cutoff=_CLOSE):
            return folded[close[0]]
    return None


def role_holds(role: str, permission: str, custom_roles: Mapping[str, Collection[str]]) -> bool:
    """Return whether a role holds a permission, as far as its permissions are known.

    Args:
        role: The name of the role.
        permission: One of `ROLES`.
        custom_roles: The permissions of custom roles, by role name.

    Returns:
        Whether it does; False if they are not known, see `is_described`.

    Raises:
        PolicyError: If the role stands for a binding whose condition was left out, or if `custom_roles` is
            not usable.
    """
    if role in custom_roles:
        if isinstance(permissions := custom_roles[role], str):
            raise PolicyError(f"the permissions of {quoted(role)} must be a list, not one string")
        return permission in permissions
    name, hidden, _ = role.partition(_HIDDEN_CONDITION)
    if hidden and (name in ROLES[permission] or not name.startswith("roles/")):
        # https://cloud.google.com/iam/docs/allow-policies#specifying-version-get
        raise PolicyError(
            f"{quoted(role)} stands for a binding whose condition was left out, because the policy was read "
            "in a version below 3: read it again with gcloud, which asks for version 3"
        )
    return role in ROLES[permission]


def role_to_grant(permission: str, role: str | None, custom_roles: Mapping[str, Collection[str]]) -> str:
    """Return the role that grants a permission to members.

    Args:
        permission: One of `ROLES`.
        role: The name of the role that the user chose; None for the narrowest role.
        custom_roles: The permissions of custom roles, by role name.

    Returns:
        The name of the role.

    Raises:
        PolicyError: If the role does not hold the permission.
    """
    narrowest = narrowest_role(permission)
    if role is None:
        return narrowest
    if not role_holds(role, permission, custom_roles):
        raise PolicyError(f"role {quoted(role)} does not hold {permission}; {narrowest} does")
    return role
