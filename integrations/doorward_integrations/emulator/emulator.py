"""The emulator: issuer, accounts, key endpoints and metadata server in one hand."""

from __future__ import annotations

from collections.abc import Iterable

from doorward.issuers.google import EMULATOR_VARIABLE
from doorward_integrations.emulator.accounts import DEFAULT_ACCOUNT, Accounts
from doorward_integrations.emulator.app import create_app
from doorward_integrations.emulator.certs import CertsEndpoint
from doorward_integrations.emulator.issuer import EmulatedIssuer
from doorward_integrations.emulator.metadata import Instance, MetadataServer
from doorward_integrations.emulator.server import LoopbackServer

__all__ = ["Emulator", "RunningEmulator"]


class Emulator:
    """A Google of your own: mints ID tokens, publishes the keys, and is asked as the metadata server is.

    Attributes:
        issuer: Mints tokens and rotates keys.
        accounts: The service accounts that the metadata server speaks for.
        certs: The key endpoints: taken down and brought up here, fetches counted here.
        metadata: The metadata server.
    """

    issuer: EmulatedIssuer
    accounts: Accounts
    certs: CertsEndpoint
    metadata: MetadataServer

    def __init__(
        self,
        issuer: EmulatedIssuer | None = None,
        *,
        account: str = DEFAULT_ACCOUNT,
        other_accounts: Iterable[str] = (),
        project: str = "doorward-demo",
        instance: Instance | None = None,
        max_age: int = 3_600,
    ) -> None:
        """Make an emulator; nothing listens yet.

        Args:
            issuer: Who signs, and by which clock; a new issuer on the system's clock by default.
            account: The service account that clients get tokens for unless they name another.
            other_accounts: Further service accounts that clients may name.
            project: The id of the project.
            instance: The Compute Engine machine of which ``format=full`` speaks; none by default.
            max_age: Seconds for which clients may keep the keys.

        Raises:
            ConfigurationError: If an account is not a service account, or another setting cannot work.
        """
        self.issuer = EmulatedIssuer() if issuer is None else issuer
        self.accounts = Accounts(account, other_accounts)
        self.certs = CertsEndpoint(self.issuer, max_age=max_age)
        self.metadata = MetadataServer(
            issuer=self.issuer, accounts=self.accounts, project=project, instance=instance
        )

    def __repr__(self) -> str:
        """Show the parts, which show no key and no token."""
        return f"Emulator({self.issuer!r}, {self.accounts!r}, {self.certs!r})"

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


class RunningEmulator(LoopbackServer):
    """An emulator on a port of this machine.

    Attributes:
        emulator: The emulator that is served.
    """

    emulator: Emulator

    def __init__(self, emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare to serve; `Emulator.serve` is the usual way here.

        Args:
            emulator: What to serve.
            host: A loopback address.
            port: The port; 0 takes a free one.

        Raises:
            ConfigurationError: If the address is not this machine's own, or uvicorn is missing.
        """
        super().__init__(create_app(emulator), host=host, port=port)
        self.emulator = emulator

    def environment(self) -> dict[str, str]:
        """Give the variables that lead Google's clients and doorward here.

        google-auth reads its own when it is imported, so they belong into the environment of a process before
        it starts. It takes the address to look for a metadata server at from ``GCE_METADATA_IP``, and the one
        to get tokens from from ``GCE_METADATA_HOST``: both are needed. gcloud reads ``GCE_METADATA_ROOT``.

        Returns:
            Variables and their values, all ``HOST:PORT``.

        Raises:
            RuntimeError: If the emulator is not being served.
        """
        names = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT", EMULATOR_VARIABLE)
        return dict.fromkeys(names, self.host)
