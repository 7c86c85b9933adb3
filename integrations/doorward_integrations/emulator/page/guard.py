"""The door of the emulator's own interface: which requests are read, and the headers of every answer.

It answers only what the emulator's own page has asked, or a program
(`doorward_integrations.emulator.control`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from doorward.errors import ConfigurationError
from doorward.strictjson import thaw
from doorward_integrations.emulator.bodies import read_json
from doorward_integrations.emulator.control import check_control
from doorward_integrations.emulator.google_errors import GoogleError, google_error

__all__ = ["SECURITY_HEADERS", "Asked", "Refused", "guarded", "text_of"]

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_LARGEST: Final = 512 * 1024

Asked = Mapping[str, Any]
"""The JSON object that a request holds."""


class Refused(Exception):  # noqa: N818 - an answer, that no caller of the library sees
    """The answer to a request that cannot be served.

    Attributes:
        status: Its status.
        message: A sentence for the person at the page.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Make an answer.

        Args:
            status: Its status.
            message: What is wrong, and how to mend it.
        """
        super().__init__(message)
        self.status: Final = status
        self.message: Final = message


def guarded(handler: Callable[[Asked], Any]) -> Callable[[Request], Awaitable[Response]]:
    """Guard a handler, and run it in a thread: it may sign, or wait for a lock.

    Args:
        handler: Makes the answer, which is written as JSON, of the object that the request holds. It may
            raise `Refused`, ConfigurationError or
            `GoogleError`.

    Returns:
        A handler for a Starlette route.
    """

    async def answer(request: Request) -> Response:
        try:
            asked = await _read(request)
            return JSONResponse(await run_in_threadpool(handler, asked), headers=SECURITY_HEADERS)
        except Refused as refused:
            status, message = refused.status, refused.message
        except ConfigurationError as error:
            status, message = HTTPStatus.BAD_REQUEST, str(error)
        except GoogleError as error:
            status, message = HTTPStatus(google_error(error.status, "").status_code), error.message
        return JSONResponse({"error": message}, status, headers=SECURITY_HEADERS)

    return answer


async def _read(request: Request) -> Asked:
    check_control(request)
    if request.method == "GET":
        return dict(request.query_params)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The request must be JSON: application/json.")
    return {name: thaw(one) for name, one in (await read_json(request, largest=_LARGEST)).items()}


def text_of(asked: Asked, name: str, default: str | None = None) -> str:
    """Return a member of a request that must be text.

    Args:
        asked: The request.
        name: The name of the member.
        default: What it is if it is not there; None if it must be.

    Returns:
        The text, without white space around it.

    Raises:
        Refused: If it is missing or empty, or no text.
    """
    found = asked.get(name, default)
    if not isinstance(found, str):
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name!r} must be text.")
    if not found.strip() and default is None:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name!r} must not be empty.")
    return found.strip()
