"""The sentences, for the operator's log, of what a door itself refuses."""

from __future__ import annotations

from doorward.errors import CredentialError, PermissionDeniedError, Reason
from doorward.policy.decision import Decision
from doorward.tokens.principal import NO_ADDRESS, Principal

__all__ = ["denied", "no_credential", "unreadable_path"]


def no_credential() -> CredentialError:
    """Return the error of a request without a credential."""
    return CredentialError(
        Reason.NO_CREDENTIAL, "the request was not authenticated: it carries no credential"
    )


def unreadable_path() -> CredentialError:
    """Return the error of a request on whose path no decision is possible."""
    return CredentialError(Reason.UNREADABLE_PATH, "the path of the request is not Unicode text")


def denied(principal: Principal, permission: str, decision: Decision) -> PermissionDeniedError:
    """Return the error of a verified caller whom the policy does not grant the permission.

    Args:
        principal: The caller.
        permission: The permission.
        decision: The decision of the policy.
    """
    why = f" (denied by {decision.denied_by})" if decision.denied_by is not None else ""
    why += decision.disagreement
    if principal.google_account and principal.member is None:
        why += f"; {NO_ADDRESS}"
    return PermissionDeniedError(f"{principal} does not hold {permission}{why}")
