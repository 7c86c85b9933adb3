"""One HTTP request to the upstream, and its answer back, both as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

from doorward_integrations.gateway.answers import Failure
from doorward_integrations.gateway.body import ClientBody, ClientGoneError
from doorward_integrations.gateway.exchange import Exchange, failure_of
from doorward_integrations.gateway.headers import for_client

if TYPE_CHECKING:
    from starlette.types import Receive, Send

__all__ = ["HttpExchange"]

# Most answers have come by then, and cost no task that waits for the client to leave.
_WATCH_AFTER: Final = 0.05
_SWITCHING: Final = 101


class HttpExchange(Exchange):
    """Sends one admitted HTTP request on."""

    _started = False

    async def run(self, receive: Receive, send: Send) -> None:
        """Carry the request and the answer.

        If it returns and the answer is not whole, the connection of the client has to end.

        Args:
            receive: Receives from the client.
            send: Sends to the client.

        Raises:
            Failure: If no answer has begun.
        """
        body = ClientBody(receive, self._record, self._body_length())
        leaving = _Leaving(body)
        try:
            async with asyncio.timeout(self._upstream.request_timeout):
                await self._carry(body, send)
        except asyncio.CancelledError:
            if not leaving.caused():
                raise
            self._record.reason = "client_left"
        except (aiohttp.ClientError, TimeoutError, OSError, ClientGoneError) as error:
            self._end(error, body)
        finally:
            leaving.stop()

    def _end(self, error: Exception, body: ClientBody) -> None:
        if body.gone:
            self._record.reason = "client_left"
            return
        failure = failure_of(error)
        if not self._started:
            raise failure from None
        cut = "request_timeout" if isinstance(error, TimeoutError) else "upstream_cut_short"
        self._record.reason, self._record.error = cut, failure.error

    def _body_length(self) -> int | None:
        length = 0
        for name, value in self._scope["headers"]:
            if name == b"transfer-encoding":
                return None
            if name == b"content-length":
                length = int(value)
        return length

    async def _carry(self, body: ClientBody, send: Send) -> None:
        response = await self._session.request(
            self._scope["method"],
            self._target(),
            headers=self._headers,
            data=None if body.complete.is_set() else body,
            allow_redirects=False,
        )
        try:
            if response.status == _SWITCHING:
                raise Failure(502, "upstream_failed", "The service gave no usable answer.", "101 unasked")
            await self._hand_back(response, send)
        finally:
            # Also where the answer came before the request was whole: the connection is not used again.
            if body.complete.is_set():
                response.release()
            else:
                response.close()

    async def _hand_back(self, response: aiohttp.ClientResponse, send: Send) -> None:
        headers = for_client(response.raw_headers)
        self._started = True
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        content = response.content
        more = True
        while more:
            piece = await content.readany()
            more = not content.at_eof()
            await send({"type": "http.response.body", "body": piece, "more_body": more})


class _Leaving:
    """Cancels the task that has made it when the client leaves."""

    def __init__(self, body: ClientBody) -> None:
        self._body = body
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._cancelled = False
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER, self._begin)

    def _begin(self) -> None:
        self._watch = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        await self._body.until_gone()
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    def caused(self) -> bool:
        """Return whether this has cancelled the task, and nothing else has."""
        return self._cancelled and self._task is not None and self._task.uncancel() == 0

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
