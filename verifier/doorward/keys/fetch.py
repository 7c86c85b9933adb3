"""Fetching from a key endpoint: the protocol `Fetch`, and its implementation over httpx.

An answer is believed as little as a token: only 200 and 304 count, no redirect is followed, the URL is
``https`` (or ``http`` to this machine), and the size and the time of an answer are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from doorward.keys.http.reader import HttpReader, require_ok
from doorward.keys.http.urls import check_key_url

if TYPE_CHECKING:
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
    """Fetches from a key endpoint. A key cache calls it in a thread of its own, one call at a time."""

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
    """Fetches over httpx, which is imported when the first request is made."""

    def __init__(
        self,
        *,
        deadline: float = DEADLINE,
        limit: int = SIZE_LIMIT,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        """Set the bounds.

        Args:
            deadline: Seconds for the whole request. A name look-up cannot be cut short, and connecting to
                each address of a host may take as long again: a key cache bounds how long a request waits
                besides.
            limit: Bytes of body, counted as they arrive and again as they are decompressed.
            transport: Makes an httpx transport for each request; httpx's own by default.

        Raises:
            ConfigurationError: If a bound is not positive, or the deadline is longer than a timer can run.
        """
        self._reader: Final = HttpReader(deadline=deadline, limit=limit, transport=transport)

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
