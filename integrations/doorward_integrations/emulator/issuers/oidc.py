"""OpenID Connect issuers of one's own: each with a discovery document, keys and tokens.

From OpenID Connect Discovery 1.0, sections 3 and 4. `doorward.discover` asks the emulator for an ``https``
issuer; clients that know no emulator reach an issuer whose identifier is ``http://HOST:PORT/oidc/NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final, Unpack
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.keys.http.urls import check_key_url
from doorward.shown import quoted
from doorward_integrations.emulator.interface import OIDC_PATH
from doorward_integrations.emulator.issuers.core import SigningIssuer, TokenChanges
from doorward_integrations.emulator.issuers.named import NamedIssuers
from doorward_integrations.emulator.issuers.publishing import KeyEndpoint
from doorward_integrations.emulator.keys.schedule import RotationSchedule

__all__ = ["EmulatedOidc", "OidcIssuers"]

_PLAIN: Final = "/oidc"
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST: Final = 256


class EmulatedOidc(SigningIssuer):
    """One issuer of one's own.

    Attributes:
        iss: Its identifier, the claim ``iss`` of its tokens.
    """

    iss: Final[str]

    def __init__(
        self, iss: str, *, clock: Callable[[], float], rotation: RotationSchedule | None = None
    ) -> None:
        """Make an issuer; `OidcIssuers` is the usual way here.

        Args:
            iss: Its identifier.
            clock: Returns the time in seconds since the epoch.
            rotation: When the key that signs is replaced; only on request by default.
        """
        super().__init__(f"oidc {iss}", clock=clock, rotation=rotation)
        self.iss = iss

    def token(
        self,
        audience: str | list[str],
        *,
        subject: str = "user-1",
        email: str | None = None,
        **changes: Unpack[TokenChanges],
    ) -> str:
        """Mint an ID token.

        Args:
            audience: The claim ``aud``.
            subject: The claim ``sub``.
            email: The claim ``email``, with ``email_verified``; neither by default.
            **changes: See `TokenChanges`; further claims are added with ``claims``.

        Returns:
            The token, a compact JWS.
        """
        named: dict[str, object] = {"aud": audience, "iss": self.iss, "sub": subject}
        if email is not None:
            named |= {"email": email, "email_verified": True}
        return self.sign(named, **changes)


def _identifier(name: str) -> str:
    """Return the identifier that a name stands for."""
    usable = isinstance(name, str) and len(name) <= _LONGEST and name.isascii() and not set("?#") & set(name)
    if usable and _NAME.fullmatch(name):
        return f"https://{name}.test"
    try:
        check_key_url(name if usable else "")
    except ConfigurationError:
        raise ConfigurationError(
            f"{quoted(name)} names no issuer: write a plain name, https://HOST/PATH, or "
            "http://HOST:PORT/oidc/NAME with the emulator's own address"
        ) from None
    return name


class OidcIssuers:
    """All OpenID Connect issuers of an emulator; one is made when it is first named.

    Attributes:
        certs: Where their documents are answered; taken down, all of their keys are out of reach.
    """

    certs: Final[KeyEndpoint]

    def __init__(
        self, make: Callable[[str], EmulatedOidc], *, clock: Callable[[], float], max_age: int = 3_600
    ) -> None:
        """Begin without any issuer.

        Args:
            make: Makes the issuer of an identifier.
            clock: Returns the time in seconds since the epoch.
            max_age: Seconds for which clients may keep the keys.
        """
        self._issuers: Final = NamedIssuers(make)
        self.certs = KeyEndpoint({}, max_age=max_age, clock=clock)

    def __call__(self, name: str) -> EmulatedOidc:
        """Return an issuer.

        Args:
            name: Its identifier, exactly as it is in ``iss``; or a plain name, which stands for
                ``https://NAME.test``.

        Returns:
            The issuer: the same one each time.

        Raises:
            ConfigurationError: If it is neither, or there are too many.
        """
        return self._issuers.get(_identifier(name))

    def __iter__(self) -> Iterator[EmulatedOidc]:
        """Iterate over the issuers that were named so far."""
        return iter(self._issuers)

    def routes(self) -> list[BaseRoute]:
        """Return the routes: discovery documents and keys, by whole identifier and at the emulator's host.

        Returns:
            Routes for a Starlette application.
        """
        return [
            Route(f"{OIDC_PATH}/{{issuer:path}}{_WELL_KNOWN}", self._discovery),
            Route(f"{OIDC_PATH}/{{issuer:path}}/jwks", self._jwks),
            Route(f"{_PLAIN}/{{name}}{_WELL_KNOWN}", self._discovery),
            Route(f"{_PLAIN}/{{name}}/jwks", self._jwks),
        ]

    def _named_by(self, request: Request) -> EmulatedOidc:
        issuer = request.path_params.get("issuer")
        if issuer is None:
            host = request.url.netloc
            if not is_on_this_machine(host, without_port=True):
                raise ConfigurationError("the identifier of such an issuer has a loopback host")
            issuer = f"http://{host}{_PLAIN}/{request.path_params['name']}"
        elif urlsplit(issuer).scheme != "https":
            raise ConfigurationError("an issuer on this machine is asked itself")
        return self(issuer)

    async def _discovery(self, request: Request) -> Response:
        try:
            issuer = self._named_by(request)
        except ConfigurationError as error:
            return PlainTextResponse(str(error), HTTPStatus.NOT_FOUND)
        own = request.path_params.get("issuer") is None
        path = urlsplit(issuer.iss).path if own else f"{OIDC_PATH}/{quote(issuer.iss, safe='')}"
        return self.certs.answer(
            request,
            {
                "issuer": issuer.iss,
                "jwks_uri": f"http://{request.url.netloc}{path}/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [issuer.algorithm],
            },
        )

    async def _jwks(self, request: Request) -> Response:
        try:
            issuer = self._named_by(request)
        except ConfigurationError as error:
            return PlainTextResponse(str(error), HTTPStatus.NOT_FOUND)
        return await self.certs.answer_keys(request, issuer.jwks)
