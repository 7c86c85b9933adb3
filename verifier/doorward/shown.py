"""Values as errors, log lines and explanations show them: in one line, and of a long one only its beginning.

A caller may send a path of a million characters, and a policy file may hold a member of as many. What repeats
a value shows it by one of these functions, so that no line grows with its input, and no value begins a line
of its own or steers a terminal. In all of them what is not printable is escaped as ``repr`` escapes it.

What may hold a part of a token goes through `token_safe`: the others repeat more than may be repeated of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["LONGEST", "first_quoted", "quoted", "shortened", "shown", "token_safe"]

LONGEST: Final = 200
"""The longest part of a value that a sentence shows, in characters."""

_TOKEN_SAFE: Final = 16
_PLAIN_INTEGER: Final = 10**15
_WORD_BITS: Final = 64


def shown(text: str, longest: int) -> str:
    """Clip a text: the one place where that is done.

    Args:
        text: The text.
        longest: Characters to give at most, escapes included.

    Returns:
        The text without quotes, with an ellipsis behind it where something was left out.
    """
    kept = text[:longest]
    if not kept.isprintable():
        kept = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in kept)
    return kept if len(kept) <= longest and len(text) <= longest else f"{kept[:longest]}…"


def shortened(text: str) -> str:
    """Return a text of a policy or a setting as a sentence shows it.

    Args:
        text: The text; no part of a token.

    Returns:
        The text without quotes, or its beginning and its length.
    """
    beginning = shown(text, LONGEST)
    return beginning if len(beginning) <= LONGEST else f"{beginning} ({len(text)} characters)"


def quoted(value: object) -> str:
    """Return a value of a policy or a setting as a sentence shows it.

    Args:
        value: Any value that a document may hold; no part of a token.

    Returns:
        A text in quotes, or its beginning and its length; a number, True, False or None as Python writes it;
        of any other value its type.
    """
    if isinstance(value, str):
        quote = repr(value[:LONGEST])
        whole = len(value) <= LONGEST and len(quote) <= LONGEST + 2
        return quote if whole else f"{shown(quote, LONGEST)} ({len(value)} characters)"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        # Python refuses to write out a number of more than some thousand digits.
        return repr(value) if value.bit_length() <= _WORD_BITS else "a number of more than 64 bits"
    return f"a value of type {type(value).__name__}"


def first_quoted(values: Iterable[object]) -> str:
    """Return one of several values as `quoted` shows it: always the same one, whatever their order.

    Args:
        values: At least one value.
    """
    return min(map(quoted, values))


def token_safe(value: object) -> str:
    """Quote something a caller sent, short enough that no error repeats a usable part of a token.

    Args:
        value: Anything. Of what is nested, or a number of any length, only the type is named.

    Returns:
        At most 16 characters of it in quotes, with an ellipsis where some were left out.
    """
    plain = isinstance(value, str | float | bool | None) or (
        isinstance(value, int) and abs(value) < _PLAIN_INTEGER
    )
    whole = str(value) if plain else type(value).__name__
    return repr(whole) if len(whole) <= _TOKEN_SAFE else f"{whole[:_TOKEN_SAFE]!r}…"
