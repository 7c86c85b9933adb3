"""Which requests the gateway does not read in two ways: they are refused before the door sees them.

A request that two servers could read differently must not pass through either. The server in front has parsed
the request already; these are the rules that parsers leave to those who forward (RFC 9112, sections 3.2, 6.1
and 6.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from doorward.door.credentials import RawHeaders
from doorward.policy.request import host_name
from doorward_integrations.gateway.answers import Failure
from doorward_integrations.gateway.headers import FRAMING, connection_names

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["fault_of"]

_TARGET: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_QUERY: Final = re.compile(rb"[\x21\x22\x24-\x7e]*")
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9!#$%&'*+.^_`|~-]{0,31}")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Of these, one per request: else who is asked, or what is asked, depends on which of two is read.
_SINGLE: Final = frozenset({*FRAMING, b"expect", b"upgrade", b"content-type"})
_NOT_CONNECTION: Final = FRAMING - {b"transfer-encoding"} | {b"cookie", b"content-type"}
_MOST_HEADERS: Final = 256


def fault_of(scope: Scope, largest: int, guarded: frozenset[bytes]) -> Failure | None:
    """Look for what makes a request ambiguous.

    Args:
        scope: An http or websocket scope.
        largest: Bytes that target and headers may have together.
        guarded: The names of the headers that the door reads or guards.

    Returns:
        The first fault; None if there is none.
    """
    return _of_line(scope) or _of_headers(scope, largest, guarded)


def _of_line(scope: Scope) -> Failure | None:
    if scope.get("http_version", "1.1") not in ("1.0", "1.1"):
        return Failure(505, "bad_version", "Only HTTP/1.1 and HTTP/1.0 are served.")
    method = scope.get("method", "GET")
    if method in ("CONNECT", "TRACE"):
        return Failure(405, "bad_method", f"The method {method} is not served.")
    if _METHOD.fullmatch(method) is None:
        return Failure(400, "bad_method", "The method is not one in upper case.")
    if not _TARGET.fullmatch(scope.get("raw_path") or b"") or not _QUERY.fullmatch(scope["query_string"]):
        return Failure(400, "bad_target", "The target is not a path with an optional query, in plain ASCII.")
    return None


def _of_headers(scope: Scope, largest: int, guarded: frozenset[bytes]) -> Failure | None:
    headers: RawHeaders = scope["headers"]
    size = len(scope["raw_path"]) + len(scope["query_string"])
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name in _SINGLE:
            if name in found:
                return Failure(400, "doubled_header", f"There are two headers {name.decode()}.")
            found[name] = value
        if _CONTROL.search(value) or not (value.isascii() or _is_utf8(value)):
            return Failure(
                400, "bad_header", "A header has a value that is not UTF-8, or a control character."
            )
    if size > largest or len(headers) > _MOST_HEADERS:
        return Failure(431, "headers_too_large", "The headers are too large.")
    named = connection_names(headers)
    ended = not (named.isdisjoint(_NOT_CONNECTION) and named.isdisjoint(guarded))
    return _of_framing(found, scope["http_version"]) or _of_meaning(found, ended=ended)


def _of_framing(found: dict[bytes, bytes], version: str) -> Failure | None:
    length, coding = found.get(b"content-length"), found.get(b"transfer-encoding")
    if length is not None and _LENGTH.fullmatch(length) is None:
        return Failure(400, "bad_framing", "The Content-Length is not a number.")
    if coding is not None:
        if length is not None or version == "1.0":
            return Failure(400, "bad_framing", "A Transfer-Encoding is here that excludes what is beside it.")
        if coding.lower() != b"chunked":
            return Failure(501, "bad_framing", "The only Transfer-Encoding that is served is chunked.")
    return None


def _of_meaning(found: dict[bytes, bytes], *, ended: bool) -> Failure | None:
    if not host_name(found.get(b"host", b"")):
        return Failure(400, "bad_host", "There is no Host header that names a host.")
    if found.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Failure(417, "bad_expectation", "The only expectation that is met is 100-continue.")
    if ended:
        return Failure(400, "bad_connection", "Connection names a header that is not for this connection.")
    return None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
