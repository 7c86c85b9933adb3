"""base64url with exactly one encoding of any bytes (RFC 4648, sections 3.5 and 5; RFC 7515, appendix C)."""

from __future__ import annotations

import binascii
from typing import Final

__all__ = ["Base64Error", "decode"]

# '+', '/' and '=' become a character that no base64 alphabet has; '-' and '_' become what binascii takes.
_ALPHABET: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", None, b"==", b"=")
# The last character of a segment carries 4 or 2 bits that belong to no byte: they must be zero (RFC 4648,
# section 3.5).
_CANONICAL_END: Final = (None, None, frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))


class Base64Error(ValueError):
    """The text is not the one encoding of any bytes; the error does not repeat it."""


def decode(text: bytes) -> bytes:
    """Decode a text in its one accepted encoding.

    Args:
        text: base64url without padding.

    Returns:
        The bytes.

    Raises:
        Base64Error: If the text is padded, holds a character outside of the alphabet, or has bits that are
            not zero and belong to no byte at its end.
    """
    rest = len(text) & 3
    padding = _PADDING[rest]
    end = _CANONICAL_END[rest]
    if padding is None or (end is not None and text[-1] not in end):
        raise Base64Error("not canonical base64url")
    try:
        return binascii.a2b_base64(text.translate(_ALPHABET) + padding, strict_mode=True)
    except binascii.Error:
        raise Base64Error("not base64url") from None
