"""Who calls an API of the emulated Google, and whether the caller may act as a service account."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request

from doorward.shown import quoted
from doorward_integrations.emulator.accounts import CLOUD_PLATFORM, Account
from doorward_integrations.emulator.google_errors import GoogleError
from doorward_integrations.emulator.identities.model import Identities
from doorward_integrations.emulator.identities.permissions import IMPLICIT_DELEGATION
from doorward_integrations.emulator.oauth.access_tokens import AccessTokens, Grant

__all__ = ["authenticate", "authorize", "find_account"]

_BEARER: Final = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)
_SCOPES: Final = frozenset({CLOUD_PLATFORM, "https://www.googleapis.com/auth/iam"})
_NAME: Final = "projects/-/serviceAccounts/"


def authenticate(request: Request, access_tokens: AccessTokens) -> Grant:
    """Find out who calls, by the access token of the request.

    Args:
        request: The request.
        access_tokens: Knows the tokens that the emulator has issued.

    Returns:
        What the token stands for.

    Raises:
        GoogleError: UNAUTHENTICATED without one token that is good, PERMISSION_DENIED if its scopes do not
            cover IAM.
    """
    sent = request.headers.getlist("authorization")
    if not sent:
        raise GoogleError(
            "UNAUTHENTICATED",
            "Request is missing required authentication credential. Expected OAuth 2 access token, login "
            "cookie or other valid authentication credential.",
        )
    found = _BEARER.fullmatch(sent[0]) if len(sent) == 1 else None
    grant = access_tokens.find(found[1]) if found is not None else None
    if grant is None:
        raise GoogleError(
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
            "other valid authentication credential. The emulator knows the access tokens that it has issued "
            "itself, until they expire.",
        )
    if _SCOPES.isdisjoint(grant.scopes):
        raise GoogleError(
            "PERMISSION_DENIED",
            f"Request had insufficient authentication scopes: it needs one of {', '.join(sorted(_SCOPES))}",
        )
    return grant


def find_account(identities: Identities, name: str) -> Account:
    """Find a service account as a request names it.

    Args:
        identities: Which accounts there are.
        name: The address or the unique id, with or without ``projects/-/serviceAccounts/``.

    Returns:
        The account.

    Raises:
        GoogleError: NOT_FOUND, if there is no such service account.
    """
    plain = name.removeprefix(_NAME)
    account = identities.find_by_name(plain)
    if account is None or not account.is_service_account:
        raise GoogleError("NOT_FOUND", f"Not found; Gaia id not found for email {quoted(plain)}")
    return account


def authorize(
    identities: Identities, caller: Grant, delegates: Iterable[Account], account: Account, permission: str
) -> None:
    """Check that a caller may do something as a service account, through a chain of delegates.

    The caller must be allowed to delegate to the first of them, each of them to the next one, and the last
    one, or the caller if there are none, must have the permission on the account
    (https://cloud.google.com/iam/docs/create-short-lived-credentials-delegated).

    Args:
        identities: Who may act as whom.
        caller: Who calls.
        delegates: The chain.
        account: The account.
        permission: The permission.

    Raises:
        GoogleError: PERMISSION_DENIED, where the chain breaks first.
    """
    who, members = caller.account.email, identities.members_of(caller.account)
    for delegate in delegates:
        _check(identities, who, members, IMPLICIT_DELEGATION, delegate)
        who, members = delegate.email, identities.members_of(delegate)
    _check(identities, who, members, permission, account)


def _check(
    identities: Identities, who: str, members: frozenset[str], permission: str, account: Account
) -> None:
    if not identities.may(members, permission, account):
        raise GoogleError(
            "PERMISSION_DENIED",
            f"Permission {permission!r} denied on resource (or it may not exist). {quoted(who)} has no role "
            f"with it on {quoted(account.email)}: the identities file of the emulator grants roles",
        )
