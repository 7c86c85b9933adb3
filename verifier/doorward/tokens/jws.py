"""Strict parsing of one compact JWS; nothing here is believed.

A token has exactly one accepted encoding (RFC 7515, sections 2 and 7.1): ASCII, three segments, base64url
without padding, without other characters and without loose bits in the last one. That makes "the same bytes"
and "the same token" one thing, on which the token cache rests.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

from doorward.base64url import Base64Error, decode
from doorward.errors import MalformedTokenError, Reason, SignatureError
from doorward.shown import token_safe
from doorward.strictjson import StrictJSONError, read_brief, read_members

__all__ = [
    "BRIEF",
    "MAX_TOKEN_BYTES",
    "REMOVED_SIGNATURE",
    "Header",
    "Token",
    "read_header",
    "removed_signature",
    "split",
    "to_bytes",
]

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Bytes of a whole token, by default; Google's have under 2 KiB."""

REMOVED_SIGNATURE: Final = b"SIGNATURE_REMOVED_BY_GOOGLE"
"""What Cloud Run puts in the place of the signature once it has checked it
(https://cloud.google.com/run/docs/troubleshooting#signature-removed). It decodes as base64url, so that only a
comparison finds it."""

BRIEF: Final = 1024
"""Characters of a payload up to which it is looked at before its signature; Google's have fewer."""

_MAX_HEADER_SEGMENT: Final = 1024  # Google's have about 110
_HEADER_VALUES: Final = 10
_PLAIN_VALUES: Final = 256
# What is read without a verified signature is little work beside a signature, and less where a key is at
# hand.
_UNVERIFIED_CHARACTERS: Final = 2048
_UNVERIFIED_VALUES: Final = 24
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


class Token:
    """One compact JWS, split once; every later step reads this object. Nothing of it is believed.

    Attributes:
        digest: The SHA-256 of all its bytes; names the token without keeping it.
        header: The first segment, still encoded.
        payload: The second segment, still encoded.
        signature: The third segment, still encoded.
        signed: What is signed: the first two segments with their dot (RFC 7515, section 5.2).
        signed_digest: The SHA-256 of that, where it was computed already; else empty.
    """

    __slots__ = ("_claims", "_json", "digest", "header", "payload", "signature", "signed", "signed_digest")

    def __init__(self, token: bytes, digest: bytes, signed_digest: bytes = b"") -> None:
        """Split a token.

        Args:
            token: The compact form, bounded in size.
            digest: Its SHA-256.
            signed_digest: The SHA-256 of what is signed, where it is known already.

        Raises:
            MalformedTokenError: If it has not exactly three segments, or one of them is empty.
        """
        signed, _, signature = token.rpartition(b".")
        header, _, payload = signed.partition(b".")
        if not header or not payload or not signature or payload.find(b".") >= 0:
            raise _malformed("a compact JWS has exactly three segments, and none of them is empty")
        self.digest: bytes = digest
        self.header: bytes = header
        self.payload: bytes = payload
        self.signature: bytes = signature
        self.signed: bytes = signed
        self.signed_digest: bytes = signed_digest
        self._json: bytes | None = None
        self._claims: dict[str, object] | None = None

    def decode_signature(self) -> bytes:
        """Decode the signature, if it is not longer than any that could hold.

        Raises:
            MalformedTokenError: If it is not canonical base64url.
            SignatureError: If it is too long.
        """
        if len(self.signature) > _MAX_SIGNATURE_SEGMENT:
            raise SignatureError(
                Reason.BAD_SIGNATURE, "the signature is longer than that of any accepted key"
            )
        try:
            return decode(self.signature)
        except Base64Error as error:
            raise _malformed(f"the signature is {error}") from None

    def read_claims(self) -> dict[str, object]:
        """Read the payload; believed only after the signature has held.

        Raises:
            MalformedTokenError: If it is not a strict JSON object.
        """
        if self._claims is not None:
            return self._claims
        raw = self._decode_payload() if self._json is None else self._json
        try:
            # The same object in both ways; the brief one is the quicker one where it comes to a result.
            found = read_brief(raw, _PLAIN_VALUES)
            if found is None:
                found = read_members(raw)
        except StrictJSONError as error:
            raise _unreadable("payload", error) from None
        self._claims = found
        return found

    def read_unverified_claims(self, longest: int = _UNVERIFIED_CHARACTERS) -> dict[str, object] | None:
        """Read the payload before the signature was checked, if that is little work.

        Args:
            longest: Characters of the payload up to which it is read.

        Returns:
            The unverified claims; None, and nothing was read, if the payload is long, has many values, or
            holds escapes.

        Raises:
            MalformedTokenError: If it is not a strict JSON object.
        """
        if self._claims is None and len(self.payload) <= longest:
            raw = self._decode_payload()
            if _ESCAPE not in raw:
                try:
                    self._claims = read_brief(raw, _UNVERIFIED_VALUES)
                except StrictJSONError as error:
                    raise _unreadable("payload", error) from None
        return self._claims

    def suspect_claims(self, deadline: float, audiences: tuple[bytes, ...]) -> dict[str, object] | None:
        """Read the payload of a token that probably has expired, or is for another audience.

        Args:
            deadline: Tokens that expire by then have expired, in seconds since the epoch.
            audiences: The accepted audiences, in the quotes of JSON and without escapes; none, to look at the
                expiry alone.

        Returns:
            The unverified claims of a token that needs a closer look; None for all others, which is nearly
            all.
        """
        if self._claims is not None:
            return self._claims
        raw = self._decode_payload()
        if _ESCAPE in raw:
            return None  # costs more to read, and an audience need not stand there as it is
        at = raw.find(b'"exp":')
        try:
            # Ten digits: a time from 2001 on. Where it is something else, the claim rules say what.
            if at >= 0 and int(raw[at + 6 : at + 17].lstrip(b" ")[:10]) <= deadline:
                return read_brief(raw, _UNVERIFIED_VALUES)
            for audience in audiences:
                if raw.find(audience) >= 0:
                    return None
            return read_brief(raw, _UNVERIFIED_VALUES) if audiences else None
        except ValueError:  # also StrictJSONError: what is wrong with a payload is said once it is signed
            return None

    def _decode_payload(self) -> bytes:
        try:
            self._json = raw = decode(self.payload)
        except Base64Error as error:
            raise _unreadable("payload", error) from None
        return raw


