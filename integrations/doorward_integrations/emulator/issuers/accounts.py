"""ID tokens of Google accounts as they are asked for over HTTP: by the name of an account that there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Unpack

from doorward.errors import ConfigurationError
from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.issuers.core import TokenChanges
from doorward_integrations.emulator.issuers.google import EmulatedIssuer

__all__ = ["AccountTokens"]

_FORMATS: Final = ("standard", "full")


class AccountTokens:
    """Mints ID tokens of the accounts that there are, and of any address if it is asked to."""

    def __init__(
        self,
        issuer: EmulatedIssuer,
        *,
        find: Callable[[str], Account],
        machine_claims: Callable[[], dict[str, object]],
    ) -> None:
        """Mint with an issuer.

        Args:
            issuer: Signs the tokens.
            find: Returns the account of an address, and the default one for ``default``; raises
                ConfigurationError if there is none.
            machine_claims: Returns the claims of the format ``full``.
        """
        self._issuer: Final = issuer
        self._find: Final = find
        self._machine_claims: Final = machine_claims

    def mint(
        self,
        audience: str | None,
        *,
        account: str | None = None,
        email: str | None = None,
        subject: str | None = None,
        format: str = "standard",  # noqa: A002 - as the metadata server calls it
        **changes: Unpack[TokenChanges],
    ) -> str:
        """Mint an ID token.

        Args:
            audience: The claim ``aud``; for a user None too, for that of the tokens that gcloud prints.
            account: The address of an account that there is; the default one by default.
            email: Any address instead, also of an account that there is not.
            subject: Its unique id; by default that of the account.
            format: ``full`` describes the machine, if the emulator has one; else ``standard``.
            **changes: See `TokenChanges`.

        Returns:
            The token, a compact JWS.

        Raises:
            ConfigurationError: If there is no such account or format, or an audience is missing.
        """
        if format not in _FORMATS:
            raise ConfigurationError(f"the format must be one of {', '.join(_FORMATS)}")
        if account is not None and email is not None:
            raise ConfigurationError("name an account, or an email, not both")
        found = Account(email) if email is not None else self._find("default" if account is None else account)
        if audience is None:
            if found.is_service_account:
                raise ConfigurationError("a token of a service account needs an 'audience'")
            audience = GCLOUD_CLIENT_ID
        if subject is not None:
            found = Account(found.email, unique_id=subject, hosted_domain=found.hosted_domain)
        if format == "full":
            changes["claims"] = self._machine_claims() | dict(changes.get("claims") or {})
        return self._issuer.mint_for(found, audience, **changes)
