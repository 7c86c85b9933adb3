"""The encodings of policy files: UTF-8, and what Windows makes of what gcloud prints.

Notepad saves UTF-8 with a byte order mark, and PowerShell 5 redirects into UTF-16 with one. The mark decides;
without one the text is UTF-8.
"""

from __future__ import annotations

import codecs
from typing import Final

from doorward.errors import PolicyError

__all__ = ["LARGEST", "decode_text"]

LARGEST: Final = 1024 * 1024
"""The largest text of a policy, in bytes."""

_MARK: Final = "\ufeff"
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(text: str | bytes) -> str:
    """Return the text of a policy, without its byte order mark.

    Args:
        text: The text; bytes are UTF-8, or UTF-16 with a byte order mark.

    Returns:
        The text.

    Raises:
        PolicyError: If it is in another encoding, or larger than 1 MiB.
    """
    if not isinstance(text, str | bytes | bytearray):
        raise PolicyError(f"not the text of a policy, but a value of type {type(text).__name__}")
    if len(text) > LARGEST:
        raise PolicyError(f"not a policy: it is larger than {LARGEST} bytes")
    plain = _check_characters(text) if isinstance(text, str) else _decode(text)
    plain = plain.removeprefix(_MARK)
    if plain.startswith(_MARK):
        raise PolicyError("not a policy: it begins with two byte order marks")
    if not plain.strip():
        raise PolicyError("not a policy: it is empty")
    return plain


def _check_characters(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise PolicyError("not a policy: it holds half of a surrogate pair") from None
    if size > LARGEST:
        raise PolicyError(f"not a policy: it is larger than {LARGEST} bytes")
    return text


def _decode(raw: bytes) -> str:
    # The mark of UTF-16 is also the beginning of that of UTF-32.
    if raw.startswith(_UTF32):
        raise PolicyError("not a policy: it is encoded as UTF-32: save it as UTF-8")
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        plain = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise PolicyError(
            f"not a policy: byte {error.start + 1} is not {encoding.upper()}: save it as UTF-8"
        ) from None
    if "\0" in plain[:2]:
        raise PolicyError("not a policy: it looks like UTF-16 without a byte order mark: save it as UTF-8")
    return plain
