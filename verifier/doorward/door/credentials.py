"""Which header of a request is the credential, what it must look like, and which headers have to be watched.

Cloud Run reads ``X-Serverless-Authorization`` if it is there, and then looks at nothing else; else
``Authorization`` (https://cloud.google.com/run/docs/authenticating/service-to-service). Behind Identity-Aware
Proxy it is the proxy's own header (https://cloud.google.com/iap/docs/signed-headers-howto).

A header that decides is one entry of `find_credential` or `find_iap_assertion`, or of another
`CredentialHeaders`. What is forwarded, and which requests are simple enough for the cached way, follows from
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from doorward.errors import CredentialError, Reason

__all__ = [
    "AUTHORIZATION",
    "IAP_ASSERTION",
    "PLATFORM_ASSERTIONS",
    "SERVERLESS_AUTHORIZATION",
    "Credential",
    "CredentialHeaders",
    "FindCredential",
    "RawHeaders",
    "explain_no_token",
    "find_credential",
    "find_iap_assertion",
    "names_with_scheme",
]

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Header names in lower case, and values, as ASGI has them."""

AUTHORIZATION: Final = b"authorization"
SERVERLESS_AUTHORIZATION: Final = b"x-serverless-authorization"
IAP_ASSERTION: Final = b"x-goog-iap-jwt-assertion"

PLATFORM_ASSERTIONS: Final = frozenset({b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id"})
"""What only Identity-Aware Proxy in front may say (https://cloud.google.com/iap/docs/identity-howto), without
a signature. From any other sender it is an assertion that was never checked."""

_SCHEME: Final = b"bearer"
_ACCESS_TOKEN: Final = b"ya29."
_BLANK: Final = b" \t"


Credential = tuple[int, bytes]
"""The one credential of a request: its position in the headers, and the token as sent."""

FindCredential = Callable[[RawHeaders], Credential | None]
"""Finds the credential of a request: `find_credential`, `find_iap_assertion`, or one of your own."""


class CredentialHeaders:
    """The headers that may carry the credential, in their order of precedence; a `FindCredential`.

    Attributes:
        names: The names in lower case; the first one that a request has decides, and the others are then the
            application's own.
        scheme: Whether the value is ``Bearer TOKEN``; else it is the bare token.
    """

    __slots__ = ("_none", "_ranks", "names", "scheme")

    def __init__(self, *names: bytes, scheme: bool = True) -> None:
        """Name the headers.

        Args:
            *names: Their names in lower case, the deciding one first.
            scheme: Whether the value begins with ``Bearer``.
        """
        self.names: Final[tuple[bytes, ...]] = names
        self.scheme: Final[bool] = scheme
        self._ranks: Final = {name: rank for rank, name in enumerate(names)}
        self._none: Final = len(names)

    def __call__(self, headers: RawHeaders) -> Credential | None:
        """Find the credential of a request, in one pass over its headers.

        Args:
            headers: All headers of the request.

        Returns:
            The credential; None if the request carries none.

        Raises:
            CredentialError: If the deciding header occurs twice, or its value has not the expected form. What
                is visibly not one ID token is for `explain_no_token`, once it was refused.
        """
        ranks = self._ranks
        index, best, repeated = -1, self._none, False
        for position, (name, _) in enumerate(headers):
            if name in ranks:
                rank = ranks[name]
                if rank < best:
                    index, best, repeated = position, rank, False
                elif rank == best:
                    repeated = True
        if index < 0:
            return None
        name, value = headers[index]
        if repeated:
            raise CredentialError(
                Reason.MULTIPLE_HEADERS, f"the request has more than one {name.decode()} header"
            )
        if not self.scheme:
            return index, _bare(name, value)
        if value[:7] == b"Bearer " and (token := value[7:].strip(_BLANK)):
            return index, token
        return index, _after_scheme(value)


find_credential: Final = CredentialHeaders(SERVERLESS_AUTHORIZATION, AUTHORIZATION)
"""Finds the credential as Cloud Run does; the default of a `Door`."""

find_iap_assertion: Final = CredentialHeaders(IAP_ASSERTION, scheme=False)
"""Finds the assertion that Identity-Aware Proxy has added to a request; no other header is looked at."""


def names_with_scheme(find: FindCredential) -> tuple[bytes, ...]:
    """Return the headers whose value is ``Bearer TOKEN`` for a way of finding the credential.

    Args:
        find: Finds the credential of a request.
    """
    return find.names if isinstance(find, CredentialHeaders) and find.scheme else ()


def _after_scheme(value: bytes) -> bytes:
    """Read the token after the scheme, which is in any case (RFC 9110, section 11.1)."""
    if value[:7].lower() != b"bearer ":
        value = value.strip(_BLANK)
        scheme, _, _ = value.partition(b" ")
        if value and scheme.lower() != _SCHEME:
            raise CredentialError(
                Reason.UNSUPPORTED_SCHEME, "the credential is not of the form 'Bearer ID_TOKEN'"
            )
    token = value[7:].strip(_BLANK)
    if not token:
        raise _empty()
    return token


def _bare(name: bytes, value: bytes) -> bytes:
    token = value.strip(_BLANK)
    if not token:
        raise _empty()
    if token[: len(_SCHEME)].lower() == _SCHEME and token[len(_SCHEME) :][:1] in (b"", b" ", b"\t"):
        raise CredentialError(
            Reason.UNSUPPORTED_SCHEME, f"{name.decode()} holds the bare token, without 'Bearer'"
        )
    return token


def _empty() -> CredentialError:
    return CredentialError(Reason.EMPTY_CREDENTIAL, "the header is there, and holds no token")


def explain_no_token(token: bytes) -> CredentialError | None:
    """Explain a refused token that is visibly not one token, or of another kind.

    No verifier accepts such a one, so that it need not be looked for beforehand.

    Args:
        token: What a `FindCredential` returned.

    Returns:
        What is wrong; None if it looks like one ID token.
    """
    # A token holds neither; servers join repeated headers with a comma (RFC 9110, section 5.3).
    if b" " in token or b"," in token or b"\t" in token:
        return CredentialError(Reason.MULTIPLE_CREDENTIALS, "the header holds more than one credential")
    if token.startswith(_ACCESS_TOKEN):
        return CredentialError(
            Reason.ACCESS_TOKEN,
            "the credential is an OAuth access token; an ID token is needed "
            "(gcloud auth print-identity-token, or google.oauth2.id_token.fetch_id_token)",
        )
    return None
