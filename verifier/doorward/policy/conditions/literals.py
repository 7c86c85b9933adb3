"""The literals of conditions: how they are written for the library, and which of them are valid.

The library reads more than IAM documents, and refuses some literals only when it evaluates them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.conditions.library import program
from doorward.policy.conditions.syntax import Node
from doorward.shown import quoted

__all__ = ["CONVERSIONS", "check_pattern", "check_zone", "converted", "is_valid", "literal"]

CONVERSIONS: Final[Mapping[str, re.Pattern[str]]] = {
    "timestamp": re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
    ),
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "duration": re.compile(r"[-+0-9.a-z]+", re.ASCII),
}
"""The functions that make a time or a span of time of a text, with the form of the text."""

_MIDNIGHT: Final = "T00:00:00Z"
_OFFSET: Final = re.compile(r"[+-]?(?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)
_ZONE_NAME: Final = re.compile(r"[A-Za-z][\w+-]*(?:/[\w+-]+)*", re.ASCII)
_LOCAL_ZONES: Final = frozenset({"localtime", "posixrules"})
_ESCAPED: Final = re.compile(r'[^ -~]|["\\]')


def literal(value: str | int | bool) -> str:  # noqa: FBT001 - literals are of these types
    """Return how a value is written in an expression.

    Args:
        value: The value.
    """
    if isinstance(value, str):
        return '"' + _ESCAPED.sub(lambda found: f"\\U{ord(found[0]):08x}", value) + '"'
    return str(value).lower()


def converted(function: str, text: str) -> str:
    """Return how a conversion is written for the library, which has no ``date``.

    Args:
        function: One of `CONVERSIONS`.
        text: The expression of its argument.
    """
    return f"timestamp({text} + {literal(_MIDNIGHT)})" if function == "date" else f"{function}({text})"


def is_valid(function: str, text: str) -> bool:
    """Return whether a conversion takes a text.

    Args:
        function: One of `CONVERSIONS`.
        text: The text.
    """
    written = converted(function, literal(text))
    return CONVERSIONS[function].fullmatch(text) is not None and _is_true(f"{written} == {written}")


def check_pattern(pattern: Node) -> None:
    """Check the pattern of a ``matches``, which the library does not before it evaluates it.

    Args:
        pattern: The argument.

    Raises:
        PolicyError: If it is not one literal string, or not a regular expression of RE2.
    """
    text: Any = getattr(pattern, "value", None)
    if not isinstance(text, str):
        raise PolicyError("matches: the pattern must be one literal string")
    if not _is_true(f'"".matches({literal(text)}) in [true, false]'):
        raise PolicyError(f"matches: {quoted(text)} is not a regular expression of RE2")


def check_zone(function: str, arguments: tuple[Node, ...]) -> None:
    """Check the time zone of a function of time.

    Args:
        function: The name of the function.
        arguments: Its arguments; none for UTC.

    Raises:
        PolicyError: If it is not one literal string, or not a time zone that the system knows.
    """
    if not arguments:
        return
    zone: Any = getattr(arguments[0], "value", None)
    if len(arguments) != 1 or not isinstance(zone, str):
        raise PolicyError(f"{function}: the time zone must be one literal string")
    if _OFFSET.fullmatch(zone) or (_ZONE_NAME.fullmatch(zone) and _is_system_zone(zone)):
        return
    raise PolicyError(
        f"{function}: the system does not know the time zone {quoted(zone)}: write it like 'Europe/Berlin' "
        "or '+01:00', and install the time zone database of the system (on Debian: the package tzdata)"
    )


def _is_system_zone(zone: str) -> bool:
    """Return whether the time zone database of the system has a zone, other than that of the machine."""
    midnight = f"timestamp({literal('1970-01-01' + _MIDNIGHT)})"
    return zone.lower() not in _LOCAL_ZONES and _is_true(f"{midnight}.getHours({literal(zone)}) >= 0")


def _is_true(expression: str) -> bool:
    """Return whether an expression without variables is true."""
    return program(expression).eval(data={}).value() is True
