"""JSON objects with exactly one reading.

``json.loads`` accepts what a verifier must not accept: it detects UTF-16 and a BOM in bytes, keeps the last
of duplicate members, and reads NaN and numbers that overflow to infinity. Two programs that read such a text
in two ways disagree about who is calling. What is read here is UTF-8, without a BOM, without duplicate
members at any depth, with finite numbers and without lone surrogates (RFC 8259; RFC 7493, section 2), and
cannot be changed afterwards.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

__all__ = ["StrictJSONError", "freeze", "read_brief", "read_members", "read_object", "thaw"]


_DEEPEST = 64
"""Levels of nesting that are read at most. The bound of Python differs from version to version."""
# Python takes time in the square of its digits for an integer: of a longer text, no more digits in a row are
# read.
_SHORT = 1024
_BLOCK = 256
_LONG_NUMBER = re.compile(r"(?<![0-9])[0-9]{513}")
_BLANK = " \t\n\r"
_OPENING = frozenset({b"{", b"["})
_CLOSING = frozenset({b"}", b"]"})
_NOT_JSON = "not UTF-8 JSON text"
_TOO_DEEP = "nested too deeply"
_OUT_OF_RANGE = "a number is out of range"
# A string, also one without an end: each byte is looked at once, whatever comes before it.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{}]', re.DOTALL)


class StrictJSONError(ValueError):
    """The bytes are not one JSON object in the strict sense; the message says why, and repeats no content."""


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJSONError("a member name occurs twice")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise StrictJSONError("NaN and Infinity are not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise StrictJSONError(_OUT_OF_RANGE)
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite)
_decode = _decoder.decode
# The typing stubs leave out the method that JSONDecoder.raw_decode calls.
_scan: Callable[[str, int], tuple[object, int]] = _decoder.scan_once  # type: ignore[attr-defined]
# It keeps the last of members with the same name: it is for texts that cannot have any.
_plain_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_scan_plain: Callable[[str, int], tuple[object, int]] = _plain_decoder.scan_once  # type: ignore[attr-defined]


def freeze(value: object) -> object:
    """Make objects and arrays read-only: requests share them, and none may change them for the others.

    Args:
        value: Plain dictionaries, lists and values.

    Returns:
        The same with mappings that cannot be changed, and tuples.
    """
    if isinstance(value, dict):
        return MappingProxyType({name: freeze(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(map(freeze, value))
    return value


def thaw(value: object) -> object:
    """Copy a value as plain dictionaries and lists, as `json.dumps` takes it.

    Args:
        value: What `freeze` returned, or plain values.

    Returns:
        A copy that its holder may change.
    """
    if isinstance(value, Mapping):
        return {str(name): thaw(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(member) for member in value]
    return value


def _has_surrogate(value: object) -> bool:
    if isinstance(value, str):
        try:
            value.encode()  # refuses them, and is much faster than a look at each character
        except UnicodeEncodeError:
            return True
        return False
    if isinstance(value, dict):
        return any(_has_surrogate(name) or _has_surrogate(member) for name, member in value.items())
    return isinstance(value, list) and any(map(_has_surrogate, value))


def _has_long_number(text: str) -> bool:
    """Return whether more than 512 digits stand in a row."""
    # So many cover one of the blocks whole; the closer look is for a text that has such a block.
    blocks = (text[at : at + _BLOCK] for at in range(0, len(text), _BLOCK))
    return any(block.isdigit() for block in blocks) and _LONG_NUMBER.search(text) is not None


def _depth(raw: bytes) -> int:
    """Return how deep a text nests at most, whether it is JSON or not; brackets in strings do not count."""
    deepest = depth = 0
    for found in _STRING_OR_BRACKET.finditer(raw):
        if (one := found[0]) in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif one in _CLOSING:
            depth -= 1
    return deepest


def read_object(raw: bytes) -> Mapping[str, object]:
    """Read bytes that must be one JSON object.

    Args:
        raw: UTF-8 text of one JSON object; the caller has bounded its size.

    Returns:
        The members, read-only at every depth: objects are mappings, arrays are tuples.

    Raises:
        StrictJSONError: If the bytes are anything else. No other exception leaves this function.
    """
    return MappingProxyType(read_members(raw))


def read_members(raw: bytes) -> dict[str, object]:
    """Do as `read_object` does, but return the outermost object as a dictionary that the caller may change.

    Args:
        raw: As for `read_object`.

    Returns:
        The members; what is nested in them is read-only.

    Raises:
        StrictJSONError: As `read_object`.
    """
    try:
        return _read(raw, str(raw, "utf-8"))
    except UnicodeDecodeError:
        raise StrictJSONError(_NOT_JSON) from None


def read_brief(raw: bytes, most: int) -> dict[str, object] | None:
    """Do as `read_members` does, unless that is much work: for a text that is not verified.

    Args:
        raw: As for `read_object`.
        most: How many values are read at most.

    Returns:
        The members; None if there may be more values than that, in which case nothing was read.

    Raises:
        StrictJSONError: As `read_object`.
    """
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        raise StrictJSONError(_NOT_JSON) from None
    if len(text) > _SHORT and _has_long_number(text):
        raise StrictJSONError(_OUT_OF_RANGE)
    # A lone surrogate needs an escape by number; one character is found in a tenth of the time of two.
    if "[" in text or ("\\" in text and "\\u" in text) or text.find("{", 1) >= 0:
        # Each value but the first follows a comma, or is the first in an object or array.
        brief = text.count(",") + text.count("{") + text.count("[") <= most
        return _read(raw, text) if brief else None
    commas = text.count(",")
    if commas >= most:
        return None
    try:
        found, end = _scan_plain(text, 0)
    except (ValueError, StopIteration):
        return _read(raw, text)  # raises, and says what is wrong
    # With nothing nested, there is a comma before every member but the first. If there are no more commas,
    # then no member was dropped for another of the same name. A comma in a string leads to the full reading
    # below.
    if type(found) is dict and end == len(text) and len(found) == commas + 1:
        return found
    return _read(raw, text)


def _read(raw: bytes, text: str) -> dict[str, object]:
    if len(text) > _SHORT and _has_long_number(text):
        raise StrictJSONError(_OUT_OF_RANGE)
    nested = "[" in text or text.find("{", 1) >= 0
    if nested and text.count("{") + text.count("[") > _DEEPEST and _depth(raw) > _DEEPEST:
        raise StrictJSONError(_TOO_DEEP)
    try:
        if text[:1] == "{":
            # JSONDecoder.decode would look for blanks at both ends as well, with a regular expression each.
            found, end = _scan(text, 0)
            if end != len(text) and text[end:].strip(_BLANK):
                raise StrictJSONError(_NOT_JSON)  # noqa: TRY301 - one error for every text that is not JSON
        else:
            found = _decode(text)
        broken = "\\" in text and "\\u" in text and _has_surrogate(found)
    except StrictJSONError:
        raise
    except RecursionError:
        raise StrictJSONError(_TOO_DEEP) from None
    except (ValueError, StopIteration):  # also JSONDecodeError and the limit on the digits of an integer
        raise StrictJSONError(_NOT_JSON) from None
    if broken:
        raise StrictJSONError("a string holds a lone surrogate")
    if type(found) is not dict:
        raise StrictJSONError("not a JSON object")
    return {name: freeze(member) for name, member in found.items()} if nested else found
