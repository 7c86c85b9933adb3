"""JSON objects with exactly one reading.

``json.loads`` is forgiving where a verifier must not be: it sniffs UTF-16 and a BOM in bytes, keeps the last
of duplicate members, and reads NaN and numbers that overflow to infinity. Two readers that disagree on such a
text are two answers to "who is calling". What is read here is UTF-8, without a BOM, without duplicate members
at any depth, with finite numbers and real Unicode (RFC 8259; RFC 7493, section 2), and it cannot be changed
afterwards.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

__all__ = ["StrictJSONError", "read_object"]


_DEEPEST = 64
"""Levels of nesting that are read. Python's own bound is another one in every version."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_BRACKET = re.compile(rb"[][{}]")


class StrictJSONError(ValueError):
    """The bytes are not one JSON object in the strict sense; the sentence says why and repeats no content."""


def _members(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        message = "a member name occurs twice"
        raise StrictJSONError(message)
    return MappingProxyType(members)


def _no_constant(_name: str) -> NoReturn:
    message = "NaN and Infinity are not JSON"
    raise StrictJSONError(message)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        message = "a number is out of range"
        raise StrictJSONError(message)
    return number


_scan = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite).decode


def _freeze(value: object) -> object:
    """Turn arrays into tuples, so that a value shared between requests cannot be changed by one of them."""
    if isinstance(value, MappingProxyType):
        return MappingProxyType({name: _freeze(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(_freeze(member) for member in value)
    return value


def _has_surrogate(value: object) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, Mapping):
        return any(_has_surrogate(name) or _has_surrogate(member) for name, member in value.items())
    return isinstance(value, list) and any(map(_has_surrogate, value))


def _depth(raw: bytes) -> int:
    """Give how deep a text nests at most, right or wrong as JSON; brackets within strings do not count."""
    deepest = depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", raw)):
        depth += 1 if bracket[0] in b"{[" else -1
        deepest = max(deepest, depth)
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
    if raw.count(b"{") + raw.count(b"[") > _DEEPEST and _depth(raw) > _DEEPEST:
        message = "nested too deeply"
        raise StrictJSONError(message)
    try:
        found = _scan(raw.decode("utf-8"))
        # Only a text with an escape can hold a lone surrogate, only one with a bracket an array.
        broken = b"\\u" in raw and _has_surrogate(found)
        if b"[" in raw:
            found = _freeze(found)
    except StrictJSONError:
        raise
    except RecursionError:
        message = "nested too deeply"
        raise StrictJSONError(message) from None
    except ValueError:  # also UnicodeDecodeError, JSONDecodeError and the limit on the digits of an integer
        message = "not UTF-8 JSON text"
        raise StrictJSONError(message) from None
    if broken:
        message = "a string holds a lone surrogate"
        raise StrictJSONError(message)
    if type(found) is not MappingProxyType:
        message = "not a JSON object"
        raise StrictJSONError(message)
    return found
