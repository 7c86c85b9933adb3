"""The header by which clients and metadata server know each other; it keeps browsers and proxies out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FLAVOR", "FLAVOR_HEADER", "RequireFlavor", "refuse_forwarded"]

FLAVOR_HEADER: Final = "Metadata-Flavor"
FLAVOR: Final = "Google"

_FORWARDED: Final = "A request with an X-Forwarded-For header is refused."


def _refusal(reason: str) -> Response:
    return PlainTextResponse(reason, HTTPStatus.FORBIDDEN, media_type="text/html")


def refuse_forwarded(headers: Headers) -> Response | None:
    """Refuse a request that a proxy has forwarded, as the real server does.

    https://cloud.google.com/compute/docs/metadata/querying-metadata, "X-Forwarded-For header".

    Args:
        headers: The headers of the request; a ``_`` in a name counts as a ``-``, as CGI and WSGI read it.

    Returns:
        The refusal; None if no proxy has forwarded the request.
    """
    forwarded = any(name.lower().replace("_", "-") == "x-forwarded-for" for name in headers)
    return _refusal(_FORWARDED) if forwarded else None


class RequireFlavor:
    """Requires the header, which browsers and proxies do not add, and adds it to each answer, errors too."""

    def __init__(self, app: ASGIApp) -> None:
        """Guard an application.

        Args:
            app: The ASGI application.
        """
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it.

        Args:
            scope: The connection's scope.
            receive: Receives its messages.
            send: Sends its answers.
        """

        async def flavored(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[FLAVOR_HEADER] = FLAVOR
            await send(message)

        headers = Headers(scope=scope)
        app: ASGIApp = refuse_forwarded(headers) or self._app
        if app is self._app and headers.get(FLAVOR_HEADER) != FLAVOR:
            app = _refusal(f"Missing {FLAVOR_HEADER}:{FLAVOR} header.")
        await app(scope, receive, flavored)
