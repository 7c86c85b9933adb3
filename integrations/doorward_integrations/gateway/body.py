"""The body of a request on its way to the upstream, and whether the client is still there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive

    from doorward_integrations.gateway.record import Record

__all__ = ["ClientBody", "ClientGoneError"]


class ClientGoneError(Exception):
    """The client has left before its request was whole."""


class ClientBody:
    """Reads a body piece by piece, each when the upstream takes it.

    The first piece that is read is what has the server send ``100 Continue``.

    Attributes:
        gone: Whether the client has left.
        complete: Set when nothing is left to read.
    """

    def __init__(self, receive: Receive, record: Record, length: int | None) -> None:
        """Take over what receives.

        Args:
            receive: Receives from the client; nothing else may call it from now on.
            record: Counts the bytes.
            length: Its bytes; None if it comes in chunks.
        """
        self._receive: Final = receive
        self._record: Final = record
        self._left = length
        self._begun = False
        self.gone: bool = False
        self.complete: Final = asyncio.Event()
        if length == 0:
            self.complete.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Begin; once only, as what was read is not kept."""
        if self._begun:
            # aiohttp sends PUT and DELETE again, where an idle connection was closed in that moment.
            raise ConnectionResetError("the body of the request has been sent already, and is not kept")
        self._begun = True
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ClientGoneError
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if self._left is not None:
                self._left -= len(piece)
                if self._left < 0 or (self._left and not more):
                    # What follows would be read by the upstream as the rest of this body.
                    raise ConnectionResetError("the body has not the length that the headers say")
            if not more:
                self.complete.set()
            if piece:
                self._record.received += len(piece)
                yield piece

    async def until_gone(self) -> None:
        """Return when the client has left, which is looked for once its request is whole."""
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