def split(token: str | bytes) -> Token:
    """Split a token whose digest is not known yet.

    Args:
        token: The compact form, bounded in size.

    Returns:
        The token.

    Raises:
        MalformedTokenError: If it is not ASCII, or has not exactly three segments.
    """
    raw = to_bytes(token)
    return Token(raw, sha256(raw).digest())


def to_bytes(token: str | bytes) -> bytes:
    """Encode a token as ASCII bytes.

    Args:
        token: The compact form.

    Returns:
        Its bytes.

    Raises:
        MalformedTokenError: If it holds anything that is not ASCII.
        TypeError: If it is neither text nor bytes, which is the caller's mistake and not the token's.
    """
    if type(token) is bytes:
        return token
    if isinstance(token, str):
        if not token.isascii():  # asked first: the error of the codec would hold the token
            raise _malformed("the token holds characters that are not ASCII")
        return token.encode("ascii")
    raise TypeError(f"a token is str or bytes, not {type(token).__name__}")


def removed_signature() -> SignatureError:
    """Make the error about `REMOVED_SIGNATURE`, which decodes like any other signature."""
    return SignatureError(
        Reason.SIGNATURE_REMOVED,
        "Google has replaced the signature, as Cloud Run does once it has checked a token: there is "
        "nothing to verify. Another check stands in front, or the token was taken from behind one",
    )


def read_header(segment: bytes) -> Header:
    """Read a JOSE header, refusing every parameter by which a token could steer its own verification.

    Args:
        segment: The first segment.

    Returns:
        The algorithm and the key id that it names. Other parameters are ignored (RFC 7515, section 4).

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
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if kind != "JWT" and "typ" in header:
        _check_kind(kind)
    if type(alg) is not str:
        raise SignatureError(Reason.ALGORITHM_NOT_ALLOWED, "the header names no algorithm")
    if type(kid) is not str or not kid:
        raise MalformedTokenError(Reason.KID_MISSING, "the header names no key id")
    if len(kid) > _MAX_KID or not kid.isprintable():
        raise _malformed(f"the key id {token_safe(kid)} is too long or not printable")
    return Header(alg, kid)


def _check_kind(kind: object) -> None:
    """Refuse a token of another kind: at+jwt, logout+jwt, dpop+jwt, … (RFC 8725, section 3.11).

    The name is a media type, in any case, with or without ``application/`` (RFC 7515, section 4.1.9). An ID
    token is a plain JWT, if its issuer says so at all.
    """
    name = kind.lower().removeprefix("application/") if isinstance(kind, str) else ""
    if name not in {"jwt", "jose"}:
        raise MalformedTokenError(
            Reason.HEADER_NOT_ALLOWED,
            f"the header names the kind {token_safe(kind)}, and an ID token is of typ JWT",
        )


def _malformed(why: str) -> MalformedTokenError:
    return MalformedTokenError(Reason.MALFORMED, why)


def _unreadable(what: str, error: StrictJSONError | Base64Error) -> MalformedTokenError:
    if isinstance(error, Base64Error):
        return _malformed(f"the {what} is {error}")
    return _malformed(f"the {what} is not strict JSON: {error}")
