"""What the methods of IAM Credentials are asked for: the members of their JSON bodies.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from doorward.shown import quoted
from doorward_integrations.emulator.google_errors import GoogleError

__all__ = ["HOUR", "check_names", "read_bytes", "read_flag", "read_seconds", "read_text", "read_texts"]

HOUR: Final = 3_600

_SECONDS: Final = re.compile(r"([0-9]{1,9})(?:\.[0-9]{1,9})?s")
_BOOLEANS: Final = {"true": True, "false": False}


def check_names(members: Mapping[str, object], *names: str) -> None:
    """Check that a body has no members but those that are known.

    Args:
        members: The body.
        *names: The names that are known.

    Raises:
        GoogleError: INVALID_ARGUMENT, if there is another one.
    """
    for name in members:
        if name not in names:
            raise GoogleError(
                "INVALID_ARGUMENT",
                f"Invalid JSON payload received. Unknown name {quoted(name)}: Cannot find field.",
            )


def read_text(members: Mapping[str, object], name: str) -> str:
    """Read a text that must be there.

    Args:
        members: The body.
        name: The name of the member.

    Returns:
        The text, not empty.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    value = members.get(name)
    if not isinstance(value, str) or not value:
        _refuse(name, "a text that is not empty")
    return value


def read_texts(members: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Read a list of texts.

    Args:
        members: The body.
        name: The name of the member; null is as none.

    Returns:
        The texts, none of them empty.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    value = members.get(name) or ()
    if not isinstance(value, tuple) or not all(isinstance(one, str) and one for one in value):
        _refuse(name, "a list of texts that are not empty")
    return value


def read_flag(members: Mapping[str, object], name: str) -> bool:
    """Read true or false, which google-auth sends as a text for some credentials.

    Args:
        members: The body.
        name: The name of the member; null is as false.

    Returns:
        The value.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    value = members.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    if not isinstance(value, str) or value not in _BOOLEANS:
        _refuse(name, "true or false")
    return _BOOLEANS[value]


def read_seconds(members: Mapping[str, object], name: str) -> int:
    """Read a duration, such as ``3600s``.

    Args:
        members: The body.
        name: The name of the member; null is as an hour.

    Returns:
        Whole seconds, at least 1 and at most an hour.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    value = members.get(name)
    if value is None:
        return HOUR
    found = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < int(found[1]) <= HOUR:
        # Twelve hours need a constraint of the organization, which is not emulated.
        _refuse(name, f"a duration of at most {HOUR} seconds, such as '300s'")
    return int(found[1])


def read_bytes(members: Mapping[str, object], name: str) -> bytes:
    """Read bytes, in base64 of either alphabet.

    Args:
        members: The body.
        name: The name of the member.

    Returns:
        The bytes.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    value = read_text(members, name)
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        _refuse(name, "base64")


def _refuse(name: str, what: str) -> NoReturn:
    raise GoogleError("INVALID_ARGUMENT", f"Invalid value at {name!r}: it must be {what}")
