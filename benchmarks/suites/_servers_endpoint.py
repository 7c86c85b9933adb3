"""The key endpoint of ``servers``: answers from memory, as quickly as Python can.

Some contenders fetch their keys for each request: a slow endpoint would be measured along with them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from multiprocessing.connection import Connection

__all__ = ["endpoint"]

CONTEXT = multiprocessing.get_context("spawn")


class _Answering(asyncio.Protocol):
    """One connection: each request is a GET without a body; its path selects the answer."""

    def __init__(self, bodies: Mapping[bytes, bytes]) -> None:
        self.bodies = bodies
        self.left = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        *requests, self.left = (self.left + data).split(b"\r\n\r\n")
        for request in requests:
            self.transport.write(_answer(self.bodies[request.split(b" ", 2)[1]]))


def _answer(body: bytes) -> bytes:
    # CacheControl caches nothing without a date.
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\n"
        "Content-Type: application/json; charset=UTF-8\r\n"
        f"Cache-Control: public, max-age=20000\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _serve(ready: Connection, bodies: Mapping[str, bytes]) -> None:
    paths = {f"/{name}".encode(): body for name, body in bodies.items()}
    server = await asyncio.get_running_loop().create_server(
        lambda: _Answering(paths), "127.0.0.1", 0, backlog=1024
    )
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(ready: Connection, core: int, bodies: Mapping[str, bytes]) -> None:
    os.sched_setaffinity(0, {core})
    asyncio.run(_serve(ready, bodies))


@contextmanager
def endpoint(core: int, bodies: Mapping[str, bytes]) -> Iterator[Mapping[str, str]]:
    """Serve some bodies over HTTP on loopback, from a process of its own.

    Args:
        core: The core that the process runs on.
        bodies: The answers, by name.

    Yields:
        The URL of each.
    """
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_run, args=(theirs, core, bodies), daemon=True)
    process.start()
    theirs.close()  # so that the pipe ends if the process ends before it has sent its port
    try:
        assert ours.poll(30), "the key endpoint did not start"
        port = ours.recv()
        yield {name: f"http://127.0.0.1:{port}/{name}" for name in bodies}
    finally:
        process.terminate()
        process.join()
