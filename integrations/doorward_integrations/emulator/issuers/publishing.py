"""Endpoints that publish keys, with switches to break them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.google_errors import google_error
from doorward_integrations.emulator.state_file import StateError

__all__ = ["KeyEndpoint"]

_JSON: Final = "application/json; charset=UTF-8"
_VARY: Final = "Origin, X-Origin, Referer"


def _has_etag(condition: str, etag: str) -> bool:
    """Return whether If-None-Match names an entity tag, by weak comparison (RFC 9110, section 13.1.2)."""
    named = (one.strip().removeprefix("W/") for one in condition.split(","))
    return condition.strip() == "*" or etag in named


class KeyEndpoint:
    """Publishes documents of keys as Google does, fails while it is taken down, and counts requests.

    Attributes:
        max_age: Seconds for which an answer may be kept, the ``max-age`` of ``Cache-Control``. May be changed
            at any time.
    """

    max_age: int

    def __init__(
        self,
        documents: Mapping[str, Callable[[], object]],
        *,
        max_age: int = 3_600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Publish documents.

        Args:
            documents: What makes the document of each path.
            max_age: Seconds for which an answer may be kept.
            clock: Returns the time in seconds since the epoch, for ``Expires``.

        Raises:
            ConfigurationError: If ``max_age`` is less than 0.
        """
        if max_age < 0:
            raise ConfigurationError(f"max_age={max_age} must be 0 seconds or more")
        self.max_age = max_age
        self._documents: Final = documents
        self._clock: Final = clock
        self._down = False
        self._fetches = 0

    def __repr__(self) -> str:
        """Show the switches and the count."""
        return f"{type(self).__name__}(is_up={self.is_up}, fetches={self._fetches}, max_age={self.max_age})"

    @property
    def is_up(self) -> bool:
        """Whether the keys are being served."""
        return not self._down

    @property
    def fetches(self) -> int:
        """How many requests for the keys have come, in any form, with those answered with 304 and 503."""
        return self._fetches

    def take_down(self) -> None:
        """Answer requests for the keys with 503, until `bring_up` is called."""
        self._down = True

    def bring_up(self) -> None:
        """Serve the keys again."""
        self._down = False

    def routes(self) -> list[Route]:
        """Return one route for each document.

        Returns:
            Routes for a Starlette application.
        """
        return [Route(path, self._serving(make)) for path, make in self._documents.items()]

    def _serving(self, make: Callable[[], object]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return await self.answer_keys(request, make)

        return serve

    async def answer_keys(self, request: Request, make: Callable[[], object]) -> Response:
        """Answer a request for keys, and count it.

        Args:
            request: The request.
            make: Makes the document.

        Returns:
            The document, 304 if the request has its etag, 503 while the endpoint is down, or 500 if a new
            key could not be kept.
        """
        self._fetches += 1
        if self._down:
            return PlainTextResponse("Service Unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            # In a thread: a key may have to be made, and the state to be written.
            return self.answer(request, await run_in_threadpool(make))
        except StateError as error:
            return google_error("INTERNAL", error.message)

    def answer(self, request: Request, document: object) -> Response:
        """Answer with a document that may be kept; the headers are those of Google's key endpoints.

        Args:
            request: The request.
            document: What can be written as JSON.

        Returns:
            The document, or 304 if the request has its etag.
        """
        body = json.dumps(document, indent=2).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        # A 304 carries the same headers, so that the answer may be kept for another max-age (RFC 9110,
        # section 15.4.5).
        headers = {
            "Cache-Control": f"public, max-age={self.max_age}, must-revalidate, no-transform",
            "ETag": etag,
            "Expires": formatdate(self._clock() + self.max_age, usegmt=True),
            "Vary": _VARY,
        }
        if _has_etag(",".join(request.headers.getlist("if-none-match")), etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, media_type=_JSON, headers=headers)
