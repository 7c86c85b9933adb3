"""Fetching from a key endpoint: the protocol `Fetch`, and its implementation over httpx.

An answer is believed as little as a token: only 200 and 304 count, no redirect is followed, the URL is
``https`` (or ``http`` to this machine), and the size and the time of an answer are bounded.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from doorward.keys.http.client import httpx_of
from doorward.keys.http.reader import HttpReader, require_ok
from doorward.keys.http.urls import check_key_url

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["DEADLINE", "SIZE_LIMIT", "Fetch", "FetchResponse", "HttpxFetch"]

SIZE_LIMIT: Final = 256 * 1024
"""Bytes of the largest answer that is read."""
DEADLINE: Final = 10.0
"""Seconds that one fetch may take."""
_NOT_MODIFIED: Final = 304


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """A usable answer of a key endpoint.

    Attributes:
        body: The decoded body; None if the endpoint answered that nothing has changed (304).
        headers: The headers, names in lower case.
    """

    body: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)


class Fetch(Protocol):
    """Fetches from a key endpoint. A key cache calls it in a thread of its own, one call at a time.

    If it has a method ``prepare`` that takes nothing, that is called before each request, and the patience of
    a request for keys counts only from then on.
    """

    def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        """Send one request.

        Args:
            url: The key endpoint.
            headers: Request headers to send besides those of the implementation.

        Returns:
            The answer to a 200, or to a 304 if the headers made the request conditional.

        Raises:
            FetchError: If there is no such answer.
        """
        ...


class HttpxFetch:
    """Fetches over httpx, or httpx2 where that is not installed; imported when the first request is made."""

    def __init__(
        self,
        *,
        deadline: float = DEADLINE,
        limit: int = SIZE_LIMIT,
        transport: Callable[[], httpx.BaseTransport] | None = None,
        proxy: str | None = None,
        verify: str | os.PathLike[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Set the bounds.

        Args:
            deadline: Seconds for the whole request. A name look-up cannot be cut short: a key cache bounds
                how long a request waits besides. The addresses of a host are tried in turn, each for its
                share.
            limit: Bytes of body, counted as they arrive and again as they are decompressed.
            transport: Makes a transport of httpx or httpx2 for each request; httpx's own by default. It
                connects directly: where there is a proxy, a request goes through that.
            proxy: The URL of the proxy for ``https``, in place of the environment's; ``""`` for none.
            verify: A file or a folder with the certificates of the authorities to trust, in PEM form. By
                default those that ``SSL_CERT_FILE``, ``SSL_CERT_DIR``, ``REQUESTS_CA_BUNDLE`` or
                ``CURL_CA_BUNDLE`` names, the first that is set, else those of httpx.
            ssl_context: The TLS context to use instead; it must verify certificates and names.

        Raises:
            ConfigurationError: If a bound is not positive, the deadline is longer than a timer can run, or
                another setting cannot work.
        """
        self._reader: Final = HttpReader(
            deadline=deadline,
            limit=limit,
            transport=transport,
            proxy=proxy,
            verify=verify,
            ssl_context=ssl_context,
        )

    def prepare(self) -> None:
        """Import httpx, which takes seconds where many processes start at once on few processors."""
        with contextlib.suppress(Exception):  # the request will fail for it, and say why
            httpx_of(None)

    def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        """Send one request; see `Fetch`.

        Args:
            url: As for `Fetch`; see `check_key_url`.
            headers: As for `Fetch`.

        Returns:
            As `Fetch`.

        Raises:
            FetchError: As `Fetch`.
            ConfigurationError: If the URL is not acceptable.
        """
        check_key_url(url)
        sent = {"accept": "application/json", **headers}
        conditional = "if-none-match" in sent or "if-modified-since" in sent

        def check_head(status: int, found: Mapping[str, str]) -> bool:
            if status == _NOT_MODIFIED and conditional:
                return False
            require_ok(status, found)
            return True

        return FetchResponse(*self._reader.get(url, sent, check_head))
