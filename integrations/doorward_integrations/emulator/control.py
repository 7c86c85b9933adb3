"""Requests to the emulator's own endpoints, which Google has not.

A web page cannot send the header that they need without a preflight, which is not answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request

from doorward.shown import first_quoted
from doorward.strictjson import thaw
from doorward_integrations.emulator.bodies import read_json
from doorward_integrations.emulator.google_errors import GoogleError

__all__ = ["CONTROL_HEADER", "check_control", "read_control"]

CONTROL_HEADER: Final = "X-Doorward-Emulator"
"""The header of requests to the emulator's own endpoints; its value says what is asked for."""


def check_control(request: Request, purpose: str) -> None:
    """Check that no web page has sent a request.

    Args:
        request: The request.
        purpose: The value that `CONTROL_HEADER` must have.

    Raises:
        GoogleError: PERMISSION_DENIED, if it has another one or none.
    """
    if request.headers.get(CONTROL_HEADER) != purpose:
        raise GoogleError("PERMISSION_DENIED", f"The request needs the header {CONTROL_HEADER}: {purpose}")


async def read_control(request: Request, purpose: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """Read a request to one of the emulator's own endpoints.

    Args:
        request: The request.
        purpose: The value that `CONTROL_HEADER` must have.
        fields: The type of each member that the body may have.

    Returns:
        The members of the body that have a value.

    Raises:
        GoogleError: PERMISSION_DENIED without the header, INVALID_ARGUMENT if the body is anything else.
    """
    check_control(request, purpose)
    members = {name: thaw(one) for name, one in (await read_json(request)).items()}
    if unknown := members.keys() - fields.keys():
        raise GoogleError("INVALID_ARGUMENT", f"Invalid JSON payload: unknown name {first_quoted(unknown)}")
    given = {name: one for name, one in members.items() if one is not None}
    for name, one in given.items():
        if type(one) is not fields[name]:
            raise GoogleError(
                "INVALID_ARGUMENT", f"Invalid value at {name!r}: not of type {fields[name].__name__}"
            )
    return given
