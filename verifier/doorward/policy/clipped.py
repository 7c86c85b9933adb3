"""Values of a policy as errors, log lines and explanations show them: of a long one, only its beginning.

A policy file may hold a member of a million characters. What shows a value of a policy shows it by one of
these two functions, so that no line grows with its input, and no line break in a value begins a new line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["LONGEST", "clip", "first_shown", "shown"]

LONGEST: Final = 200
"""The longest part of a value that is shown, in characters."""

_WORD_BITS: Final = 64


def clip(text: str) -> str:
    """Return a text as it is shown in a sentence.

    Args:
        text: The text.

    Returns:
        The text, or its beginning and its length; with escapes for what is not printable.
    """
    beginning = text[:LONGEST]
    if beginning.isprintable():
        return text if len(text) <= LONGEST else f"{beginning}… ({len(text)} characters)"
    escaped = repr(beginning)[1:-1]
    if len(text) <= LONGEST and len(escaped) <= LONGEST:
        return escaped
    return f"{escaped[:LONGEST]}… ({len(text)} characters)"


def shown(value: object) -> str:
    """Return a value as it is shown in a sentence.

    Args:
        value: Any value that a policy document may hold.

    Returns:
        A text in quotes, or its beginning and its length; a number, True, False or None as Python writes it;
        of any other value its type.
    """
    if isinstance(value, str):
        quoted = repr(value[:LONGEST])
        if len(value) <= LONGEST and len(quoted) <= LONGEST + 2:
            return quoted
        return f"{quoted[:LONGEST]}… ({len(value)} characters)"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        # Python refuses to write out a number of more than some thousand digits.
        return repr(value) if value.bit_length() <= _WORD_BITS else "a number of more than 64 bits"
    return f"a value of type {type(value).__name__}"


def first_shown(values: Iterable[object]) -> str:
    """Return one of several values as it is shown: always the same one, whatever their order.

    Args:
        values: At least one value.
    """
    return min(map(shown, values))
