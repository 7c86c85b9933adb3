"""Service accounts that sign tokens with their own keys, without Google in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final, Unpack

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from doorward.errors import ConfigurationError
from doorward.issuers.service_accounts import is_service_account
from doorward.shown import quoted
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.issuers.core import SigningIssuer, TokenChanges
from doorward_integrations.emulator.issuers.named import NamedIssuers
from doorward_integrations.emulator.issuers.publishing import KeyEndpoint
from doorward_integrations.emulator.keys.public_key import PublicKey
from doorward_integrations.emulator.keys.schedule import RotationSchedule

__all__ = ["SelfSigner", "SelfSigners"]

_JWK_PATH: Final = "/service_accounts/v1/jwk/{email}"
_PEM_PATHS: Final = ("/service_accounts/v1/metadata/x509/{email}", "/robot/v1/metadata/x509/{email}")


class SelfSigner(SigningIssuer):
    """The own key of one service account; Google Chat signs so too.

    Attributes:
        email: The address of the account, which is the claims ``iss`` and ``sub`` of its tokens.
    """

    email: Final[str]

    def __init__(
        self, email: str, *, clock: Callable[[], float], rotation: RotationSchedule | None = None
    ) -> None:
        """Make the signer of an account; `SelfSigners` is the usual way here.

        Args:
            email: The address of the account.
            clock: Returns the time in seconds since the epoch.
            rotation: When the key that signs is replaced; only on request by default.
        """
        super().__init__(email, clock=clock, rotation=rotation)
        self.email = email

    def token(self, audience: str, **changes: Unpack[TokenChanges]) -> str:
        """Mint a token that the account has signed for itself.

        Args:
            audience: The claim ``aud``.
            **changes: See `TokenChanges`.

        Returns:
            The token, a compact JWS.
        """
        return self.sign({"aud": audience, "iss": self.email, "sub": self.email}, **changes)


class SelfSigners:
    """All service accounts that sign for themselves; a signer is made when it is first named.

    Attributes:
        certs: Where their keys are answered.
    """

    certs: Final[KeyEndpoint]

    def __init__(
        self, make: Callable[[str], SelfSigner], *, clock: Callable[[], float], max_age: int = 3_600
    ) -> None:
        """Begin without any.

        Args:
            make: Makes the signer of an address.
            clock: Returns the time in seconds since the epoch.
            max_age: Seconds for which clients may keep the keys.
        """
        self._signers: Final = NamedIssuers(make)
        self._keys_in_files: Callable[[str], Iterable[PublicKey]] = lambda _: ()
        self.certs = KeyEndpoint({}, max_age=max_age, clock=clock)

    def __call__(self, email: str) -> SelfSigner:
        """Return the signer of an account.

        Args:
            email: The address of a service account; its case does not matter.

        Returns:
            The signer: the same one each time.

        Raises:
            ConfigurationError: If it is no such address, or there are too many.
        """
        if not is_service_account(Account(email).email.lower()):
            raise ConfigurationError(f"{quoted(email)} is not the address of a service account")
        return self._signers.get(email.lower())

    def __iter__(self) -> Iterator[SelfSigner]:
        """Iterate over the signers that were named so far."""
        return iter(self._signers)

    def publish_also(self, keys_in_files: Callable[[str], Iterable[PublicKey]]) -> None:
        """Publish further keys of the accounts, as Google publishes those of key files.

        Args:
            keys_in_files: Returns them, by the address of the account.
        """
        self._keys_in_files = keys_in_files

    def routes(self) -> list[BaseRoute]:
        """Return the routes: both forms of the keys of any account.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(_JWK_PATH, self._jwks), *(Route(path, self._certificates) for path in _PEM_PATHS)]

    async def _jwks(self, request: Request) -> Response:
        return await self._answer(request, self._all_jwks)

    async def _certificates(self, request: Request) -> Response:
        return await self._answer(request, self._all_certificates)

    def _all_jwks(self, signer: SelfSigner) -> object:
        in_files = (dict(key.jwk) for key in self._keys_in_files(signer.email))
        return {"keys": [*signer.jwks()["keys"], *in_files]}

    def _all_certificates(self, signer: SelfSigner) -> object:
        in_files = {key.kid: key.certificate for key in self._keys_in_files(signer.email)}
        return signer.certificates() | in_files

    async def _answer(self, request: Request, document: Callable[[SelfSigner], object]) -> Response:
        try:
            signer = self(request.path_params["email"])
        except ConfigurationError as error:
            return PlainTextResponse(str(error), HTTPStatus.NOT_FOUND)
        return await self.certs.answer_keys(request, lambda: document(signer))
