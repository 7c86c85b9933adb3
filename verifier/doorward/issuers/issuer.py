"""An issuer of ID tokens: its names, its keys, its algorithms, and the rules of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from doorward.audiences.audience import Audience, Audiences
from doorward.errors import ConfigurationError
from doorward.issuers.claim_rule import ClaimRule
from doorward.keys.http.urls import check_key_url, shown_url
from doorward.keys.key import check_algorithms

__all__ = ["Identity", "Issuer"]

_HOUR: Final = 3_600.0
_LONGEST_LIFETIME: Final = 86_400.0


class Identity(NamedTuple):
    """The identity that an issuer vouches for, where its claims express it in a form of their own.

    Attributes:
        email: The address that it vouches for, if any.
        google_account: Whether that is a Google identity.
        external: Whether it only repeats what another identity provider has asserted.
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
        name: Its name in logs.
        iss_values: The accepted values of ``iss``, compared exactly.
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
        extra_rules: Further rules for its claims, checked after the rules that hold for every issuer.
        identify: Works out the identity from verified claims, where that is not what ``email``,
            ``email_verified`` and ``hd`` say. It then decides, and `google_accounts` is ignored.
    """

    name: str
    iss_values: tuple[str, ...]
    key_url: str
    algorithms: tuple[str, ...] = ("RS256",)
    max_lifetime: float = _HOUR
    audience_lists: bool = False
    google_accounts: bool = False
    audiences: tuple[str | Audience, ...] = ()
    subject_optional: bool = False
    extra_rules: tuple[ClaimRule, ...] = ()
    identify: Callable[[Mapping[str, object]], Identity] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work or would check nothing.

        Raises:
            ConfigurationError: If a field is empty, of the wrong type or out of range.
        """
        if (
            isinstance(self.iss_values, str)
            or not self.iss_values
            or not all(isinstance(one, str) and one for one in self.iss_values)
        ):
            raise ConfigurationError(
                f"issuer {self.name!r} needs the accepted values of 'iss' as a tuple of strings: "
                'iss_values=("https://issuer.example",)'
            )
        check_algorithms(self.algorithms, f"issuer {self.name!r}: ")
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

    def __repr__(self) -> str:
        """Show every field; of the key URL without its query, which may hold an API key."""
        shown = {one.name: getattr(self, one.name) for one in fields(self)}
        shown["key_url"] = shown_url(self.key_url)
        return f"Issuer({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
