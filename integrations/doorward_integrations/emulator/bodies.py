"""The bodies of requests, bounded and read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from doorward.strictjson import StrictJSONError, read_object
from doorward_integrations.emulator.google_errors import GoogleError, OAuthError

__all__ = ["read_form", "read_json"]

_LARGEST: Final = 64 * 1024
_MOST_PARAMETERS: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"


class _TooLargeError(Exception):
    """The body is larger than any that could be right."""


async def _read(request: Request, largest: int = _LARGEST) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise _TooLargeError
    return bytes(body)


async def read_form(request: Request) -> dict[str, str]:
    """Read the form that a token endpoint is sent (RFC 6749, section 3.2).

    Args:
        request: The request; its body is at most 64 KiB.

    Returns:
        The parameters. One without a value is as one that was left out.

    Raises:
        OAuthError: ``invalid_request``, if it is no form, or a parameter is there twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise OAuthError("invalid_request", f"The request must be of type {_FORM}")
    try:
        text = (await _read(request)).decode("ascii")
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=bool(text),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except _TooLargeError:
        raise OAuthError("invalid_request", f"The request is larger than {_LARGEST} bytes") from None
    except ValueError:  # also one of a codec, whose message would repeat a part of the body
        raise OAuthError("invalid_request", "The request is no form") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is there twice")
    return {name: value for name, value in parameters.items() if value}


async def read_json(request: Request, *, largest: int = _LARGEST) -> Mapping[str, object]:
    """Read the JSON object that a method of Google's APIs is sent.

    Args:
        request: The request.
        largest: Bytes that its body may have, 64 KiB by default.

    Returns:
        The members, read-only; arrays are tuples. Of an empty body, none.

    Raises:
        GoogleError: INVALID_ARGUMENT, if it is anything else.
    """
    try:
        return read_object(await _read(request, largest) or b"{}")
    except _TooLargeError:
        raise GoogleError("INVALID_ARGUMENT", f"The request is larger than {largest} bytes") from None
    except ClientDisconnect:
        raise GoogleError("INVALID_ARGUMENT", "The request was cut short") from None
    except StrictJSONError as error:
        raise GoogleError("INVALID_ARGUMENT", f"Invalid JSON payload: {error}") from None
