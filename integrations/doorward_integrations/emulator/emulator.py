"""The emulator as one object: issuer, accounts, endpoints, and their application and server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.accounts import Accounts
from doorward_integrations.emulator.certs import CertsEndpoint
from doorward_integrations.emulator.endpoint import Endpoint
from doorward_integrations.emulator.environment import environment_of
from doorward_integrations.emulator.health import HealthEndpoint
from doorward_integrations.emulator.hosts import LoopbackHosts, no_other_host
from doorward_integrations.emulator.iam_credentials.endpoint import IamCredentials
from doorward_integrations.emulator.identities.model import DEFAULT_PROJECT, Identities
from doorward_integrations.emulator.instance import Instance
from doorward_integrations.emulator.issuers.accounts import AccountTokens
from doorward_integrations.emulator.issuers.every import EveryIssuer
from doorward_integrations.emulator.issuers.firebase import EmulatedFirebase
from doorward_integrations.emulator.issuers.google import EmulatedIssuer
from doorward_integrations.emulator.issuers.iap import EmulatedIap
from doorward_integrations.emulator.issuers.oidc import OidcIssuers
from doorward_integrations.emulator.issuers.self_signed import SelfSigners
from doorward_integrations.emulator.keys.schedule import RotationSchedule
from doorward_integrations.emulator.keys.state import KeyFile
from doorward_integrations.emulator.metadata.server import MetadataServer
from doorward_integrations.emulator.oauth.access_tokens import AccessTokens
from doorward_integrations.emulator.oauth.account_keys import AccountKeys
from doorward_integrations.emulator.oauth.key_files import KeyFiles
from doorward_integrations.emulator.oauth.token_endpoint import TokenEndpoint
from doorward_integrations.emulator.oauth.token_info import TokenInfo
from doorward_integrations.emulator.page.endpoint import Page
from doorward_integrations.emulator.page.known import Known
from doorward_integrations.emulator.server import LoopbackServer
from doorward_integrations.emulator.services.policies import ServicePolicies
from doorward_integrations.emulator.state_file import StateFolder

__all__ = ["Emulator", "RunningEmulator", "create_app"]


class Emulator:
    """Mints ID tokens, publishes their keys and answers as the metadata server, all on this machine.

    Attributes:
        issuer: Mints tokens and rotates keys.
        identities: Who there is, and who may act as whom.
        accounts: The service accounts that the metadata server has tokens for.
        access_tokens: The access tokens that were issued.
        account_keys: The keys of the service accounts; makes key files.
        certs: The key endpoints. They are taken down and brought up here, and fetches are counted here.
        metadata: The metadata server.
        iap: Signs as Identity-Aware Proxy does.
        firebase: Signs as Firebase does.
        oidc: Returns the OpenID Connect issuer of a name: ``emulator.oidc("https://id.example.com")``.
        self_signed: Returns the own signer of a service account, by its address.
        services: The IAM policies of services.
        page: The page at its root, for people, and the last decisions of the doors on this machine.
        endpoints: All parts that have routes: the emulator's own, then the further ones in the order given.
    """

    issuer: Final[EmulatedIssuer]
    identities: Final[Identities]
    accounts: Final[Accounts]
    access_tokens: Final[AccessTokens]
    account_keys: Final[AccountKeys]
    certs: Final[CertsEndpoint]
    metadata: Final[MetadataServer]
    iap: Final[EmulatedIap]
    firebase: Final[EmulatedFirebase]
    oidc: Final[OidcIssuers]
    self_signed: Final[SelfSigners]
    services: Final[ServicePolicies]
    page: Final[Page]
    endpoints: Final[tuple[Endpoint, ...]]

    def __init__(
        self,
        issuer: EmulatedIssuer | None = None,
        *,
        identities: Identities | None = None,
        account: str | None = None,
        other_accounts: Iterable[str] = (),
        project: str | None = None,
        instance: Instance | None = None,
        max_age: int = 3_600,
        rotation: RotationSchedule | None = None,
        state: str | os.PathLike[str] | None = None,
        endpoints: Iterable[Endpoint] = (),
    ) -> None:
        """Make an emulator; nothing listens yet.

        Args:
            issuer: Signs the tokens, by its own clock; a new issuer on the system's clock by default.
            identities: Who there is, and who may act as whom, as `read_identities` reads it from a file; by
                default every address is an account, and no one may act as another.
            account: The service account that clients get tokens for unless they name another; by default the
                first of those that ``identities`` attaches to the machine.
            other_accounts: Further service accounts that clients may name.
            project: The id of the project, if ``identities`` are not given.
            instance: The Compute Engine machine that ``format=full`` describes; none by default.
            max_age: Seconds for which clients may keep the keys of Google accounts.
            rotation: When the keys of every issuer are replaced; only on request by default. An `issuer` that
                is given has a rotation of its own.
            state: The folder that keeps keys and policies, so that a restarted emulator has the same ones; it
                is made if it is missing. None to keep them in memory only.
            endpoints: Further parts of the emulator. If several parts have a route for one path, the first
                part of the attribute `endpoints` answers.

        Raises:
            ConfigurationError: If an account is not a service account, an endpoint has no routes, the state
                cannot be used, or another setting cannot work.
        """
        folder = None if state is None else StateFolder(state)
        self.issuer = EmulatedIssuer(rotation=rotation) if issuer is None else issuer
        if identities is None:
            identities = Identities(project=DEFAULT_PROJECT if project is None else project)
        elif project is not None:
            raise ConfigurationError("identities name the project already: leave project out")
        self.identities = identities
        first, *others = identities.attached
        self.accounts = Accounts(account or first, (*others, *other_accounts), find=identities.find)
        self.access_tokens = AccessTokens(clock=self.issuer.clock)
        self.metadata = MetadataServer(
            issuer=self.issuer,
            identities=identities,
            accounts=self.accounts,
            access_tokens=self.access_tokens,
            instance=instance,
        )
        known = Known(identities, self.accounts)
        issuers = EveryIssuer(
            self.issuer,
            mint_google=AccountTokens(
                self.issuer,
                find=lambda email: known.default if email == "default" else known.find(email),
                machine_claims=lambda: self.metadata.machine_claims(licenses=False),
            ).mint,
            rotation=rotation,
            file=None if folder is None else KeyFile(folder.file("keys.json")),
        )
        self.iap, self.firebase, self.oidc = issuers.iap, issuers.firebase, issuers.oidc
        self.self_signed = issuers.self_signed
        self.services = ServicePolicies(
            clock=self.issuer.clock,
            file=None if folder is None else folder.file("policies.json"),
            account_of=self._account_of,
        )
        self.account_keys = AccountKeys(identities, clock=self.issuer.clock)
        self.self_signed.publish_also(self.account_keys.of)
        self.certs = CertsEndpoint(self.issuer, max_age=max_age)
        self.page = Page(self.issuer, known, self.services)
        # The page first: at the root it answers browsers only, and the metadata server all others.
        self.endpoints = (
            self.page,
            self.certs,
            self.metadata,
            HealthEndpoint(
                self.metadata,
                services=self.services.names,
                state=None if state is None else os.path.abspath(state),  # noqa: PTH100 - as it was given
            ),
            *self._oauth(),
            issuers,
            self.services,
            *endpoints,
        )
        for endpoint in self.endpoints:
            # A Mount or an application of Starlette's has a list of that name.
            if isinstance(endpoint, type) or not callable(getattr(endpoint, "routes", None)):
                raise ConfigurationError(
                    f"{endpoint!r} is no endpoint of an emulator: give an object with a method routes() that "
                    "returns Starlette routes"
                )

    def _oauth(self) -> tuple[Endpoint, ...]:
        """Return the parts that give tokens for credentials."""
        return (
            TokenEndpoint(
                issuer=self.issuer,
                identities=self.identities,
                keys=self.account_keys,
                access_tokens=self.access_tokens,
            ),
            KeyFiles(self.account_keys),
            TokenInfo(self.issuer, self.access_tokens),
            IamCredentials(
                issuer=self.issuer,
                identities=self.identities,
                signers=self.self_signed,
                access_tokens=self.access_tokens,
            ),
        )

    def __repr__(self) -> str:
        """Show issuer, accounts and key endpoints, which show no key and no token."""
        return f"Emulator({self.issuer!r}, {self.accounts!r}, {self.certs!r})"

    def _account_of(self, access_token: str) -> str | None:
        grant = self.access_tokens.find(access_token)
        return None if grant is None else grant.account.email

    def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> RunningEmulator:
        """Prepare to serve on a port of this machine.

        Args:
            host: A loopback address.
            port: The port; 0 takes a free one.

        Returns:
            A context manager that serves while it is open.

        Raises:
            ConfigurationError: If the address is not this machine's own, or uvicorn is missing.
        """
        return RunningEmulator(self, host=host, port=port)


def create_app(emulator: Emulator, *, answers_for: Callable[[str], bool] = no_other_host) -> Starlette:
    """Make one ASGI application of all endpoints of an emulator.

    It answers only requests whose ``Host`` is ``localhost``, a loopback address or the name of the metadata
    server, since a web page can reach a loopback port under the name of its own site (DNS rebinding).

    Args:
        emulator: The emulator; its switches and accounts may be changed while the application serves.
        answers_for: Says of any other ``Host`` whether it is answered, as `LoopbackHosts` describes it.

    Returns:
        The application, for any ASGI server, or for a test client with a base URL of ``http://localhost``.
    """
    return Starlette(
        routes=[route for endpoint in emulator.endpoints for route in endpoint.routes()],
        middleware=[Middleware(LoopbackHosts, answers_for=answers_for)],
    )


class RunningEmulator(LoopbackServer):
    """An emulator on a port of this machine.

    Attributes:
        emulator: The emulator that is served.
    """

    emulator: Final[Emulator]

    def __init__(self, emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare to serve; `Emulator.serve` is the usual way here.

        Args:
            emulator: What to serve.
            host: A loopback address.
            port: The port; 0 takes a free one.

        Raises:
            ConfigurationError: If the address is not this machine's own, or uvicorn is missing.
        """
        app = create_app(emulator, answers_for=self._answers_for)
        super().__init__(app, host=host, port=port)
        self.emulator = emulator
        self._also: Callable[[str], bool] = no_other_host

    def answer_for(self, hosts: Callable[[str], bool]) -> None:
        """Answer further hosts than this machine, as an `Intercept` asks for while it is open.

        Args:
            hosts: Says of any other ``Host`` whether it is answered.
        """
        self._also = hosts

    def _answers_for(self, host: str) -> bool:
        return self._also(host)  # as it is by then

    def stop(self) -> None:
        """Stop serving; the doors that follow a policy are answered first, since their requests stay open."""
        with self.emulator.services.followers.paused():
            super().stop()

    def environment(self) -> dict[str, str]:
        """Return the variables that make Google's clients and doorward use this emulator.

        google-auth reads its own when it is imported, so they belong into the environment of a process before
        it starts. It looks for a metadata server at the address in ``GCE_METADATA_IP``, and gets tokens from
        the one in ``GCE_METADATA_HOST``: both are needed. gcloud reads ``GCE_METADATA_ROOT``.

        Returns:
            Variables and their values, all ``HOST:PORT``.

        Raises:
            RuntimeError: If the emulator is not being served.
        """
        return environment_of(self.host)

    def key_file(self, email: str) -> dict[str, str]:
        """Make a key of a service account, for clients that are given a key file.

        Args:
            email: The address of the account.

        Returns:
            The members of the file; ``json.dumps`` makes the file of it. Its ``token_uri`` is at this
            emulator, and the key works as long as this emulator runs.

        Raises:
            ConfigurationError: If it is none of the service accounts.
            RuntimeError: If the emulator is not being served.
        """
        return self.emulator.account_keys.make_file(email, self.url)
