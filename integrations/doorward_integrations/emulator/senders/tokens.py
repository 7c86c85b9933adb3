"""Where the senders get their tokens: an issuer in this process, or the emulator that is running."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import httpx

from doorward.errors import ConfigurationError
from doorward.issuers.google import EMULATOR_VARIABLE, emulator_in_environment
from doorward.shown import shown
from doorward_integrations.emulator.interface import CONTROL_HEADER, CONTROL_VALUE, TOKENS_PATH
from doorward_integrations.emulator.issuers.google import EmulatedIssuer

__all__ = [
    "TokenSource",
    "tokens_of_emulator",
    "tokens_of_issuer",
]

TokenSource = Callable[[str, str], str]
"""Returns an ID token of an account for an audience: it is called with both, in that order."""

_SECONDS: Final = 10.0
_SHOWN: Final = 200


def tokens_of_issuer(issuer: EmulatedIssuer) -> TokenSource:
    """Take tokens from an issuer in this process.

    Args:
        issuer: The issuer.

    Returns:
        The source.
    """
    return lambda account, audience: issuer.mint(audience, email=account)


def tokens_of_emulator(host: str | None = None) -> TokenSource:
    """Take tokens from a running emulator, over HTTP.

    Args:
        host: Its ``HOST:PORT``; by default what ``DOORWARD_EMULATOR_HOST`` says.

    Returns:
        The source. It raises ConfigurationError if the emulator does not answer, or refuses.

    Raises:
        ConfigurationError: If the emulator is not named, or is on another machine, and on Cloud Run.
    """
    found = emulator_in_environment(None if host is None else {**os.environ, EMULATOR_VARIABLE: host})
    if found is None:
        raise ConfigurationError(
            f"{EMULATOR_VARIABLE} is not set: run `doorward emulator start`, and set what "
            "`doorward emulator env` prints"
        )
    url = f"http://{found}{TOKENS_PATH}"

    def token(account: str, audience: str) -> str:
        wanted = {"account": account, "audience": audience}
        try:
            with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
                answer = client.post(url, json=wanted, headers={CONTROL_HEADER: CONTROL_VALUE})
                minted = answer.json()["token"] if answer.is_success else None
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise ConfigurationError(
                f"no token from the emulator at {url}: {type(error).__name__}. Is `doorward emulator start` "
                "running, in this version?"
            ) from None
        if not isinstance(minted, str):
            raise ConfigurationError(
                f"no token from the emulator at {url}: {answer.status_code} {shown(answer.text, _SHOWN)}"
            )
        return minted

    return token
