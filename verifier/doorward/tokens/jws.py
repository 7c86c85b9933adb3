"""Strict parsing of one compact JWS; nothing here is believed.

Its bytes have exactly one spelling that is accepted (RFC 7515, sections 2 and 7.1): ASCII, three segments,
base64url without padding, without stray characters and without loose bits in the last one. That is what makes
"the same bytes" and "the same token" one thing, on which the memory of verified tokens rests.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from doorward.base64url import Base64Error, decode
from doorward.errors import MalformedTokenError, Reason, SignatureError, clip
from doorward.strictjson import StrictJSONError, read_brief, read_members

__all__ = [
    "BRIEF",
    "MAX_TOKEN_BYTES",
    "REMOVED_SIGNATURE",
    "Header",
    "Parts",
    "decode_payload",
    "decode_signature",
    "doubtful",
    "peek",
    "read_claims",
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

_MAX_HEADER_SEGMENT: Final = 1024  # Google's have about 110
_HEADER_VALUES: Final = 10
_PLAIN_VALUES: Final = 256
# What is read for a stranger is little beside a signature, and less where there is one to check besides.
BRIEF: Final = 1024
"""Characters of a payload up to which it is looked at before its signature; Google's have fewer."""
_PEEK_CHARACTERS: Final = 2048
_PEEK_VALUES: Final = 24
_ESCAPE: Final = ord("\\")  # as a number: it is found in a tenth of the time of the same as bytes
_MAX_SIGNATURE_SEGMENT: Final = 1366  # of an RSA key of 8192 bits, the longest that is accepted
_MAX_KID: Final = 256

# Each of them would let the token choose how it is checked: extensions and encodings (RFC 7515, section
# 4.1.11; RFC 7797; RFC 7516, section 4.1.3) or the key itself (RFC 7515, sections 4.1.2, 4.1.3, 4.1.5 and
# 4.1.6).
_REFUSED_PARAMETERS: Final = frozenset({"crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"})


class Header(NamedTuple):
    """What a JOSE header claims; it decides nothing."""

    alg: str
    kid: str


Parts = tuple[bytes, bytes, bytes, bytes]
"""What `split` gives: the signing input, and the three segments, still encoded."""


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


def split(token: bytes) -> Parts:
    """Cut a token into its three segments.

    Args:
        token: The compact form, bounded in size.

    Returns:
        What is signed, which is the two first segments with their dot (RFC 7515, section 5.2), and the three
        segments, none of them empty.

    Raises:
        MalformedTokenError: If it has not exactly three segments.
    """
    signing_input, _, signature = token.rpartition(b".")
    header, _, payload = signing_input.partition(b".")
    if not header or not payload or not signature or payload.find(b".") >= 0:
        raise _malformed("a compact JWS has exactly three segments, and none of them is empty")
    return signing_input, header, payload, signature


def refuse_removed_signature(signature: bytes) -> None:
    """Say so if Google has replaced the signature: it decodes like any other, and only would not hold.

    Args:
        signature: The third segment.

    Raises:
        SignatureError: With reason ``signature_removed``.
    """
    if signature == REMOVED_SIGNATURE:
        raise SignatureError(
            Reason.SIGNATURE_REMOVED,
            "Google has replaced the signature, as Cloud Run does once it has checked a token: there is "
            "nothing to verify. Another check stands in front, or the token was taken from behind one",
        )


def decode_signature(segment: bytes) -> bytes:
    """Decode a signature, if it is not longer than any that could hold.

    Args:
        segment: The third segment.

    Returns:
        The signature.

    Raises:
        MalformedTokenError: If it is not canonical base64url.
        SignatureError: If it is too long.
    """
    if len(segment) > _MAX_SIGNATURE_SEGMENT:
        raise SignatureError(Reason.BAD_SIGNATURE, "the signature is longer than that of any accepted key")
    try:
        return decode(segment)
    except Base64Error as error:
        raise _malformed(f"the signature is {error}") from None


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
    try:
        header = read_brief(decode(segment), _HEADER_VALUES)
    except (StrictJSONError, Base64Error) as error:
        raise _unreadable("header", error) from None
    if header is None:
        raise _malformed("the header holds too many parameters")
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


def read_payload(segment: bytes) -> dict[str, object]:
    """Read a payload.

    Args:
        segment: The second segment.

    Returns:
        The claims. Whether they may be believed is for whoever has checked the signature.

    Raises:
        MalformedTokenError: If it is not a strict JSON object.
    """
    return read_claims(decode_payload(segment))


def decode_payload(segment: bytes) -> bytes:
    """Decode a payload; see `read_claims`.

    Args:
        segment: The second segment.

    Returns:
        The JSON text, which may be anything yet.

    Raises:
        MalformedTokenError: If it is not canonical base64url.
    """
    try:
        return decode(segment)
    except Base64Error as error:
        raise _unreadable("payload", error) from None


def read_claims(raw: bytes) -> dict[str, object]:
    """Read a payload that was decoded before.

    Args:
        raw: What `decode_payload` gave.

    Returns:
        As `read_payload`.

    Raises:
        MalformedTokenError: As `read_payload`.
    """
    try:
        # The same object whichever way it is read; the brief way is the quicker one where it leads anywhere.
        found = read_brief(raw, _PLAIN_VALUES)
        return read_members(raw) if found is None else found
    except StrictJSONError as error:
        raise _unreadable("payload", error) from None


def peek(segment: bytes, longest: int = _PEEK_CHARACTERS) -> dict[str, object] | None:
    """Read a payload whose signature was not checked, if that is little work: it may be a stranger's.

    Args:
        segment: The second segment.
        longest: Characters up to which it is read.

    Returns:
        The unverified claims; None, and nothing was read, if the payload is long, made of many pieces, or
        spelled with escapes.

    Raises:
        MalformedTokenError: If it is not a strict JSON object.
    """
    if len(segment) > longest:
        return None
    raw = decode_payload(segment)
    if _ESCAPE in raw:
        return None
    try:
        return read_brief(raw, _PEEK_VALUES)
    except StrictJSONError as error:
        raise _unreadable("payload", error) from None


def doubtful(raw: bytes, deadline: float, audiences: tuple[bytes, ...]) -> dict[str, object] | None:
    """Look for an expiry that is past, or a missing audience, so that such a token costs no signature.

    Args:
        raw: What `decode_payload` gave.
        deadline: Tokens that expire by then are expired, in seconds since the epoch.
        audiences: The accepted audiences, in the quotes of JSON and without escapes; none, to leave them out
            of account.

    Returns:
        The unverified claims of a token that may well be expired or for somebody else; None for all others,
        which is nearly all.
    """
    if _ESCAPE in raw:
        return None  # costs more to read, and an audience need not stand there as it is
    at = raw.find(b'"exp":')
    try:
        # Ten digits: a time from 2001 on. Where it is something else, the claim rules say what.
        if at >= 0 and int(raw[at + 6 : at + 17].lstrip(b" ")[:10]) <= deadline:
            return read_brief(raw, _PEEK_VALUES)
        for audience in audiences:
            if raw.find(audience) >= 0:
                return None
        return read_brief(raw, _PEEK_VALUES) if audiences else None
    except ValueError:  # also StrictJSONError: only who signed it is told what is wrong with it
        return None


def _unreadable(what: str, error: StrictJSONError | Base64Error) -> MalformedTokenError:
    if isinstance(error, Base64Error):
        return _malformed(f"the {what} is {error}")
    return _malformed(f"the {what} is not strict JSON: {error}")
