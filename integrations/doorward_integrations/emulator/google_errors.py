"""Errors in the two JSON forms that Google has: that of its APIs, and that of OAuth.

https://google.aip.dev/193 and RFC 6749, section 5.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["GoogleError", "OAuthError", "answering_errors", "google_error"]

_CODES: Final = {
    "ABORTED": HTTPStatus.CONFLICT,
    "INTERNAL": HTTPStatus.INTERNAL_SERVER_ERROR,
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
}
_UNAUTHORIZED: Final = frozenset({"invalid_client", "unauthorized_client"})


class GoogleError(Exception):
    """What an API of Google's refuses.

    Attributes:
        status: The name of the status, such as ``INVALID_ARGUMENT``.
        message: A sentence for the developer.
    """

    def __init__(self, status: str, message: str) -> None:
        """Make the error from its data."""
        super().__init__(status, message)
        self.status: Final[str] = status
        self.message: Final[str] = message


class OAuthError(Exception):
    """What a token endpoint refuses.

    Attributes:
        error: One of the codes of OAuth, such as ``invalid_grant``.
        description: A sentence for the developer.
    """

    def __init__(self, error: str, description: str) -> None:
        """Make the error from its data."""
        super().__init__(error, description)
        self.error: Final[str] = error
        self.description: Final[str] = description

    def answer(self) -> JSONResponse:
        """Make the answer: ``{"error": ..., "error_description": ...}``, never kept by a cache."""
        code = HTTPStatus.UNAUTHORIZED if self.error in _UNAUTHORIZED else HTTPStatus.BAD_REQUEST
        content = {"error": self.error, "error_description": self.description}
        return JSONResponse(content, code, {"Cache-Control": "no-store"})


def google_error(status: str, message: str) -> JSONResponse:
    """Make the answer of an API of Google's to a request that it refuses.

    Args:
        status: The name of the status; it decides the status code.
        message: A sentence for the developer.

    Returns:
        ``{"error": {"code": ..., "message": ..., "status": ...}}`` with that status code.
    """
    code = _CODES[status]
    return JSONResponse({"error": {"code": int(code), "message": message, "status": status}}, code)


def answering_errors(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler so that a `GoogleError` or an `OAuthError` that it raises is answered.

    Args:
        handler: The handler of a route.
    """

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except GoogleError as error:
            return google_error(error.status, error.message)
        except OAuthError as error:
            return error.answer()

    return handle
