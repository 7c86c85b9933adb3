"""Asking a key endpoint: one narrow interface, and the implementation over httpx.

What comes back is believed as little as a token: 200 or 304 only, no redirect followed, https only (http to
this very machine excepted), so many bytes and not one more, and all of it within one deadline.
"""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError, FetchError
from doorward.keys.freshness import http_date

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["Fetch", "FetchResponse", "HttpxFetch", "check_key_url"]

SIZE_LIMIT: Final = 256 * 1024
DEADLINE: Final = 10.0
_OK: Final = 200
_NOT_MODIFIED: Final = 304


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """A usable answer of a key endpoint.

    Attributes:
        body: The decoded body; None where the endpoint said that nothing changed (304).
        headers: The headers, names in lower case.
    """

    body: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)


class Fetch(Protocol):
    """Whatever can ask a key endpoint; called from a thread of the cache's own, one call at a time."""

    def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        """Ask once.

        Args:
            url: The key endpoint.
            headers: Request headers to send besides the implementation's own.

        Returns:
            The answer to a 200, or to a 304 where the headers made the request conditional.

        Raises:
            FetchError: For everything else that can happen.
        """
        ...


def check_key_url(url: str) -> str:
    """Refuse a key URL that could be tampered with on its way.

    Args:
        url: An absolute URL.

    Returns:
        The same URL.

    Raises:
        ConfigurationError: If it is neither ``https`` nor ``http`` to a loopback address, is not absolute, or
            carries a user, a password, a fragment, a space or a control character.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.username is not None:  # not repeated: what stands there is a secret
        raise ConfigurationError("the key URL carries a user or a password; write https://HOST/PATH")
    # urlsplit drops some of what is not printable: it would judge another URL than the one that is asked.
    if not host or parts.fragment or " " in url or not url.isprintable():
        raise ConfigurationError(f"key URL {url!r} is not a plain absolute URL; write https://HOST/PATH")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return url
    raise ConfigurationError(
        f"key URL {url!r} must start with https://; "
        "http:// is for an emulator on this machine (127.0.0.1, localhost)"
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host can only be this machine (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3).

    Args:
        host: As in a URL, without brackets or port.

    Returns:
        True for ``localhost`` and loopback addresses.
    """
    if host == "localhost":
        return True
    import ipaddress  # noqa: PLC0415 - asked of an emulator's address, not of Google's

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110, section 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    date = http_date(text)
    return None if date is None else max(0.0, date - time.time())


