"""The endpoints where the emulated issuer of Google accounts publishes its keys."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.issuers.google import GOOGLE
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.issuers.publishing import KeyEndpoint

__all__ = ["CERTS_PATH", "PEM_PATH", "CertsEndpoint"]

CERTS_PATH: Final = urlsplit(GOOGLE.key_url).path
"""The path of the JWK Set, ``/oauth2/v3/certs``: at Google's host as at the emulator's."""

PEM_PATH: Final = "/oauth2/v1/certs"
"""The path of the X.509 certificates."""

_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


class CertsEndpoint(KeyEndpoint):
    """Publishes the keys as Google does, fails while it is taken down, and counts requests."""

    def __init__(self, issuer: EmulatedIssuer, *, max_age: int = 3_600) -> None:
        """Publish the keys of an issuer.

        Args:
            issuer: The issuer.
            max_age: Seconds for which an answer may be kept.

        Raises:
            ConfigurationError: If ``max_age`` is less than 0.
        """
        documents = {CERTS_PATH: issuer.jwks, PEM_PATH: issuer.certificates}
        super().__init__(documents, max_age=max_age, clock=issuer.clock)
        self._issuer: Final = issuer

    def routes(self) -> list[Route]:
        """Return the routes: both forms of the keys, and the discovery document.

        Returns:
            Routes for a Starlette application.
        """
        return [*super().routes(), Route(_DISCOVERY_PATH, self._discovery)]

    async def _discovery(self, request: Request) -> Response:
        # OpenID Connect Discovery 1.0, section 3. The authorization and token endpoints are left out, since
        # there is no sign-in here. The keys are at the host that was asked, by whatever name and port.
        return self.answer(
            request,
            {
                "issuer": self._issuer.iss,
                "jwks_uri": str(request.url.replace(path=CERTS_PATH, query="", fragment="")),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "claims_supported": ["aud", "email", "email_verified", "exp", "iat", "iss", "sub"],
            },
        )
