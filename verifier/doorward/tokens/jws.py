"""Strict parsing of one compact JWS; nothing here is believed.

Its bytes have exactly one spelling that is accepted (RFC 7515, sections 2 and 7.1): ASCII, three segments,
base64url without padding, without stray characters and without loose bits in the last one. That is what makes
"the same bytes" and "the same token" one thing, on which the memory of verified tokens rests.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple

from doorward.errors import MalformedTokenError, Reason, SignatureError, clip
from doorward.strictjson import StrictJSONError, read_object

__all__ = [
    "MAX_TOKEN_BYTES",
    "REMOVED_SIGNATURE",
    "Header",
    "Segments",
    "decode",
    "read_header",
    "read_payload",
    "refuse_removed_signature",
    "split",
    "to_bytes",
]

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Bytes of a whole token, by default; Google's have under 2 KiB."""

REMOVED_SIGNATURE: Final = b"SIGNATURE_REMOVED_BY_GOOGLE"
"""What Cloud Run puts in the place of the signature once it has checked it
(https://cloud.google.com/run/docs/troubleshooting#signature-removed). It decodes as base64url: only a
comparison tells."""

_MAX_HEADER_SEGMENT: Final = 2048
_MAX_KID: Final = 256

# '+', '/' and '=' become a character that no base64 alphabet has; '-' and '_' become what binascii wants.
_ALPHABET: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", None, b"==", b"=")
# The last character of a segment carries 4 or 2 bits that belong to no byte: they must be zero (RFC 4648,
# section 3.5).
_CANONICAL_END: Final = (None, None, frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))

# Each of them would let the token choose how it is checked: extensions and encodings (RFC 7515, section
# 4.1.11; RFC 7797; RFC 7516, section 4.1.3) or the key itself (RFC 7515, sections 4.1.2, 4.1.3, 4.1.5 and
# 4.1.6).
_REFUSED_PARAMETERS: Final = frozenset({"crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"})


class Segments(NamedTuple):
    """The three segments of a token, still encoded."""

    header: bytes
    payload: bytes
    signature: bytes


class Header(NamedTuple):
    """What a JOSE header claims; it decides nothing."""

    alg: str
    kid: str


def _malformed(why: str) -> MalformedTokenError:
    return MalformedTokenError(Reason.MALFORMED, why)


def to_bytes(token: str | bytes) -> bytes:
    """Take a token as ASCII bytes.

    Args:
        token: The compact form.

    Returns:
        Its bytes.

    Raises:
        MalformedTokenError: If it holds anything that is not ASCII.
        TypeError: If it is neither text nor bytes, which is the caller's mistake and not the token's.
    """
    if isinstance(token, str):
        if not token.isascii():  # asked first: the error of the codec would hold the token
            raise _malformed("the token holds characters that are not ASCII")
        return token.encode("ascii")
    if type(token) is bytes:
        return token
    raise TypeError(f"a token is str or bytes, not {type(token).__name__}")


def split(token: bytes) -> Segments:
    """Cut a token into its three segments.

    Args:
        token: The compact form, bounded in size.

    Returns:
        The segments, none of them empty.

    Raises:
        MalformedTokenError: If it has not exactly three segments.
    """
    segments = token.split(b".", 3)
    if len(segments) != 3:  # noqa: PLR2004 - RFC 7515, section 7.1
        raise _malformed("a compact JWS has exactly three segments")
    header, payload, signature = segments
    if not header or not payload or not signature:
        raise _malformed("a segment is empty")
    return Segments(header, payload, signature)


def refuse_removed_signature(segments: Segments) -> None:
    """Say so if Google has replaced the signature: it decodes like any other, and only would not hold.

    Args:
        segments: The segments of a token.

    Raises:
        SignatureError: With reason ``signature_removed``.
    """
    if segments.signature == REMOVED_SIGNATURE:
        raise SignatureError(
            Reason.SIGNATURE_REMOVED,
            "Google has replaced the signature, as Cloud Run does once it has checked a token: there is "
            "nothing to verify. Another check stands in front, or the token was taken from behind one",
        )


def decode(segment: bytes) -> bytes:
    """Decode one segment, if it is spelled in the one accepted way.

    Args:
        segment: base64url without padding (RFC 7515, appendix C).

    Returns:
        The bytes it stands for.

    Raises:
        MalformedTokenError: If it is padded, holds another character, or has loose bits at its end.
    """
    rest = len(segment) & 3
    padding = _PADDING[rest]
    end = _CANONICAL_END[rest]
    if padding is None or (end is not None and segment[-1] not in end):
        raise _malformed("a segment is not canonical base64url")
    try:
        return binascii.a2b_base64(segment.translate(_ALPHABET) + padding, strict_mode=True)
    except binascii.Error:
        raise _malformed("a segment is not base64url") from None


def _object(segment: bytes, what: str) -> Mapping[str, object]:
    try:
        return read_object(decode(segment))
    except StrictJSONError as error:
        raise _malformed(f"the {what} is not strict JSON: {error}") from None


def read_header(segment: bytes) -> Header:
    """Read a JOSE header, refusing every parameter by which a token could steer its own verification.

    Args:
        segment: The first segment.

    Returns:
        The algorithm and the key id it names. Other parameters are ignored (RFC 7515, section 4).

    Raises:
        MalformedTokenError: If it is not a strict JSON object, holds a refused parameter or no proper key id.
        SignatureError: If it names no algorithm.
    """
    if len(segment) > _MAX_HEADER_SEGMENT:
        raise _malformed(f"the header has over {_MAX_HEADER_SEGMENT} characters")
    header = _object(segment, "header")
    if not _REFUSED_PARAMETERS.isdisjoint(header):
        names = ", ".join(sorted(_REFUSED_PARAMETERS.intersection(header)))
        raise MalformedTokenError(
            Reason.HEADER_NOT_ALLOWED, f"the header holds {names}, which is not accepted"
        )
    alg, kid = header.get("alg"), header.get("kid")
    if type(alg) is not str:
        raise SignatureError(Reason.ALGORITHM_NOT_ALLOWED, "the header names no algorithm")
    if type(kid) is not str or not kid:
        raise MalformedTokenError(Reason.KID_MISSING, "the header names no key id")
    if len(kid) > _MAX_KID or not kid.isprintable():
        raise _malformed(f"the key id {clip(kid)} is too long or not printable")
    return Header(alg, kid)


def read_payload(segment: bytes) -> Mapping[str, object]:
    """Read a payload.

    Args:
        segment: The second segment.

    Returns:
        The claims, read-only. Whether they may be believed is for whoever has checked the signature.

    Raises:
        MalformedTokenError: If it is not a strict JSON object.
    """
    return _object(segment, "payload")
