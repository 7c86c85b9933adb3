"""The emulated Identity-Aware Proxy: the assertions that it adds to requests, and its keys.

From https://cloud.google.com/iap/docs/signed-headers-howto.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Unpack
from urllib.parse import urlsplit

from starlette.routing import BaseRoute

from doorward.issuers.iap import IAP
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.issuers.core import SigningIssuer, TokenChanges
from doorward_integrations.emulator.issuers.publishing import KeyEndpoint
from doorward_integrations.emulator.keys.schedule import RotationSchedule

__all__ = ["DEFAULT_USER", "EmulatedIap"]

DEFAULT_USER: Final = "user@example.com"
"""The user of tokens for users, unless another is chosen."""

_JWK_PATH: Final = urlsplit(IAP.key_url).path
_PEM_PATH: Final = _JWK_PATH.removesuffix("-jwk")
_LIFETIME: Final = 600


class EmulatedIap(SigningIssuer):
    """Signs assertions as Identity-Aware Proxy does, with ES256, and publishes its keys where that does.

    Attributes:
        certs: The key endpoints. They are taken down and brought up here, and fetches are counted here.
    """

    certs: Final[KeyEndpoint]

    def __init__(
        self, *, clock: Callable[[], float], rotation: RotationSchedule | None = None, max_age: int = 3_000
    ) -> None:
        """Make the proxy; this makes no key yet.

        Args:
            clock: Returns the time in seconds since the epoch.
            rotation: When the key that signs is replaced; only on request by default.
            max_age: Seconds for which clients may keep the keys.
        """
        super().__init__("iap", clock=clock, rotation=rotation, algorithm="ES256")
        documents = {_JWK_PATH: self.jwks, _PEM_PATH: self.public_keys}
        self.certs = KeyEndpoint(documents, max_age=max_age, clock=clock)

    def token(
        self,
        audience: str,
        *,
        email: str = DEFAULT_USER,
        subject: str | None = None,
        hosted_domain: str | None = None,
        **changes: Unpack[TokenChanges],
    ) -> str:
        """Mint the assertion that the proxy sends in ``x-goog-iap-jwt-assertion``.

        Args:
            audience: The claim ``aud``, such as ``/projects/NUMBER/locations/REGION/services/SERVICE``.
            email: The address of the user.
            subject: Its unique id, behind ``accounts.google.com:``; by default derived from the address.
            hosted_domain: The claim ``hd``.
            **changes: See `TokenChanges`; it lives for 600 s by default.

        Returns:
            The token, a compact JWS.

        Raises:
            ConfigurationError: If the e-mail is no address.
        """
        account = Account(email)
        named: dict[str, object] = {
            "aud": audience,
            "azp": audience,
            "email": account.email,
            "hd": hosted_domain,
            "identity_source": "GOOGLE",
            "iss": IAP.iss_values[0],
            "sub": f"accounts.google.com:{account.subject if subject is None else subject}",
        }
        lasting: TokenChanges = {**changes, "lifetime": changes.get("lifetime", _LIFETIME)}
        return self.sign(named, **lasting)

    def routes(self) -> list[BaseRoute]:
        """Return the routes: both forms of the keys.

        Returns:
            Routes for a Starlette application.
        """
        return [*self.certs.routes()]
