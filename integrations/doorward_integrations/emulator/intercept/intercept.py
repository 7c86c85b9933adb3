"""The proxy, its authority, and the variables that lead one process through them."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from doorward_integrations.emulator.hosts import no_other_host
from doorward_integrations.emulator.intercept.authority import Authority
from doorward_integrations.emulator.intercept.hosts import is_google_host
from doorward_integrations.emulator.intercept.proxy import InterceptingProxy

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Intercept"]

_BUNDLES: Final = (
    "REQUESTS_CA_BUNDLE",  # requests, and so google-auth
    "SSL_CERT_FILE",  # OpenSSL, httpx, Go
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",  # gcloud
    "HTTPLIB2_CA_CERTS",  # google-api-python-client
)
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_DIRECT: Final = "127.0.0.1,localhost,::1"


def _is_intercepted(host: str) -> bool:
    return is_google_host(host.removesuffix(":443"))


class _Served(Protocol):
    """What is needed of a `RunningEmulator`, which stands above this."""

    @property
    def host(self) -> str: ...

    def answer_for(self, hosts: Callable[[str], bool], /) -> None: ...


class Intercept:
    """Answers for Google's hosts to the processes that are given its `environment`, while it is open."""

    def __init__(self, running: _Served, *, clock: Callable[[], float] = time.time) -> None:
        """Prepare; nothing listens yet.

        Args:
            running: A running emulator. While this is open, it answers requests whose ``Host`` is one of
                Google's.
            clock: Returns the time in seconds since the epoch, for the day that the authority is valid.
        """
        self._authority = Authority(clock=clock)
        self._running = running
        self._proxy = InterceptingProxy(running.host, self._authority)
        self._open = contextlib.ExitStack()
        self._bundle: Path | None = None

    def __repr__(self) -> str:
        """Show the proxy."""
        return f"Intercept({self._proxy!r})"

    def __enter__(self) -> Self:
        """Start the proxy, and write the certificate of the authority to a temporary file."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="doorward-", ignore_cleanup_errors=True)
            )
            self._bundle = Path(folder, "authority.pem")
            self._bundle.write_text(self._authority.certificate, encoding="ascii")
            stack.enter_context(self._proxy)
            stack.callback(self._running.answer_for, no_other_host)
            self._running.answer_for(_is_intercepted)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the proxy, and remove the file."""
        self._open.close()
        self._bundle = None

    @property
    def bundle(self) -> Path:
        """The file with the certificate of the authority; raises RuntimeError if this is not open."""
        if self._bundle is None:
            raise RuntimeError("nothing is intercepted: use it in a with statement")
        return self._bundle

    @property
    def refused(self) -> dict[str, int]:
        """How often each other ``HOST:PORT`` was asked for, and refused."""
        return self._proxy.refused

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a process through the proxy.

        Its authority is the only one that such a process trusts, where a variable replaces the others: a
        client that goes past the proxy finds no site that it believes.

        Returns:
            Variables and their values. They replace those of the same names, also ``NO_PROXY``.

        Raises:
            RuntimeError: If this is not open.
        """
        variables = dict.fromkeys(_BUNDLES, str(self.bundle))
        for name, value in (*((proxy, self._proxy.url) for proxy in _PROXIES), ("NO_PROXY", _DIRECT)):
            # In both forms: curl reads only the lower case of some.
            variables |= {name: value, name.lower(): value}
        # Node's own fetch heeds the proxy only where it is asked to.
        return variables | {"NODE_USE_ENV_PROXY": "1"}
