"""The HTTP parser of the gateway: uvicorn's, with what it leaves to the application decided at the wire.

It reads by llhttp, in its strict mode. What is added: a bound on what is read and not handed on, targets in
absolute form are not taken apart, fields behind a chunked body (trailers) are no headers, and a 304 may name
the length of what it does not carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from doorward_integrations.gateway.access_log import log_unread

if TYPE_CHECKING:
    import asyncio

__all__ = ["GatewayProtocol", "protocol_with_limit"]

_BODILESS: Final = (204, 304)


class _NotRead(Exception):  # noqa: N818 - caught where the parser has been called
    """A request is not read on."""


class GatewayProtocol(HttpToolsProtocol):
    """Reads requests strictly, and within bounds.

    Attributes:
        limit: Bytes that are read at most without a body's growing.
        draining: Whether each answer is the last one of its connection.
    """

    limit: ClassVar[int] = 65_536
    draining: ClassVar[bool] = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with nothing read."""
        super().connection_made(transport)
        self._unused = 0
        self._refused: tuple[int, str] | None = None
        self._in_head = True

    def data_received(self, data: bytes) -> None:
        """Read on, if the bound allows it.

        Args:
            data: What has come.
        """
        if self._refused is not None:
            return  # the connection is being closed, and nothing on it is a request any more
        self._unused += len(data)
        super().data_received(data)
        if self._refused is None and self._unused > self.limit and self.parser is not None:
            self._refuse(431, "headers_too_large", "The headers are too large.")

    def on_message_begin(self) -> None:
        """Begin with the head of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that comes after the body is left out.

        Args:
            name: Its name.
            value: Its value.
        """
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand a request on, if its target is in origin form.

        Raises:
            Exception: If it is not; the parser ends.
        """
        self._unused = 0
        self._in_head = False
        if not self.url.startswith(b"/"):
            raise _NotRead
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body.

        Args:
            body: The piece.
        """
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._unused = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """End the connection of a request that is not read.

        Args:
            msg: What the client reads.
        """
        self._refuse(400, "not_http", msg)

    def _refuse(self, status: int, reason: str, sentence: str) -> None:
        self._refused = (status, reason)
        log_unread(self.client[0] if self.client else "", status, reason)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                # An answer is on its way: what is written now would be read as a part of it.
                cycle.keep_alive = False
                self.flow.pause_reading()
                return
            # It is the body of this request that cannot be read: what was sent of it upstream is given up.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
        body = f"{sentence}\n".encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        line = STATUS_LINE.get(status, b"HTTP/1.1 400 Bad Request\r\n")
        self.transport.write(line + head % len(body) + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's own
        send = cycle.send
        if self.draining:
            cycle.keep_alive = False

        async def send_without_body(message: Any) -> None:  # noqa: ANN401 - any message
            await send(message)
            if message["type"] == "http.response.start" and message["status"] in _BODILESS:
                cycle.expected_content_length = 0

        cycle.send = send_without_body  # type: ignore[method-assign]
        super()._start_asgi_task(cycle, app)


def protocol_with_limit(limit: int) -> type[GatewayProtocol]:
    """Return the protocol with another bound.

    Args:
        limit: The bound in bytes.
    """
    return type("GatewayProtocol", (GatewayProtocol,), {"limit": limit})