class _Watch:
    """Follows one request: which stage it is in, which socket it uses, and when its time is up."""

    def __init__(self, deadline: float) -> None:
        self.stage = "connect"
        self.expired = False
        self._stream: Any = None
        self._timer = threading.Timer(deadline, self._expire)
        self._timer.daemon = True
        self._timer.name = "doorward-deadline"

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Listen to httpx's trace extension."""
        if event.endswith("start_tls.started"):
            self.stage = "tls"
        elif event.endswith(("send_request_headers.started", "send_request_body.started")):
            self.stage = "send"
        elif event.endswith(("receive_response_headers.started", "receive_response_body.started")):
            self.stage = "read"
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info["return_value"]
            if self.expired:
                self._expire()

    def _expire(self) -> None:
        """End whatever the request waits for: a read timeout starts anew with every byte that drips in."""
        import socket  # noqa: PLC0415 - loaded by httpx anyway by now

        self.expired = True
        sock = self._stream.get_extra_info("socket") if self._stream is not None else None
        if isinstance(sock, socket.socket):
            # Not the method of SSLSocket, which would have the rest of the answer read without its TLS.
            with contextlib.suppress(OSError):  # it was gone already, which is what was wanted
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class HttpxFetch:
    """Asks over httpx, which is imported when the first request is made.

    A connection is not kept: hours pass between two requests. The TLS context is, since making one costs as
    much as all the rest.
    """

    def __init__(
        self,
        *,
        deadline: float = DEADLINE,
        limit: int = SIZE_LIMIT,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        """Set the bounds.

        Args:
            deadline: Seconds for the whole request. A name look-up cannot be cut short, and each address may
                take as long to connect to: whoever waits has a bound of their own in the key cache.
            limit: Bytes of body, counted as they arrive and again as they are decompressed.
            transport: Makes an httpx transport for each request; httpx's own by default.

        Raises:
            ConfigurationError: If a bound is not positive, or the deadline longer than a timer can run.
        """
        if not 0 < deadline <= threading.TIMEOUT_MAX or limit <= 0:
            raise ConfigurationError(
                "deadline (seconds) and limit (bytes) of a fetch must be positive and finite"
            )
        self._deadline = deadline
        self._limit = limit
        self._transport = transport
        self._context: ssl.SSLContext | None = None

    def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        """Ask once; see `Fetch`."""
        import httpx  # noqa: PLC0415 - as slow to import as all of doorward; nobody pays before the first fetch

        check_key_url(url)
        secure = urlsplit(url).scheme == "https"  # as check_key_url reads it: a scheme may come in capitals
        if secure and self._context is None:
            self._context = httpx.create_ssl_context()
        client = httpx.Client(
            transport=self._transport() if self._transport else None,
            verify=self._context if secure and self._context else False,
            timeout=self._deadline,
            follow_redirects=False,
            trust_env=secure,  # a proxy from the environment is for the world outside, not for this machine
        )
        watch = _Watch(self._deadline)
        sent = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "doorward", **headers}
        try:
            with (
                watch,
                client,
                client.stream("GET", url, headers=sent, extensions={"trace": watch.trace}) as response,
            ):
                answer = self._read(
                    response, conditional="if-none-match" in sent or "if-modified-since" in sent
                )
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if watch.expired or isinstance(error, httpx.TimeoutException):
                raise FetchError(
                    "deadline", f"no whole answer in {self._deadline:g} s, at {watch.stage}"
                ) from error
            raise FetchError(_stage(error, watch.stage), f"{type(error).__name__}: {error}") from error
        if watch.expired:
            # The end of a connection that was cut here looks like the end of an answer without a length.
            raise FetchError("deadline", f"no whole answer in {self._deadline:g} s, at {watch.stage}")
        return answer

    def _read(self, response: httpx.Response, *, conditional: bool) -> FetchResponse:
        headers = dict(response.headers.items())
        if response.status_code == _NOT_MODIFIED and conditional:
            return FetchResponse(None, headers)
        if response.status_code != _OK:
            raise FetchError(
                "status", f"answered with {response.status_code}, not 200", _retry_after(headers)
            )
        decode = _decoder(headers.get("content-encoding", "identity").strip().lower(), self._limit)
        body = bytearray()
        received = 0
        # The stream itself, not `iter_raw`: a transport that answers from memory has that used up already.
        for chunk in cast("httpx.SyncByteStream", response.stream):
            received += len(chunk)
            body += decode(chunk, self._limit + 1 - len(body))
            if received > self._limit or len(body) > self._limit:
                raise FetchError("size", f"the answer is over {self._limit} bytes")
        return FetchResponse(bytes(body), headers)


def _decoder(encoding: str, limit: int) -> Callable[[bytes, int], bytes]:
    """Undo a content coding piece by piece, each result bounded: httpx's own would inflate a bomb first."""
    if encoding == "identity":
        return lambda chunk, _room: chunk
    if encoding not in ("gzip", "x-gzip"):
        raise FetchError("content", f"content coding {encoding[:16]!r}, where gzip or none was asked for")
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


def _stage(error: BaseException, stage: str) -> str:
    """Tell a failed look-up from a refused connection by what is under httpx's wrapping."""
    import socket  # noqa: PLC0415 - loaded by httpx anyway by now

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "dns"
        cause = cause.__cause__ or cause.__context__
    return stage
