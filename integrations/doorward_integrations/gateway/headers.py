"""Which headers go from the client to the upstream, and which come back.

What ends at the gateway is removed (RFC 9110, section 7.6.1), and what only a platform in front may say is
never believed from a client. A name is compared with ``_`` read as ``-``, as WSGI and CGI fold it: only the
form with ``-`` of an ordinary header is passed on, where both would be one header behind the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from doorward.door.trace import TRACE_HEADERS
from doorward_integrations.gateway.trace import Span

__all__ = ["FRAMING", "HOP_BY_HOP", "connection_names", "for_client", "for_upstream"]

FORWARDED_FOR: Final = b"x-forwarded-for"
FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"host"})
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Besides X-Forwarded-*: what proxies say of the client, what makes frameworks route by another path than that
# of the request line, and Proxy, which CGI takes for the variable HTTP_PROXY.
_OF_PLATFORM: Final = frozenset(
    {
        b"forwarded",
        b"proxy",
        b"x-original-host",
        b"x-original-uri",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
        *TRACE_HEADERS,
    }
)
_FORWARDED: Final = b"x-forwarded-"
# The gateway answers `Expect: 100-continue` itself, once the upstream takes the body.
_NOT_SENT: Final = HOP_BY_HOP | _OF_PLATFORM | {b"expect"}
_FOLDED: Final = _NOT_SENT | FRAMING | {FORWARDED_FOR}
_HANDSHAKE: Final = frozenset(
    {
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    }
)


def connection_names(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Return the names that the Connection headers list.

    Args:
        headers: Headers, names in lower case.

    Returns:
        The names in lower case.
    """
    listed = [value for name, value in headers if name == b"connection"]
    if not listed:
        return frozenset()
    return frozenset(one.strip(b" \t").lower() for value in listed for one in value.split(b","))


def for_upstream(
    headers: list[tuple[bytes, bytes]],
    client: str,
    scheme: str,
    span: Span,
    *,
    websocket: bool = False,
) -> list[tuple[str, str]]:
    """Return the headers that the upstream receives, in their order, with those that Cloud Run adds.

    Args:
        headers: The headers of the admission, names in lower case; all values are UTF-8.
        client: The address of the client; it is added to ``X-Forwarded-For``, where the addresses before it
            are what the client says.
        scheme: For ``X-Forwarded-Proto``.
        span: Its place in a trace.
        websocket: Whether those of the handshake are left out, which each connection has of its own.

    Returns:
        The headers.
    """
    named = connection_names(headers)
    kept: list[tuple[str, str]] = []
    hops: list[str] = []
    for name, value in headers:
        if name == FORWARDED_FOR:
            hops.append(value.decode())
        elif not (_ends_here(name) or name in named or (websocket and name in _HANDSHAKE)):
            kept.append((name.decode("ascii"), value.decode()))
    kept.append(("x-forwarded-for", ", ".join([*filter(None, hops), client])))
    kept.append(("x-forwarded-proto", scheme))
    kept.extend(span.headers)
    return kept


def _ends_here(name: bytes) -> bool:
    if name in _NOT_SENT or name.startswith(_FORWARDED):
        return True
    if b"_" not in name:
        return False
    folded = name.replace(b"_", b"-")
    return folded in _FOLDED or folded.startswith((_FORWARDED, b"sec-websocket-"))


def for_client(
    headers: Iterable[tuple[bytes, bytes]], *, handshake: bool = False
) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that the client receives, in their order.

    Args:
        headers: The headers that the upstream has sent.
        handshake: Whether it is the answer to the handshake of a websocket.

    Returns:
        The headers, names in lower case.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    gone = HOP_BY_HOP | connection_names(lowered)
    if handshake:
        gone |= _HANDSHAKE
    # The length beside a Transfer-Encoding is not the length (RFC 9112, section 6.3).
    if any(name == b"transfer-encoding" for name, _ in lowered):
        gone |= {b"content-length"}
    return [(name, value) for name, value in lowered if name not in gone]
