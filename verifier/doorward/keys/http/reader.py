"""One GET over httpx within bounds: so many seconds for all of it, so many bytes, no redirect, no cookie.

Keys are fetched through `doorward.keys.fetch.HttpxFetch`, and the
metadata server is asked through `doorward.audiences.service_detection`; both read by these bounds.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NoReturn, cast

from doorward.errors import ConfigurationError, FetchError
from doorward.keys.http.client import ClientSettings
from doorward.keys.http.freshness import http_date
from doorward.keys.http.watch import RequestWatch
from doorward.shown import token_safe

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["HeadCheck", "HttpReader", "require_ok"]

_OK: Final = 200

HeadCheck = Callable[[int, Mapping[str, str]], bool]
"""Decides on an answer by its status and its headers (names in lower case), before its body is read: returns
whether the body is read, and raises `FetchError` for an answer that is of no use."""


def require_ok(status: int, headers: Mapping[str, str]) -> None:
    """Refuse every status but 200.

    Args:
        status: The status of an answer.
        headers: Its headers, names in lower case.

    Raises:
        FetchError: With stage ``status``, and the seconds of Retry-After if the answer has it.
    """
    if status != _OK:
        raise FetchError("status", f"answered with {status}, not 200", _retry_after(headers))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, which is seconds or a date (RFC 9110, section 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    date = http_date(text)
    return None if date is None else max(0.0, date - time.time())


class HttpReader:
    """Reads answers to GET requests. httpx is imported when the first request is made.

    The client of each request is made by `doorward.keys.http.client`.
    """

    def __init__(
        self,
        *,
        deadline: float,
        limit: int,
        transport: Callable[[], httpx.BaseTransport] | None = None,
        proxy: str | None = None,
        verify: str | os.PathLike[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Set the bounds.

        Args:
            deadline: Seconds for the whole request. A name look-up cannot be cut short.
            limit: Bytes of body, counted as they arrive and again as they are decompressed.
            transport: See `HttpxFetch`, as for the next three.
            proxy: As above.
            verify: As above.
            ssl_context: As above.

        Raises:
            ConfigurationError: If a bound is not positive, the deadline is longer than a timer can run, or
                another setting cannot work.
        """
        if not 0 < deadline <= threading.TIMEOUT_MAX or limit <= 0:
            raise ConfigurationError(
                "deadline (seconds) and limit (bytes) of a fetch must be positive and finite"
            )
        self._deadline: Final = deadline
        self._limit: Final = limit
        self._settings: Final = ClientSettings(
            transport=transport, proxy=proxy, verify=verify, ssl_context=ssl_context
        )

    def get(
        self, url: str, headers: Mapping[str, str], check_head: HeadCheck
    ) -> tuple[bytes | None, Mapping[str, str]]:
        """Send one request, and read its answer.

        Args:
            url: An absolute URL that the caller has checked.
            headers: Request headers; ``accept-encoding`` and ``user-agent`` are added.
            check_head: Decides on the answer before its body is read.

        Returns:
            The decoded body, None if `check_head` did not want it; and the headers, names in lower case.

        Raises:
            FetchError: If there was no whole answer within the bounds, or `check_head` refused it.
        """
        sent = {"accept-encoding": "gzip", "user-agent": "doorward", **headers}
        httpx, client, transport = self._settings.client(url, self._deadline)
        watch = RequestWatch(self._deadline)
        try:
            with watch, client:
                request = client.build_request("GET", url, headers=sent, extensions={"trace": watch.trace})
                # Not `client.send`: it logs the URL, whose query may hold an API key.
                with contextlib.closing(transport.handle_request(request)) as response:
                    found = dict(response.headers.items())
                    body = self._body(response, found) if check_head(response.status_code, found) else None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if watch.stage == "connect" and isinstance(error, httpx.ConnectTimeout):
                raise FetchError("connect", f"no connection in {self._deadline:g} s") from error
            if watch.expired or isinstance(error, httpx.TimeoutException):
                self._raise_late(watch, error)
            raise FetchError(watch.stage_of(error), f"{type(error).__name__}: {error}") from error
        if watch.expired:
            # The end of a connection that was shut down here looks like the end of an answer without a
            # length.
            self._raise_late(watch)
        return body, found

    def _raise_late(self, watch: RequestWatch, cause: BaseException | None = None) -> NoReturn:
        raise FetchError("deadline", f"no whole answer in {self._deadline:g} s, at {watch.stage}") from cause

    def _body(self, response: httpx.Response, headers: Mapping[str, str]) -> bytes:
        """Read a body, counting its bytes twice: as they arrive, and as they are decompressed."""
        decode = _decoder(headers.get("content-encoding", "identity").strip().lower(), self._limit)
        body = bytearray()
        received = 0
        # The stream itself, not `iter_raw`: a transport that answers from memory has used that up already.
        for chunk in cast("httpx.SyncByteStream", response.stream):
            received += len(chunk)
            body += decode(chunk, self._limit + 1 - len(body))
            if received > self._limit or len(body) > self._limit:
                raise FetchError("size", f"the answer is over {self._limit} bytes")
        return bytes(body)


def _decoder(encoding: str, limit: int) -> Callable[[bytes, int], bytes]:
    """Undo a content coding piece by piece, each result bounded: httpx's own would inflate a bomb first."""
    if encoding == "identity":
        return lambda chunk, _room: chunk
    if encoding not in ("gzip", "x-gzip"):
        raise FetchError(
            "content", f"content coding {token_safe(encoding)}, where gzip or none was asked for"
        )
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def inflate(chunk: bytes, room: int) -> bytes:
        try:
            piece = inflater.decompress(chunk, room)
        except zlib.error as error:
            raise FetchError("content", "the gzip coding is damaged") from error
        if inflater.unconsumed_tail:
            raise FetchError("size", f"the answer is over {limit} bytes when decompressed")
        return piece

    return inflate
