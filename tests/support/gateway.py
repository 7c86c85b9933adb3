"""An upstream that records the bytes it is sent, and a client that sends bytes as they are."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Self

from doorward import Door, InvokerPolicy
from doorward.door.base import BaseDoor
from doorward_integrations.gateway import Gateway, GatewayServer, Upstream
from support.tokens import MEMBER
from support.world import World

__all__ = ["RawUpstream", "Talk", "door_of", "exchange", "head_and_body", "serving"]

PATIENCE = 20.0
"""Seconds of each wait in this module at most."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Talk = Callable[["Connection"], Awaitable[None]]
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Connection:
    """One connection to the upstream: reads what comes, and keeps it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = b""

    async def read_request(self) -> bytes:
        """Read a request with its body; raises IncompleteReadError at the end of the connection."""
        head = await self.read_head()
        if b"transfer-encoding: chunked" in head.lower():
            body = await self._keep(self._reader.readuntil(b"0\r\n\r\n"))
        else:
            found = _LENGTH.search(head)
            body = await self._keep(self._reader.readexactly(int(found[1]))) if found else b""
        return head + body

    async def read_head(self) -> bytes:
        return await self._keep(self._reader.readuntil(b"\r\n\r\n"))

    async def read_some(self) -> bytes:
        return await self._keep(self._reader.read(65_536))

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _keep(self, reading: Awaitable[bytes]) -> bytes:
        data = await reading
        self.received += data
        return data


class RawUpstream:
    """Serves raw bytes from a thread.

    Attributes:
        talk: What is done on each new connection.
        requests: Every request that the ordinary talk has read.
        port: Where it listens.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer = OK
        self.talk: Talk = self.answer_all
        self.port = 0
        self.ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="test-upstream", daemon=True)

    async def answer_all(self, connection: Connection) -> None:
        while True:
            self.requests.append(await connection.read_request())
            await connection.write(self.answer)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.talk(connection)
        finally:
            self.ended.set()
            writer.close()


def door_of(world: World) -> Door:
    """Make the door of the tests, which admits one service account."""
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@contextlib.contextmanager
def serving(door: BaseDoor, upstream: Upstream, **settings: object) -> Iterator[GatewayServer]:
    """Serve a gateway on a free port, which stops without lingering."""
    with GatewayServer(Gateway(door, upstream, **settings), linger=0, grace=3) as server:  # type: ignore[arg-type]
        yield server


def exchange(port: int, *pieces: bytes, until: bytes | None = None) -> bytes:
    """Send bytes, and read to the end of the connection, or until some bytes have come."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        for piece in pieces:
            client.sendall(piece)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while until is None or until not in received:
                data = client.recv(65_536)
                if not data:
                    break
                received += data
        return received


def head_and_body(answer: bytes) -> tuple[int, dict[str, list[str]], bytes]:
    """Take an answer apart: status, values by name in lower case, and the rest as it is."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for field in fields:
        name, _, value = field.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    return int(line.split()[1]), headers, body
