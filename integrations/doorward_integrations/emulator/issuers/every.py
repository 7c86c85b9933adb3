"""Every issuer of one emulator, by name: for their keys on disk, their administration, and minting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from starlette.routing import BaseRoute

from doorward_integrations.emulator.issuers.core import SigningIssuer
from doorward_integrations.emulator.issuers.firebase import EmulatedFirebase
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.issuers.iap import EmulatedIap
from doorward_integrations.emulator.issuers.minting import Mint, Minting
from doorward_integrations.emulator.issuers.oidc import EmulatedOidc, OidcIssuers
from doorward_integrations.emulator.issuers.self_signed import SelfSigner, SelfSigners
from doorward_integrations.emulator.keys.admin import KeyAdmin
from doorward_integrations.emulator.keys.ring import KeyRing
from doorward_integrations.emulator.keys.schedule import RotationSchedule
from doorward_integrations.emulator.keys.state import KeyFile

__all__ = ["EveryIssuer"]

_OIDC: Final = "oidc "

I = TypeVar("I", bound=SigningIssuer)  # noqa: E741 - the issuer


class EveryIssuer:
    """The issuers of an emulator, on the clock of the one of Google accounts.

    Attributes:
        google: Signs the ID tokens of Google accounts.
        iap: Signs as Identity-Aware Proxy does.
        firebase: Signs as Firebase does.
        oidc: Returns the OpenID Connect issuer of a name.
        self_signed: Returns the signer of a service account.
    """

    google: Final[EmulatedIssuer]
    iap: Final[EmulatedIap]
    firebase: Final[EmulatedFirebase]
    oidc: Final[OidcIssuers]
    self_signed: Final[SelfSigners]

    def __init__(
        self,
        google: EmulatedIssuer,
        *,
        mint_google: Mint | None = None,
        rotation: RotationSchedule | None = None,
        file: KeyFile | None = None,
    ) -> None:
        """Make the issuers beside the one of Google accounts.

        Args:
            google: That one.
            mint_google: Mints its tokens over HTTP; its own method by default.
            rotation: When the keys of every other one are replaced; only on request by default.
            file: Where all keys are kept; None to keep them in memory only.

        Raises:
            ConfigurationError: If keys that are kept cannot be used, or could not be kept.
        """
        clock = google.clock
        self._file: Final = file
        self._mint_google: Final[Mint] = google.mint if mint_google is None else mint_google
        self.google = self._kept(google)
        self.iap = self._kept(EmulatedIap(clock=clock, rotation=rotation))
        self.firebase = self._kept(EmulatedFirebase(clock=clock, rotation=rotation))
        self.oidc = OidcIssuers(
            lambda iss: self._kept(EmulatedOidc(iss, clock=clock, rotation=rotation)), clock=clock
        )
        self.self_signed = SelfSigners(
            lambda email: self._kept(SelfSigner(email, clock=clock, rotation=rotation)), clock=clock
        )
        if file is not None:
            # Made now, so that a disk that is full is found out before anything is served.
            _ = self.google.keys
            for name in file.names():
                if name.startswith(_OIDC):
                    self.oidc(name.removeprefix(_OIDC))
                elif "@" in name:
                    self.self_signed(name)

    def _kept(self, issuer: I) -> I:
        if self._file is not None:
            issuer.ring.keep(self._file.slot(issuer.name, issuer.algorithm))
        return issuer

    def __iter__(self) -> Iterator[SigningIssuer]:
        """Iterate over the issuers that are there now."""
        yield from (self.google, self.iap, self.firebase)
        yield from self.oidc
        yield from self.self_signed

    def rings(self) -> dict[str, KeyRing]:
        """Return the keys of every issuer, by its name."""
        return {issuer.name: issuer.ring for issuer in self}

    def mint_of(self, name: str) -> Mint | None:
        """Return what mints the tokens of an issuer.

        Args:
            name: ``google``, ``iap``, ``firebase``, the address of a service account that signs for itself,
                or the identifier or the plain name of an OpenID Connect issuer behind ``oidc:``.

        Returns:
            The function; None if the name means no issuer.

        Raises:
            ConfigurationError: If it means one that cannot be.
        """
        kind, colon, identifier = name.partition(":")
        if colon and kind == "oidc":
            return self.oidc(identifier).token
        if "@" in name:
            return self.self_signed(name).token
        named: dict[str, Mint] = {
            "google": self._mint_google,
            "iap": self.iap.token,
            "firebase": self.firebase.token,
        }
        return named.get(name)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all but the keys of Google accounts: keys, minting and administration.

        Returns:
            Routes for a Starlette application.
        """
        parts = (self.iap, self.firebase, self.oidc, self.self_signed)
        own = (Minting(self.mint_of, clock=self.google.clock), KeyAdmin(self.rings))
        return [
            *(one for part in parts for one in part.routes()),
            *(one for part in own for one in part.routes()),
        ]
