"""Requests to the emulator's own endpoints, which Google has not: who may ask there.

They mint tokens and make keys, so no page of another site may ask. A browser says in ``Origin`` and
``Sec-Fetch-Site`` where a request comes from (`doorward_integrations.emulator.origins`), and lets no page add
the header `CONTROL_HEADER` without a preflight, to which the emulator gives no permission
(https://fetch.spec.whatwg.org, "CORS protocol").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from doorward.shown import first_quoted
from doorward.strictjson import thaw
from doorward_integrations.emulator.bodies import read_json
from doorward_integrations.emulator.google_errors import GoogleError
from doorward_integrations.emulator.interface import CONTROL_HEADER, CONTROL_VALUE
from doorward_integrations.emulator.origins import is_of_another_site

__all__ = ["check_control", "read_control"]


def check_control(request: Request) -> None:
    """Check that no page of another site has sent a request.

    Args:
        request: The request.

    Raises:
        GoogleError: PERMISSION_DENIED, if one has or could have.
    """
    if is_of_another_site(request.headers):
        raise GoogleError("PERMISSION_DENIED", "A page of another site has sent this request")
    if request.headers.get(CONTROL_HEADER) != CONTROL_VALUE:
        raise GoogleError(
            "PERMISSION_DENIED", f"The request needs the header {CONTROL_HEADER}: {CONTROL_VALUE}"
        )


async def read_control(request: Request, fields: Mapping[str, type]) -> dict[str, Any]:
    """Read a request to one of the emulator's own endpoints.

    Args:
        request: The request.
        fields: The type of each member that the body may have.

    Returns:
        The members of the body that have a value.

    Raises:
        GoogleError: PERMISSION_DENIED as `check_control`, INVALID_ARGUMENT if the body is anything else.
    """
    check_control(request)
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
