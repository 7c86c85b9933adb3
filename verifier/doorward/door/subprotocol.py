"""The credential of a browser's WebSocket: a page cannot set headers, and can offer subprotocols.

The page offers the token as one of them, beside the name alone, and beside its own::

    new WebSocket(url, ["doorward.bearer", "doorward.bearer." + idToken])

``Sec-WebSocket-Protocol`` (RFC 6455, section 11.3.4) then carries it: its characters may stand in a
subprotocol. The offer with the token never reaches the application, which could otherwise choose it, and
would send it back. A browser ends a connection for which no offer is chosen, so the page offers the name
alone, too: it is chosen where the application chooses none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from doorward.door.credentials import (
    AUTHORIZATION,
    SERVERLESS_AUTHORIZATION,
    Credential,
    CredentialHeaders,
    RawHeaders,
)
from doorward.errors import CredentialError, Reason

__all__ = [
    "BEARER_PROTOCOL",
    "SUBPROTOCOL",
    "SubprotocolHeaders",
    "find_in_subprotocol",
    "without_offers",
    "without_token",
]

SUBPROTOCOL: Final = b"sec-websocket-protocol"
BEARER_PROTOCOL: Final = "doorward.bearer"
"""The subprotocol that is chosen where the application chooses none; with a point and a token after it, the
offer that carries the credential."""

_PREFIX: Final = f"{BEARER_PROTOCOL}."
_OFFER: Final = _PREFIX.encode()


class SubprotocolHeaders(CredentialHeaders):
    """Finds the credential in a subprotocol that is offered, else in the headers that it was made with.

    The subprotocol decides where both are there: a browser adds an ``Authorization`` by itself only from what
    a person once typed, while the page has chosen what it offers.
    """

    __slots__ = ()

    def __call__(self, headers: RawHeaders) -> Credential | None:
        """Find the credential of a request.

        Args:
            headers: All headers of the request.

        Returns:
            The credential; None if the request carries none.

        Raises:
            CredentialError: If more than one token is offered, or as `CredentialHeaders`.
        """
        offered = [
            (position, offer)
            for position, (name, value) in enumerate(headers)
            if name == SUBPROTOCOL
            for offer in _offers(value)
            if offer.startswith(_OFFER)
        ]
        if not offered:
            return super().__call__(headers)
        if len(offered) > 1:
            raise CredentialError(Reason.MULTIPLE_CREDENTIALS, "more than one subprotocol holds a credential")
        position, offer = offered[0]
        if not (token := offer.removeprefix(_OFFER)):
            raise CredentialError(Reason.EMPTY_CREDENTIAL, "the subprotocol is there, and holds no token")
        return position, token


find_in_subprotocol: Final = SubprotocolHeaders(SERVERLESS_AUTHORIZATION, AUTHORIZATION)
"""Finds the credential in a subprotocol, else as Cloud Run does; for `Door(credential=...)`."""


def _offers(value: bytes) -> Iterable[bytes]:
    return filter(None, (offer.strip(b" \t") for offer in value.split(b",")))


def without_offers(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Return headers without any offer that holds a token; a header with no other offer is left out.

    Args:
        headers: Headers.

    Returns:
        A new list.
    """
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name != SUBPROTOCOL or _OFFER not in value:
            kept.append((name, value))
        elif left := b", ".join(offer for offer in _offers(value) if not offer.startswith(_OFFER)):
            kept.append((name, left))
    return kept


def without_token(subprotocols: Iterable[str]) -> list[str]:
    """Return the subprotocols that an application may see and choose.

    Args:
        subprotocols: Those that the client offers.

    Returns:
        All but those that hold a token.
    """
    return [offer for offer in subprotocols if not offer.startswith(_PREFIX)]
