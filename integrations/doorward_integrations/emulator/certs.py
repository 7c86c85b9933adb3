"""The endpoints where the emulated issuer publishes its keys, with switches to break them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doorward.errors import ConfigurationError
from doorward.issuers.google import GOOGLE
from doorward_integrations.emulator.issuer import EmulatedIssuer

__all__ = ["CERTS_PATH", "PEM_PATH", "CertsEndpoint"]

CERTS_PATH: Final = urlsplit(GOOGLE.key_url).path
"""The path of the JWK Set, ``/oauth2/v3/certs``: at Google's host as at the emulator's."""

PEM_PATH: Final = "/oauth2/v1/certs"
"""The path of the X.509 certificates."""

_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_JSON: Final = "application/json; charset=UTF-8"


def _has_etag(condition: str, etag: str) -> bool:
    """Return whether If-None-Match names an entity tag, by weak comparison (RFC 9110, section 13.1.2)."""
    named = (one.strip().removeprefix("W/") for one in condition.split(","))
    return condition.strip() == "*" or etag in named


class CertsEndpoint:
    """Publishes the keys as Google does, fails while it is taken down, and counts requests.

    Attributes:
        max_age: Seconds for which an answer may be kept, the ``max-age`` of ``Cache-Control``. May be changed
            at any time.
    """

    max_age: int

    def __init__(self, issuer: EmulatedIssuer, *, max_age: int = 3_600) -> None:
        """Publish the keys of an issuer.

        Args:
            issuer: The issuer.
            max_age: Seconds for which an answer may be kept.

        Raises:
            ConfigurationError: If ``max_age`` is less than 0.
        """
        if max_age < 0:
            raise ConfigurationError(f"max_age={max_age} must be 0 seconds or more")
        self.max_age = max_age
        self._issuer = issuer
        self._down = False
        self._fetches = 0

    def __repr__(self) -> str:
        """Show the switches and the count."""
        return f"CertsEndpoint(is_up={self.is_up}, fetches={self._fetches}, max_age={self.max_age})"

    @property
    def is_up(self) -> bool:
        """Whether the keys are being served."""
        return not self._down

    @property
    def fetches(self) -> int:
        """How many requests for the keys have come, in either form, with those answered with 304 and 503."""
        return self._fetches

    def take_down(self) -> None:
        """Answer requests for the keys with 503, until `bring_up` is called."""
        self._down = True

    def bring_up(self) -> None:
        """Serve the keys again."""
        self._down = False

    def routes(self) -> list[Route]:
        """Return the routes: both forms of the keys, and the discovery document.

        Returns:
            Routes for a Starlette application.
        """
        return [
            Route(CERTS_PATH, self._jwks),
            Route(PEM_PATH, self._certificates),
            Route(_DISCOVERY_PATH, self._discovery),
        ]

    async def _jwks(self, request: Request) -> Response:
        return self._keys(request, self._issuer.jwks)

    async def _certificates(self, request: Request) -> Response:
        return self._keys(request, self._issuer.certificates)

    def _keys(self, request: Request, document: Callable[[], object]) -> Response:
        self._fetches += 1
        if self._down:
            return PlainTextResponse("Service Unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
        return self._answer(request, document())

    async def _discovery(self, request: Request) -> Response:
        # OpenID Connect Discovery 1.0, section 3. The authorization and token endpoints are left out, since
        # there is no sign-in here. The keys are at the host that was asked, by whatever name and port.
        return self._answer(
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

    def _answer(self, request: Request, document: object) -> Response:
        body = json.dumps(document, indent=2).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        # A 304 carries the same headers, so that the answer may be kept for another max-age (RFC 9110,
        # section 15.4.5).
        headers = {"Cache-Control": f"public, max-age={self.max_age}", "ETag": etag}
        if _has_etag(",".join(request.headers.getlist("if-none-match")), etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, media_type=_JSON, headers=headers)
