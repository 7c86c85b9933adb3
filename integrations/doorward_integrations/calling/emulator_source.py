"""ID tokens from the emulator, without google-auth; and which source is used where none was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.issuers.google import emulator_in_environment
from doorward.keys.http.metadata import read_metadata
from doorward.keys.http.reader import HttpReader
from doorward.shown import quoted
from doorward.tokens.jws import MAX_TOKEN_BYTES
from doorward_integrations.calling.google_source import GoogleAuthSource
from doorward_integrations.calling.source import IdTokenSource

__all__ = ["EmulatorSource", "default_source"]

_DEADLINE: Final = 5.0  # seconds; it is on this machine


class EmulatorSource:
    """Fetches tokens from the metadata server of an emulator on this machine.

    Attributes:
        host: Its ``HOST:PORT``.
        account: The service account whose tokens are fetched.
    """

    def __init__(self, host: str, *, account: str = "default") -> None:
        """Name the emulator; nothing is asked yet.

        Args:
            host: ``HOST:PORT`` of this machine, as the emulator prints it.
            account: The e-mail of one of its service accounts, or ``default``.

        Raises:
            ConfigurationError: If the host is not this machine.
        """
        if not is_on_this_machine(host):
            raise ConfigurationError(
                f"the emulator {quoted(host)} must be HOST:PORT of this machine, such as 127.0.0.1:8099"
            )
        self.host: Final[str] = host
        self.account: Final[str] = account
        self._reader: Final = HttpReader(deadline=_DEADLINE, limit=MAX_TOKEN_BYTES)

    def fetch(self, audience: str, /) -> str:
        """Fetch a new token; see `IdTokenSource`.

        Args:
            audience: Whom the token is made for.

        Returns:
            The token.

        Raises:
            FetchError: If there is no usable answer within the bounds on time and size.
        """
        url = (
            f"http://{self.host}/computeMetadata/v1/instance/service-accounts/{quote(self.account, safe='@')}"
            f"/identity?audience={quote(audience, safe='')}&format=full"
        )
        return read_metadata(self._reader, url)


def default_source(environ: Mapping[str, str] | None = None) -> IdTokenSource:
    """Return the emulator that ``DOORWARD_EMULATOR_HOST`` names, else google-auth.

    Args:
        environ: The environment; the process's own by default.

    Returns:
        The source.

    Raises:
        ConfigurationError: If the variable cannot be used, or google-auth is missing.
    """
    host = emulator_in_environment(environ)
    return GoogleAuthSource() if host is None else EmulatorSource(host)
