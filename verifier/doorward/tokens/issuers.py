"""Who signs: what each issuer calls itself, where its keys are, and the rules its tokens keep."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError
from doorward.keys.fetch import check_key_url, is_loopback
from doorward.keys.key import ALGORITHMS

__all__ = ["EMULATOR_VARIABLE", "GOOGLE", "Issuer", "in_environment"]

_log = logging.getLogger("doorward.issuers")

EMULATOR_VARIABLE: Final = "DOORWARD_EMULATOR_HOST"
"""Names the ``HOST:PORT`` of an emulator whose keys replace Google's."""

_HOUR: Final = 3_600.0
_LONGEST_LIFETIME: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer of ID tokens.

    Attributes:
        name: What it is called in logs.
        spellings: The accepted values of ``iss``, compared exactly.
        key_url: Where its verification keys are published.
        algorithms: What it signs with: ``RS256``, ``ES256``.
        max_lifetime: Seconds that may lie between ``iat`` and ``exp``, at most 24 h.
        audience_lists: Whether ``aud`` may be an array (RFC 7519, section 4.1.3). Google's is always one
            string.
        google_accounts: Whether its subjects are Google identities, as ``allAuthenticatedUsers`` and the
            e-mail members of IAM mean them.
    """

    name: str
    spellings: tuple[str, ...]
    key_url: str
    algorithms: tuple[str, ...] = ("RS256",)
    max_lifetime: float = _HOUR
    audience_lists: bool = False
    google_accounts: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work or would check nothing.

        Raises:
            ConfigurationError: If a field is empty, of the wrong type or out of range.
        """
        if (
            isinstance(self.spellings, str)
            or not self.spellings
            or not all(isinstance(one, str) and one for one in self.spellings)
        ):
            raise ConfigurationError(
                f"issuer {self.name!r} needs the accepted values of 'iss' as a tuple of strings"
            )
        if (
            isinstance(self.algorithms, str)
            or not self.algorithms
            or not set(self.algorithms) <= ALGORITHMS.keys()
        ):
            raise ConfigurationError(
                f"issuer {self.name!r} needs algorithms, a tuple out of {', '.join(ALGORITHMS)}"
            )
        if not 0 < self.max_lifetime <= _LONGEST_LIFETIME:
            raise ConfigurationError(
                f"max_lifetime of issuer {self.name!r} must be over 0 and at most 86400 seconds"
            )
        check_key_url(self.key_url)


GOOGLE: Final = Issuer(
    # Both spellings are Google's: https://developers.google.com/identity/openid-connect/reference
    name="google",
    spellings=("https://accounts.google.com", "accounts.google.com"),
    key_url="https://www.googleapis.com/oauth2/v3/certs",
    google_accounts=True,
)
"""Google accounts and service accounts: what Cloud Run itself accepts."""


def in_environment(issuer: Issuer, environ: Mapping[str, str] | None = None) -> Issuer:
    """Point Google's issuer at an emulator, where the environment asks for it.

    Args:
        issuer: Any issuer; only `GOOGLE` is ever changed.
        environ: The environment; the process's own by default.

    Returns:
        The issuer, or one with the emulator's keys instead of Google's.

    Raises:
        ConfigurationError: If the variable names anything but a port of this machine, or is set on Cloud Run.
    """
    environ = os.environ if environ is None else environ
    host = environ.get(EMULATOR_VARIABLE)
    if host is None or issuer is not GOOGLE:
        return issuer
    if "K_SERVICE" in environ:
        # https://cloud.google.com/run/docs/container-contract#services-env-vars: set in every service and
        # function.
        raise ConfigurationError(
            f"{EMULATOR_VARIABLE} is set on Cloud Run (K_SERVICE is set too): there, whoever holds the "
            "emulator's keys would be everybody. Remove the variable from the service"
        )
    try:
        parts = urlsplit(f"//{host}")
        plain = parts.port is not None and parts.netloc == host and parts.username is None
        local = is_loopback(parts.hostname or "")
    except ValueError:
        plain = local = False
    if not plain or not local:
        raise ConfigurationError(
            f"{EMULATOR_VARIABLE}={host!r} must be HOST:PORT of this machine, as the emulator prints it, "
            "such as 127.0.0.1:8099"
        )
    _log.warning(
        "ID tokens are checked against the emulator at %s: tokens signed by Google are refused", host
    )
    return replace(issuer, key_url=f"http://{host}/oauth2/v3/certs")
