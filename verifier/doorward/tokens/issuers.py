"""Who signs: what each issuer calls itself, where its keys are, and the rules its tokens keep."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError
from doorward.keys.fetch import check_key_url, is_loopback
from doorward.keys.key import ALGORITHMS
from doorward.tokens.audiences import Audience, Audiences

if TYPE_CHECKING:
    from doorward.tokens.claims import Rule

__all__ = ["EMULATOR_VARIABLE", "GOOGLE", "Identity", "Issuer", "in_environment"]

_log = logging.getLogger("doorward.issuers")

EMULATOR_VARIABLE: Final = "DOORWARD_EMULATOR_HOST"
"""Names the ``HOST:PORT`` of an emulator whose keys replace Google's."""

_HOUR: Final = 3_600.0
_LONGEST_LIFETIME: Final = 86_400.0


class Identity(NamedTuple):
    """Whom an issuer vouches for, where its claims say so in a way of their own.

    Attributes:
        email: The address that it vouches for, if any.
        google_account: Whether that is a Google identity.
        external: Whether it only passes on what another identity provider has said.
        hosted_domain: The Workspace or Cloud Identity domain of a user, if it vouches for one.
    """

    email: str | None
    google_account: bool
    external: bool = False
    hosted_domain: str | None = None


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
        audiences: What its tokens are made for, where that follows from the issuer; it then takes the place
            of the verifier's audience. Empty for all others.
        subject_optional: Whether a token may lack ``sub``.
        extra_rules: What else its claims must keep; checked after the rules that hold for all.
        identify: Tells from verified claims whom it vouches for, where that is not what ``email``,
            ``email_verified`` and ``hd`` say. It then decides, and `google_accounts` is not asked.
    """

    name: str
    spellings: tuple[str, ...]
    key_url: str
    algorithms: tuple[str, ...] = ("RS256",)
    max_lifetime: float = _HOUR
    audience_lists: bool = False
    google_accounts: bool = False
    audiences: tuple[str | Audience, ...] = ()
    subject_optional: bool = False
    extra_rules: tuple[Rule, ...] = ()
    identify: Callable[[Mapping[str, object]], Identity] | None = None

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
        if not isinstance(self.audiences, tuple):
            raise ConfigurationError(f"audiences of issuer {self.name!r} must be a tuple; it may be empty")
        if self.audiences:
            Audiences(self.audiences)
        if not isinstance(self.extra_rules, tuple) or not all(map(callable, self.extra_rules)):
            raise ConfigurationError(f"extra_rules of issuer {self.name!r} must be a tuple of functions")
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
