"""Issuers besides Google's own, each known by one project or one account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from doorward.errors import ConfigurationError, Reason
from doorward.tokens.accounts import SERVICE_ACCOUNT_DOMAIN
from doorward.tokens.claims import Expected, numeric_date, refuse
from doorward.tokens.issuers import Identity, Issuer

if TYPE_CHECKING:
    from doorward.tokens.principal import Principal

__all__ = ["CHAT_ACCOUNT", "chat_project_number", "firebase", "is_google_chat", "service_account_issuer"]

CHAT_ACCOUNT: Final = "chat@system.gserviceaccount.com"
"""The account as which Google Chat calls
(https://developers.google.com/workspace/chat/authenticate-verify-requests-google-chat)."""

_KEYS: Final = "https://www.googleapis.com/service_accounts/v1"
_FIREBASE_SUBJECT: Final = 128


def _check_firebase_subject(claims: Mapping[str, object], _expected: Expected, _now: float) -> None:
    if len(str(claims.get("sub"))) > _FIREBASE_SUBJECT:
        refuse(Reason.CLAIM_INVALID, "sub", f"'sub' has over {_FIREBASE_SUBJECT} characters")


def _check_sign_in(claims: Mapping[str, object], expected: Expected, now: float) -> None:
    if (auth_time := numeric_date(claims, "auth_time")) > now + expected.leeway:
        refuse(Reason.NOT_YET_VALID, "auth_time", f"the user signs in {auth_time - now:.0f} s in the future")


def firebase(project_id: str) -> Issuer:
    """Make the issuer of one Firebase or Identity Platform project.

    Its users are no Google accounts: a policy sees their ``sub`` and their claims, and no member. See
    https://firebase.google.com/docs/auth/admin/verify-id-tokens.

    Args:
        project_id: The id of the project; also the audience of its tokens.

    Returns:
        The issuer, which brings its audience with it.

    Raises:
        ConfigurationError: If it is not the id of a project.
    """
    if not isinstance(project_id, str) or not re.fullmatch(
        r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", project_id
    ):
        raise ConfigurationError(
            f"{project_id!r} is not the id of a Firebase project, such as my-project-1a2b3"
        )
    return Issuer(
        name=f"firebase {project_id}",
        spellings=(f"https://securetoken.google.com/{project_id}",),
        key_url=f"{_KEYS}/jwk/securetoken@system.gserviceaccount.com",
        audiences=(project_id,),
        extra_rules=(_check_firebase_subject, _check_sign_in),
    )


def _check_self_issued(claims: Mapping[str, object], _expected: Expected, _now: float) -> None:
    if claims.get("sub") != claims.get("iss"):
        refuse(Reason.CLAIM_INVALID, "sub", "'sub' is not 'iss', as in what a service account says of itself")


def _self_issued(email: str) -> Identity:
    """Name the one account: whatever else its tokens say, it alone has written."""
    return Identity(email, google_account=True)


def service_account_issuer(email: str) -> Issuer:
    """Make the issuer that a service account is by its own key, without Google in between.

    Such a token is a JWT that the account has signed for itself: ``iss`` and ``sub`` are its address. Whoever
    holds one of its keys, or may call ``signJwt`` for it, makes tokens with any audience and any other claim;
    of those nothing is believed.

    Args:
        email: The address of the account.

    Returns:
        The issuer.

    Raises:
        ConfigurationError: If it is not the address of a service account, in lower case.
    """
    if (
        not isinstance(email, str)
        or not email.endswith(SERVICE_ACCOUNT_DOMAIN)
        or not re.fullmatch(r"[a-z0-9-]+@[a-z0-9.-]+", email)
    ):
        raise ConfigurationError(
            f"{email!r} is not the address of a service account in lower case, "
            "such as NAME@PROJECT.iam.gserviceaccount.com"
        )
    return Issuer(
        name=email,
        spellings=(email,),
        key_url=f"{_KEYS}/jwk/{email}",
        extra_rules=(_check_self_issued,),
        identify=lambda _claims: _self_issued(email),
    )


def chat_project_number(number: str | int) -> Issuer:
    """Make the issuer that Google Chat is to apps that chose "Project number" as authentication audience.

    Args:
        number: The number of the app's project; also the audience of its tokens.

    Returns:
        The issuer, which brings its audience with it.

    Raises:
        ConfigurationError: If it is not a number.
    """
    text = str(number)
    if type(number) not in (int, str) or not re.fullmatch("[0-9]+", text):
        raise ConfigurationError(f"{number!r} is not the number of a project; its id will not do")
    return Issuer(
        name="google chat",
        spellings=(CHAT_ACCOUNT,),
        key_url=f"{_KEYS}/metadata/x509/{CHAT_ACCOUNT}",
        audiences=(text,),
        subject_optional=True,
        identify=lambda _claims: _self_issued(CHAT_ACCOUNT),
    )


def is_google_chat(principal: Principal) -> bool:
    """Tell whether Google Chat is calling, in either of its two modes.

    To apps that chose "HTTP endpoint URL" as authentication audience, Chat sends ordinary Google ID tokens
    with that URL as audience; `GOOGLE` accepts them. A policy says the same with the member
    ``serviceAccount:chat@system.gserviceaccount.com``.

    Args:
        principal: The verified caller.
    """
    return principal.member == f"serviceAccount:{CHAT_ACCOUNT}"
