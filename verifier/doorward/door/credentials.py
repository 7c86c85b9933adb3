"""Which header of a request is the credential, and what it must look like.

Cloud Run reads ``X-Serverless-Authorization`` if it is there, and then looks at nothing else; else
``Authorization`` (https://cloud.google.com/run/docs/authenticating/service-to-service). Behind Identity-Aware
Proxy it is the proxy's own header (https://cloud.google.com/iap/docs/signed-headers-howto). Everything is
found in one pass over the headers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from doorward.errors import CredentialError, Reason

__all__ = [
    "AUTHORIZATION",
    "IAP_ASSERTION",
    "SERVERLESS_AUTHORIZATION",
    "Credential",
    "FindCredential",
    "RawHeaders",
    "find_credential",
    "find_iap_assertion",
    "why_no_token",
]

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Header names in lower case, and values, as ASGI has them."""

AUTHORIZATION: Final = b"authorization"
SERVERLESS_AUTHORIZATION: Final = b"x-serverless-authorization"
IAP_ASSERTION: Final = b"x-goog-iap-jwt-assertion"

_SCHEME: Final = b"bearer"
_ACCESS_TOKEN: Final = b"ya29."
_BLANK: Final = b" \t"
_EITHER: Final = frozenset({AUTHORIZATION, SERVERLESS_AUTHORIZATION})


Credential = tuple[int, bytes]
"""The one credential of a request: where in the headers it stands, and the token as sent."""

FindCredential = Callable[[RawHeaders], Credential | None]
"""Finds the credential of a request: `find_credential`, or `find_iap_assertion`."""


def find_credential(headers: RawHeaders) -> Credential | None:
    """Find the credential of a request.

    Args:
        headers: All headers of the request.

    Returns:
        The credential; None if the request carries none.

    Raises:
        CredentialError: If the deciding header occurs twice, or is no bearer credential. What is visibly not
            one ID token is for `why_no_token` to explain, once it was refused.
    """
    own = serverless = -1
    repeated = False
    for index, (name, _) in enumerate(headers):
        if name not in _EITHER:
            continue
        if name == AUTHORIZATION:
            repeated = repeated or (own >= 0 and serverless < 0)
            own = index
        else:
            # From the first of these on, Authorization is the application's own affair.
            repeated = serverless >= 0
            serverless = index
            if repeated:
                break
    index = serverless if serverless >= 0 else own
    if index < 0:
        return None
    if repeated:
        raise CredentialError(
            Reason.MULTIPLE_HEADERS, f"the request has more than one {headers[index][0].decode()} header"
        )
    return index, _token(headers[index][1])


def find_iap_assertion(headers: RawHeaders) -> Credential | None:
    """Find the assertion that Identity-Aware Proxy has added to a request; no other header is looked at.

    Args:
        headers: All headers of the request.

    Returns:
        The credential; None if the request did not come through the proxy.

    Raises:
        CredentialError: If the header occurs twice, is empty, or holds a scheme.
    """
    found = [index for index, (name, _) in enumerate(headers) if name == IAP_ASSERTION]
    if not found:
        return None
    if len(found) > 1:
        raise CredentialError(
            Reason.MULTIPLE_HEADERS, f"the request has more than one {IAP_ASSERTION.decode()} header"
        )
    token = headers[found[0]][1].strip(_BLANK)
    if not token:
        raise _empty()
    if token[: len(_SCHEME)].lower() == _SCHEME and token[len(_SCHEME) :][:1] in (b"", b" ", b"\t"):
        raise CredentialError(
            Reason.UNSUPPORTED_SCHEME, f"{IAP_ASSERTION.decode()} holds the bare token, without 'Bearer'"
        )
    return found[0], token


def _token(value: bytes) -> bytes:
    """Take the token out of a header value, the scheme in any case (RFC 9110, section 11.1)."""
    if value[:7] != b"Bearer " and value[:7].lower() != b"bearer ":
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


def _empty() -> CredentialError:
    return CredentialError(Reason.EMPTY_CREDENTIAL, "the header is there, and holds no token")


def why_no_token(token: bytes) -> CredentialError | None:
    """Explain a refused token that is visibly not one token, or of another kind.

    No verifier accepts such a one, so nobody has to look for it beforehand.

    Args:
        token: What `find_credential` gave.

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
