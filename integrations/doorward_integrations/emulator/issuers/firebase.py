"""The emulated Firebase: ID tokens of the users of any project, and the keys that sign them.

From https://firebase.google.com/docs/auth/admin/verify-id-tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Unpack
from urllib.parse import urlsplit

from starlette.routing import BaseRoute

from doorward.issuers.firebase import firebase
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.issuers.core import SigningIssuer, TokenChanges
from doorward_integrations.emulator.issuers.iap import DEFAULT_USER
from doorward_integrations.emulator.issuers.publishing import KeyEndpoint
from doorward_integrations.emulator.keys.schedule import RotationSchedule

__all__ = ["EmulatedFirebase"]

_PEM_PATH: Final = "/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"


class EmulatedFirebase(SigningIssuer):
    """Signs ID tokens as Firebase does, and publishes its keys where that does; one set for all projects.

    Attributes:
        certs: The key endpoints. They are taken down and brought up here, and fetches are counted here.
    """

    certs: Final[KeyEndpoint]

    def __init__(
        self, *, clock: Callable[[], float], rotation: RotationSchedule | None = None, max_age: int = 18_000
    ) -> None:
        """Make the issuer; this makes no key yet.

        Args:
            clock: Returns the time in seconds since the epoch.
            rotation: When the key that signs is replaced; only on request by default.
            max_age: Seconds for which clients may keep the keys.
        """
        super().__init__("firebase", clock=clock, rotation=rotation)
        path = urlsplit(firebase("any-project").key_url).path
        documents = {path: self.jwks, _PEM_PATH: self.certificates}
        self.certs = KeyEndpoint(documents, max_age=max_age, clock=clock)

    def token(
        self,
        project: str,
        *,
        email: str = DEFAULT_USER,
        subject: str | None = None,
        **changes: Unpack[TokenChanges],
    ) -> str:
        """Mint the ID token of a user who has signed in with a password, when the token was issued.

        Args:
            project: The id of the Firebase project, which is the claim ``aud``.
            email: The address of the user.
            subject: The user's id in the project; by default derived from the address.
            **changes: See `TokenChanges`.

        Returns:
            The token, a compact JWS.

        Raises:
            ConfigurationError: If the e-mail is no address, or the project no id of one.
        """
        account = Account(email)
        uid = account.subject if subject is None else subject
        signed_in = changes.get("issued_at")
        named: dict[str, object] = {
            "aud": project,
            "auth_time": int(self.clock() if signed_in is None else signed_in),
            "email": account.email,
            "email_verified": True,
            "firebase": {"identities": {"email": [account.email]}, "sign_in_provider": "password"},
            "iss": firebase(project).iss_values[0],
            "sub": uid,
            "user_id": uid,
        }
        return self.sign(named, **changes)

    def routes(self) -> list[BaseRoute]:
        """Return the routes: both forms of the keys.

        Returns:
            Routes for a Starlette application.
        """
        return [*self.certs.routes()]
