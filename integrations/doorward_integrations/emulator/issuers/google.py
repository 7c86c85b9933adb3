"""An issuer of ID tokens with keys of its own, whose tokens have the shape of Google's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Unpack

from doorward.errors import ConfigurationError
from doorward.issuers.google import GOOGLE
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT, Account
from doorward_integrations.emulator.issuers.core import SigningIssuer, TokenChanges, shown
from doorward_integrations.emulator.keys import RotationSchedule, SigningKey

__all__ = ["EmulatedIssuer"]

# Of both accepted values, the one that Google's ID tokens have.
_GOOGLE_ISS: Final = GOOGLE.iss_values[0]
_HOUR: Final = 3_600

_log = logging.getLogger("doorward.emulator")


class EmulatedIssuer(SigningIssuer):
    """Signs ID tokens as Google does, with keys that no other verifier accepts.

    Two keys are published at any time, as Google publishes two: the one that signs now and the one that
    signed before it, unless a rotation with an overlap says otherwise. Safe to use from threads.
    """

    def __init__(
        self,
        *,
        iss: str = _GOOGLE_ISS,
        clock: Callable[[], float] = time.time,
        make_key: Callable[[], SigningKey] | None = None,
        rotation: RotationSchedule | None = None,
    ) -> None:
        """Make an issuer; this makes no key yet.

        Args:
            iss: The claim ``iss`` of its tokens.
            clock: Returns the time in seconds since the epoch, for the claims ``iat`` and ``exp``.
            make_key: Makes a signing key; a new RSA-2048 key by default.
            rotation: When the key that signs is replaced; only on request by default.

        Raises:
            ConfigurationError: If ``iss`` is empty.
        """
        if not iss:
            raise ConfigurationError(f"an issuer needs a name for the claim 'iss', such as {_GOOGLE_ISS}")
        super().__init__("google", clock=clock, make_key=make_key, rotation=rotation)
        self._iss: Final = iss

    def __repr__(self) -> str:
        """Show the claim ``iss`` and the ids of the keys made so far."""
        return f"EmulatedIssuer(iss={self._iss!r}, kids={self.ring.kids!r})"

    @property
    def iss(self) -> str:
        """The claim ``iss`` of its tokens."""
        return self._iss

    def mint(
        self,
        audience: str,
        *,
        email: str = DEFAULT_ACCOUNT,
        subject: str | None = None,
        issued_at: float | None = None,
        lifetime: int = _HOUR,
        claims: Mapping[str, object] | None = None,
        header: Mapping[str, object] | None = None,
        key: SigningKey | None = None,
    ) -> str:
        """Mint an ID token, or a hostile one: what is given here is not checked.

        The address decides whether the claims are a service account's or those that gcloud prints for a user.

        Args:
            audience: The claim ``aud``.
            email: The address of the account.
            subject: Its unique id, also in a service account's ``azp``; by default derived from the address.
            issued_at: Seconds since the epoch, cut to whole ones; now by default.
            lifetime: Seconds between ``iat`` and ``exp``.
            claims: Claims to change or to add; None removes one.
            header: Header parameters to change or to add, such as ``kid``; None removes one.
            key: The key that signs, the current one by default. One that is not published makes a forgery.

        Returns:
            The token, a compact JWS.

        Raises:
            ConfigurationError: If the e-mail is no address.
        """
        return self.mint_for(
            Account(email, unique_id=subject),
            audience,
            issued_at=issued_at,
            lifetime=lifetime,
            claims=claims,
            header=header,
            key=key,
        )

    def mint_for(self, account: Account, audience: str, **changes: Unpack[TokenChanges]) -> str:
        """Mint an ID token of an account, with all that is known of it.

        Args:
            account: The account.
            audience: The claim ``aud``.
            **changes: See `TokenChanges`.

        Returns:
            The token, a compact JWS.
        """
        token = self.sign(account.claims() | {"aud": audience, "iss": self._iss}, **changes)
        _log.debug("minted an ID token for %s, audience %s", shown(account.email), shown(audience))
        return token
