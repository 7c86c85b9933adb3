"""What the application behind the door gets to see.

As behind Cloud Run, the checked token arrives with its signature replaced: its claims can be read, and it can
be presented nowhere else. The other credential header, if there is one, is passed untouched.
"""

from __future__ import annotations

from typing import Final

from doorward.door.credentials import AUTHORIZATION, IAP_ASSERTION, SERVERLESS_AUTHORIZATION, RawHeaders
from doorward.tokens.jws import REMOVED_SIGNATURE

__all__ = ["WATCHED", "forward_admitted", "forward_anonymous", "without_signature"]

_DOT: Final = b"."

# Said by Identity-Aware Proxy in front of a service (https://cloud.google.com/iap/docs/identity-howto),
# without a signature. From anybody else they are an assertion that nobody has checked.
_UNVERIFIED: Final = frozenset({b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id"})


WATCHED: Final = frozenset({AUTHORIZATION, SERVERLESS_AUTHORIZATION, *_UNVERIFIED})
"""The headers that decide, or must not pass: a request with one of them only, its credential, is easy."""

# Where an application would look for what a platform in front has checked.
_CHECKED: Final = frozenset({AUTHORIZATION, IAP_ASSERTION})


def forward_admitted(headers: RawHeaders, index: int) -> list[tuple[bytes, bytes]]:
    """Give the headers for the application, after a credential was checked.

    Args:
        headers: The headers of the request.
        index: Where the checked credential stands.

    Returns:
        A new list.
    """
    forwarded = without_signature(headers, index)
    for name, _ in headers:
        if name in _UNVERIFIED:
            return [pair for pair in forwarded if pair[0] not in _UNVERIFIED]
    return forwarded


def without_signature(headers: RawHeaders, index: int) -> list[tuple[bytes, bytes]]:
    """Do as `forward_admitted` does, for headers that hold nothing else that must not pass.

    Args:
        headers: The headers of the request.
        index: Where the checked credential stands.

    Returns:
        A new list.
    """
    name, value = headers[index]
    forwarded = list(headers)
    forwarded[index] = (name, value[: value.rindex(_DOT) + 1] + REMOVED_SIGNATURE)
    return forwarded


def forward_anonymous(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Give the headers for the application, where everybody is admitted and nothing was verified.

    ``Authorization`` stays, since public services check tokens of their own in it, unless it looks as if the
    check had been made. What only a platform in front may say goes: an ``X-Serverless-Authorization`` that
    nobody checked would look exactly like one that somebody did.

    Args:
        headers: The headers of the request.

    Returns:
        A new list.
    """
    return [
        (name, value)
        for name, value in headers
        if name not in _UNVERIFIED
        and name != SERVERLESS_AUTHORIZATION
        and not (name in _CHECKED and REMOVED_SIGNATURE in value)
    ]
