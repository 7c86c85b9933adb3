"""How a refusal is answered: as the Cloud Run front end does it, or as problem details (RFC 9457).

Only the status, the headers and the body go to the caller. The exact reason is for the operator's log: an
answer that distinguishes an expired token from a forged one helps attackers.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from doorward.errors import Reason, RefusedError, UnavailableError

__all__ = ["Refusal", "RefusalStyle", "cloud_run", "problem_details"]

_CHALLENGE: Final = b'Bearer error="invalid_token" error_description="The access token could not be verified"'
"""Without a realm and without the comma of RFC 6750, section 3, since that is what Cloud Run sends."""

_FRAME: Final = """<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>{status} {phrase}</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: {phrase}</h1>
<h2>{sentence}</h2>
<h2></h2>
</body></html>
"""

_SHORT_PATH: Final = 256
_PHRASES: Final = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}
_SENTENCES: Final = {
    401: "Your client does not have permission to the requested URL <code>{path}</code>.",
    403: "Your client does not have permission to get URL <code>{path}</code> from this server.",
    404: "The requested URL <code>{path}</code> was not found on this server.",
    503: "The service cannot check the credential for URL <code>{path}</code> now. Please try again later.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is refused.

    Attributes:
        status: 401, 403, 404 or 503.
        headers: The answer's headers, names in lower case.
        body: The answer's body.
        reason: The stable code; not for the caller.
        error: The error with its sentence; not for the caller.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    reason: Reason
    error: RefusedError


RefusalStyle = Callable[[RefusedError, str], Refusal]
"""Turns an error and the path of the request, as sent, into an answer."""


def _headers(
    status: int, content_type: bytes, body: bytes, error: RefusedError
) -> tuple[tuple[bytes, bytes], ...]:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    if status == 401:  # noqa: PLR2004 - its name would take http to import
        headers.append((b"www-authenticate", _CHALLENGE))
    if isinstance(error, UnavailableError):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    return tuple(headers)


def cloud_run(error: RefusedError, path: str) -> Refusal:
    """Answer as the Cloud Run front end, byte for byte as far as that is known.

    The 404 and the 503 are doorward's own, in the same frame.

    Args:
        error: Why.
        path: The path of the request as sent, without the query.

    Returns:
        The answer.
    """
    status = error.reason.status
    # A refused caller comes again, usually to the same path. Long paths are not kept: they could fill the
    # memory.
    body = _page(status, path) if len(path) <= _SHORT_PATH else _page.__wrapped__(status, path)
    return Refusal(
        status, _headers(status, b"text/html; charset=UTF-8", body, error), body, error.reason, error
    )


@functools.lru_cache(maxsize=128)
def _page(status: int, path: str) -> bytes:
    from html import escape  # noqa: PLC0415 - brings its table of entities along, for a refusal only

    sentence = _SENTENCES[status].format(path=escape(path))
    return _FRAME.format(status=status, phrase=_PHRASES[status], sentence=sentence).encode("utf-8", "replace")


def problem_details(error: RefusedError, path: str) -> Refusal:
    """Answer with problem details (RFC 9457), for clients that read JSON.

    Args:
        error: Why.
        path: The path of the request as sent, without the query.

    Returns:
        The answer; its ``title`` is the status's own phrase, and it says no more than the HTML does.
    """
    status = error.reason.status
    document = {"type": "about:blank", "title": _PHRASES[status], "status": status, "instance": path}
    body = json.dumps(document).encode()
    return Refusal(
        status, _headers(status, b"application/problem+json", body, error), body, error.reason, error
    )
