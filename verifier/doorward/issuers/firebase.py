"""Firebase and Identity Platform: the ID tokens of one project's users."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from doorward.errors import ConfigurationError, Reason
from doorward.issuers.claim_rule import numeric_date, refuse
from doorward.issuers.issuer import Issuer

__all__ = ["firebase"]

_KEY_URL: Final = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
_SUBJECT_LENGTH: Final = 128


def _check_subject(claims: Mapping[str, object], _leeway: float, _now: float) -> None:
    if len(str(claims.get("sub"))) > _SUBJECT_LENGTH:
        refuse(Reason.CLAIM_INVALID, "sub", f"'sub' has over {_SUBJECT_LENGTH} characters")


def _check_sign_in(claims: Mapping[str, object], leeway: float, now: float) -> None:
    if (auth_time := numeric_date(claims, "auth_time")) > now + leeway:
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
        iss_values=(f"https://securetoken.google.com/{project_id}",),
        key_url=_KEY_URL,
        audiences=(project_id,),
        extra_rules=(_check_subject, _check_sign_in),
    )
