"""The endpoints where the emulated issuer publishes its keys, with switches to break them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.issuer import EmulatedIssuer

__all__ = ["CERTS_PATH", "PEM_PATH", "CertsEndpoint"]

CERTS_PATH: Final = "/oauth2/v3/certs"
"""Where the JWK Set is, at Google's host as at the emulator's."""

PEM_PATH: Final = "/oauth2/v1/certs"
"""Where the X.509 certificates are."""

_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_JSON: Final = "application/json; charset=UTF-8"


def _has_etag(condition: str, etag: str) -> bool:
    """Say whether If-None-Match names an entity tag: weak comparison (RFC 9110, section 13.1.2)."""
    named = (one.strip().removeprefix("W/") for one in condition.split(","))
    return condition.strip() == "*" or etag in named


class CertsEndpoint:
    """Publishes the keys as Google does, fails when it is told to, and counts who asks.

    Attributes:
        max_age: Seconds for which an answer may be kept, as ``Cache-Control`` says. May be changed at any
            time.
    """

    max_age: int

    def __init__(self, issuer: EmulatedIssuer, *, max_age: int = 3_600) -> None:
        """Publish the keys of an issuer.

        Args:
            issuer: Whose keys.
            max_age: Seconds for which an answer may be kept.

        Raises:
            ConfigurationError: If that is less than 0.
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
        """How many requests have come for the keys, in either form: those answered with 304 and 503 too."""
        return self._fetches

    def take_down(self) -> None:
        """FetchResponse 503 to whoever asks for keys, until `bring_up`."""
        self._down = True

    def bring_up(self) -> None:
        """Serve the keys again."""
        self._down = False

    def routes(self) -> list[Route]:
        """Give the routes: both forms of the keys, and the discovery document.

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
        # nobody can sign in here. The keys are at the host that was asked, whatever its name or port.
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
        # A 304 carries the same headers, so that the kept answer gets a new lease (RFC 9110, section 15.4.5).
        headers = {"Cache-Control": f"public, max-age={self.max_age}", "ETag": etag}
        if _has_etag(",".join(request.headers.getlist("if-none-match")), etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, media_type=_JSON, headers=headers)
