"""The door of the emulator's own interface: which requests are read, and the headers of every answer.

It mints tokens of any account. So it answers only what the emulator's own page has asked, or a program: no
request of another site's page (`doorward_integrations.emulator.origins`), and none without a header that no
page can send to another origin unasked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from doorward.errors import ConfigurationError
from doorward.strictjson import StrictJSONError, read_members, thaw
from doorward_integrations.emulator.google_errors import GoogleError, google_error
from doorward_integrations.emulator.interface import MARK_HEADER
from doorward_integrations.emulator.origins import is_of_another_site

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
    if is_of_another_site(request.headers):
        raise Refused(HTTPStatus.FORBIDDEN, "A page of another site has sent this request.")
    if not request.headers.get(MARK_HEADER):
        raise Refused(HTTPStatus.FORBIDDEN, f"The request needs the header {MARK_HEADER}: 1.")
    if request.method == "GET":
        return dict(request.query_params)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The request must be JSON: application/json.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")
        return {name: thaw(member) for name, member in read_members(bytes(body)).items()}
    except ClientDisconnect:
        raise Refused(HTTPStatus.BAD_REQUEST, "The request was cut short.") from None
    except StrictJSONError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"The request is no JSON object: {error}.") from None


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
