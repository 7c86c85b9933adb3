"""What the application behind the door receives.

As behind Cloud Run, the verified token arrives with its signature replaced: its claims can be read, and it
cannot be presented anywhere else. The application's own credential headers are passed on, except where a
value looks as if its check had been made, or a name could be folded into one that this door guards.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from doorward.door.credentials import (
    AUTHORIZATION,
    IAP_ASSERTION,
    PLATFORM_ASSERTIONS,
    SERVERLESS_AUTHORIZATION,
    CredentialHeaders,
    FindCredential,
    RawHeaders,
)
from doorward.door.subprotocol import SUBPROTOCOL, SubprotocolHeaders, without_offers
from doorward.tokens.jws import REMOVED_SIGNATURE

__all__ = ["Forwarding", "forwarding_for", "without_signature"]

_DOT: Final = b"."
_CREDENTIALS: Final = frozenset({AUTHORIZATION, SERVERLESS_AUTHORIZATION, IAP_ASSERTION})


class Forwarding:
    """The headers that an admitted request hands on, for one way of finding the credential.

    Attributes:
        watched: The names of all headers that decide, or must not pass unseen, with '-' and with '_': a
            request that has only one of them, its credential, is forwarded by `without_signature`.
    """

    __slots__ = ("_credentials", "_twins", "watched")

    def __init__(self, find: FindCredential, also: Iterable[bytes] = ()) -> None:
        """Derive the headers to look at from those that decide.

        Args:
            find: Finds the credential of a request.
            also: Headers of further credentials, such as that of an end user.
        """
        own = find.names if isinstance(find, CredentialHeaders) else ()
        self._credentials: Final = _CREDENTIALS.union(own, also)
        guarded = self._credentials | PLATFORM_ASSERTIONS
        # WSGI servers and bridges read '_' as '-': the twin of a guarded name becomes that name behind them.
        self._twins: Final = frozenset(_variants(guarded)) - guarded
        self.watched: Final = guarded | self._twins

    def admitted(self, headers: RawHeaders, index: int) -> list[tuple[bytes, bytes]]:
        """Return the headers for the application, after a credential was checked.

        Args:
            headers: The headers of the request.
            index: The position of the checked credential.

        Returns:
            A new list.
        """
        watched, seen = self.watched, 0
        for name, _ in headers:
            if name in watched:
                seen += 1
        forwarded = without_signature(headers, index)
        if seen == 1 and headers[index][0] in watched:
            return forwarded  # nothing but the credential itself has to be looked at
        return [pair for position, pair in enumerate(forwarded) if position == index or self._may_pass(*pair)]

    def anonymous(self, headers: RawHeaders) -> list[tuple[bytes, bytes]]:
        """Return the headers for the application, where a request is admitted and nothing was verified.

        ``Authorization`` stays, since public services check tokens of their own in it, unless it looks as if
        the check had been made. What only a platform in front may say is removed: an
        ``X-Serverless-Authorization`` that was not checked would look exactly like one that was.

        Args:
            headers: The headers of the request.

        Returns:
            A new list.
        """
        return [
            (name, value)
            for name, value in headers
            if name not in self.watched or (name != SERVERLESS_AUTHORIZATION and self._may_pass(name, value))
        ]

    def without_credentials(self, headers: RawHeaders) -> list[tuple[bytes, bytes]]:
        """Return the headers of a request that is refused, for code that may see it all the same.

        Args:
            headers: The headers of the request.

        Returns:
            A new list, without any header that decides or must not pass unseen.
        """
        return [pair for pair in headers if pair[0] not in self.watched]

    def _may_pass(self, name: bytes, value: bytes) -> bool:
        """Return whether a header that was not checked may reach the application."""
        if name in PLATFORM_ASSERTIONS or name in self._twins:
            return False
        return name not in self._credentials or REMOVED_SIGNATURE not in value


class _SubprotocolForwarding(Forwarding):
    """The same where the credential may be in a subprotocol; no other door has to look for that."""

    __slots__ = ()

    def admitted(self, headers: RawHeaders, index: int) -> list[tuple[bytes, bytes]]:
        offered = headers[index][0] == SUBPROTOCOL
        forwarded = headers if offered else without_signature(headers, index)
        return without_offers(
            [pair for position, pair in enumerate(forwarded) if position == index or self._may_pass(*pair)]
        )

    def anonymous(self, headers: RawHeaders) -> list[tuple[bytes, bytes]]:
        return without_offers(super().anonymous(headers))


def forwarding_for(find: FindCredential, also: Iterable[bytes] = ()) -> Forwarding:
    """Return what hands on the headers of admitted requests.

    Args:
        find: As for `Forwarding`.
        also: As for `Forwarding`.
    """
    if isinstance(find, SubprotocolHeaders):
        return _SubprotocolForwarding(find, [*also, SUBPROTOCOL])
    return Forwarding(find, also)


def _variants(names: Iterable[bytes]) -> Iterable[bytes]:
    """Give each name with every choice of '-' and '_' between its words."""
    for name in names:
        words = name.split(b"-")
        for marks in itertools.product((b"-", b"_"), repeat=len(words) - 1):
            yield b"".join(itertools.chain.from_iterable(zip(words, (*marks, b""), strict=True)))


def without_signature(headers: RawHeaders, index: int) -> list[tuple[bytes, bytes]]:
    """Return the headers with the signature of the checked credential replaced, and all others as they are.

    Args:
        headers: The headers of the request; no other one is in `Forwarding.watched`.
        index: The position of the checked credential.

    Returns:
        A new list.
    """
    name, value = headers[index]
    forwarded = list(headers)
    forwarded[index] = (name, value[: value.rindex(_DOT) + 1] + REMOVED_SIGNATURE)
    return forwarded
