"""How the text of a variable is read: one text, several, a number, a flag, requests that are exempt."""

from __future__ import annotations

import re
from typing import Final

from doorward import ConfigurationError

__all__ = ["exemptions", "flag", "number", "policies", "several", "text", "whole"]

_FLAGS: Final = {"true": True, "1": True, "yes": True, "on": True}
_FLAGS_OFF: Final = {"false": False, "0": False, "no": False, "off": False}
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}|inf)", re.IGNORECASE)
_EXEMPTION: Final = re.compile(r"([A-Z]+)[ \t]+(/.*)")


def text(value: str) -> str:
    """Return one text, without white space around it.

    Args:
        value: The text of the variable.

    Raises:
        ConfigurationError: If it is empty.
    """
    plain = value.strip()
    if not plain:
        # An empty list of deny policies, for want of a value in some template, would open what they close.
        raise ConfigurationError("is empty: give it a value, or remove it")
    return plain


def several(value: str) -> tuple[str, ...]:
    """Return the texts of a list, which commas separate.

    Args:
        value: The text of the variable.

    Raises:
        ConfigurationError: If it is empty, or an entry is.
    """
    parts = tuple(part.strip() for part in text(value).split(","))
    if not all(parts):
        raise ConfigurationError("has an empty entry: write A,B,C")
    return parts


def policies(value: str) -> tuple[str, ...]:
    """Return the paths of policies, or the one policy in JSON that stands there itself.

    Args:
        value: The text of the variable.

    Raises:
        ConfigurationError: As `several`.
    """
    plain = text(value)
    return (plain,) if plain[0] in "{[" else several(plain)


def flag(value: str) -> bool:
    """Return a flag.

    Args:
        value: The text of the variable.

    Raises:
        ConfigurationError: If it is neither true nor false.
    """
    found = (_FLAGS | _FLAGS_OFF).get(text(value).lower())
    if found is None:
        raise ConfigurationError("must be true or false")
    return found


def whole(value: str) -> int:
    """Return a whole number.

    Args:
        value: The text of the variable.

    Raises:
        ConfigurationError: If it is none.
    """
    plain = text(value)
    if _WHOLE.fullmatch(plain) is None:
        raise ConfigurationError("must be a whole number, such as 1024")
    return int(plain)


def number(value: str) -> float:
    """Return a number.

    Args:
        value: The text of the variable; ``inf`` for no bound.

    Raises:
        ConfigurationError: If it is none.
    """
    plain = text(value)
    if _NUMBER.fullmatch(plain) is None:
        raise ConfigurationError("must be a number, such as 30 or 0.5")
    return float(plain)


def exemptions(value: str) -> tuple[tuple[str, str], ...]:
    """Return pairs of method and path.

    Args:
        value: The text of the variable: ``GET /healthz,OPTIONS /{path:path}``.

    Raises:
        ConfigurationError: If an entry is no such pair.
    """
    found = [_EXEMPTION.fullmatch(one) for one in several(value)]
    if not all(found):
        raise ConfigurationError("must be a list of METHOD /path: GET /healthz,GET /metrics")
    return tuple((match[1], match[2]) for match in found if match is not None)
