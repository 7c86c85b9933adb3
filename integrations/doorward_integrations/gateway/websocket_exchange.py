"""One websocket to the upstream: opened there first, then message by message both ways."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from doorward_integrations.gateway.answers import Failure
from doorward_integrations.gateway.exchange import Exchange, failure_of
from doorward_integrations.gateway.headers import for_client

if TYPE_CHECKING:
    from starlette.types import Receive, Send

__all__ = ["LARGEST_MESSAGE", "WebSocketExchange"]

LARGEST_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of one message at most, in each direction."""

_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_NO_CODE: Final = 1005
_LOST: Final = 1006
_FAILED: Final = 1011


class WebSocketExchange(Exchange):
    """Carries one admitted websocket."""

    async def run(self, receive: Receive, send: Send) -> None:
        """Open it at the upstream, accept it, and carry messages until one side closes.

        Args:
            receive: Receives from the client.
            send: Sends to the client.

        Raises:
            Failure: If the upstream did not open it.
        """
        socket, headers = await self._open()
        try:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept", "subprotocol": socket.protocol, "headers": headers})
            try:
                async with asyncio.timeout(self._upstream.request_timeout):
                    await _either(self._to_upstream(socket, receive), self._to_client(socket, send))
            except TimeoutError:
                self._record.reason = "request_timeout"
                await send({"type": "websocket.close", "code": _GOING_AWAY, "reason": "request timeout"})
        finally:
            await socket.close(code=_GOING_AWAY)

    async def _open(self) -> tuple[aiohttp.ClientWebSocketResponse[bool], list[tuple[bytes, bytes]]]:
        handshake: list[tuple[bytes, bytes]] = []
        offers: list[str] = self._scope.get("subprotocols") or []
        try:
            async with asyncio.timeout(self._upstream.request_timeout):
                socket = await self._session.ws_connect(
                    self._target(),
                    headers=self._headers,
                    protocols=offers,
                    max_msg_size=LARGEST_MESSAGE,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failure_of(error) from None
        response: aiohttp.ClientResponse | None = getattr(socket, "_response", None)
        if response is not None:
            handshake = for_client(response.raw_headers, handshake=True)
        return socket, handshake

    async def _to_upstream(self, socket: aiohttp.ClientWebSocketResponse[bool], receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code: int = message.get("code") or _NO_CODE
                lost = {_NO_CODE: _NORMAL, _LOST: _GOING_AWAY}.get(code, code)
                await socket.close(code=lost, message=(message.get("reason") or "").encode())
                return
            if (text := message.get("text")) is not None:
                self._record.received += len(text)
                await socket.send_str(text)
            else:
                self._record.received += len(message["bytes"])
                await socket.send_bytes(message["bytes"])

    async def _to_client(self, socket: aiohttp.ClientWebSocketResponse[bool], send: Send) -> None:
        while True:
            message = await socket.receive()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                kind = "text" if message.type is aiohttp.WSMsgType.TEXT else "bytes"
                self._record.sent += len(message.data)
                await send({"type": "websocket.send", kind: message.data})
                continue
            closing = message.type is aiohttp.WSMsgType.CLOSE
            code, reason = (message.data or _NORMAL, message.extra or "") if closing else (_FAILED, "")
            if not closing:
                self._record.reason = "upstream_cut_short"
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return


def _refused(error: aiohttp.WSServerHandshakeError) -> Failure:
    status = error.status if error.status >= 400 else 502  # noqa: PLR2004 - no answer to a handshake
    return Failure(status, "upstream_refused", "The service did not open the websocket.", f"{error.status}")


async def _either(*ways: Any) -> None:  # noqa: ANN401 - coroutines
    """Run both ways until one has ended, and end the other."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            task.result()
