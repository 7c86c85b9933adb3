"""Google Chat, which calls its apps in two modes.

Facts from https://developers.google.com/workspace/chat/authenticate-verify-requests-google-chat.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from doorward.errors import ConfigurationError
from doorward.issuers.issuer import Identity, Issuer

__all__ = ["CHAT_ACCOUNT", "chat_project_number", "is_google_chat"]

CHAT_ACCOUNT: Final = "chat@system.gserviceaccount.com"
"""The account as which Google Chat calls."""

_IDENTITY: Final = Identity(CHAT_ACCOUNT, google_account=True)


class _HasMember(Protocol):
    @property
    def member(self) -> str | None: ...


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
        raise ConfigurationError(f"{number!r} is not the number of a project; the id of a project is not one")
    return Issuer(
        name="google chat",
        iss_values=(CHAT_ACCOUNT,),
        key_url=f"https://www.googleapis.com/service_accounts/v1/metadata/x509/{CHAT_ACCOUNT}",
        audiences=(text,),
        subject_optional=True,
        identify=lambda _claims: _IDENTITY,
    )


def is_google_chat(principal: _HasMember) -> bool:
    """Return whether Google Chat is calling, in either of its two modes.

    To apps that chose "HTTP endpoint URL" as authentication audience, Chat sends ordinary Google ID tokens
    with that URL as audience; `GOOGLE` accepts them. A policy says the same with the member
    ``serviceAccount:chat@system.gserviceaccount.com``.

    Args:
        principal: The verified caller, a `doorward.Principal`.
    """
    return principal.member == f"serviceAccount:{CHAT_ACCOUNT}"
