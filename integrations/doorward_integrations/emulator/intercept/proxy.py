"""A proxy on this machine that leads to the emulator, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import threading
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from doorward.forks import renew_in_children
from doorward_integrations.emulator.intercept.hosts import METADATA_HOSTS, is_google_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from types import TracebackType

    from doorward_integrations.emulator.intercept.authority import Authority

__all__ = ["InterceptingProxy"]

_log = logging.getLogger("doorward.emulator.intercept")

_HEAD_BYTES: Final = 32 * 1024
_SECONDS: Final = 10.0
_CHUNK: Final = 64 * 1024
_LAST_TICKS: Final = 5
_HTTPS_PORT: Final = "443"
_HTTP_PORT: Final = "80"
_MOST_NAMES: Final = 1_000  # that are counted one by one
_OTHER: Final = "others"
_HOST: Final = r"(?P<host>[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])"
# Some clients write an IPv6 address without its brackets here.
_CONNECT: Final = re.compile(
    rf"CONNECT (?:{_HOST}|(?P<bare>[0-9A-Fa-f:.]{{2,45}})):(?P<port>[0-9]{{1,5}}) HTTP/1\.[01]", re.ASCII
)
# What a client asks a proxy for over plain HTTP (RFC 9112, section 3.2.2).
_ABSOLUTE: Final = re.compile(
    rf"(?P<method>[A-Z]{{1,20}}) http://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>[/?][!-~]*)? HTTP/1\.[01]",
    re.ASCII | re.IGNORECASE,
)
_DROPPED: Final = ("host", "connection", "proxy-connection", "proxy-authorization", "keep-alive")


class _Asked(NamedTuple):
    """What the head of a request asks a proxy for: a tunnel if it has no method."""

    host: str
    port: str
    method: str | None = None
    path: str = "/"


def _asked(line: str) -> _Asked | None:
    if found := _CONNECT.fullmatch(line):
        return _Asked((found["host"] or found["bare"]).lower().removesuffix("."), found["port"])
    if found := _ABSOLUTE.fullmatch(line):
        path = f"/{(found['path'] or '').removeprefix('/')}"  # also for http://HOST?a=b
        return _Asked(
            found["host"].lower().removesuffix("."), found["port"] or _HTTP_PORT, found["method"], path
        )
    return None


def _answer(status: HTTPStatus, text: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain",
        f"Content-Length: {len(text) + 1}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", f"{text}\n"]).encode("ascii")


class InterceptingProxy:
    """Answers for Google's hosts with the emulator, and refuses every other host by name.

    It serves while it is open as a context manager. What it refused is counted in `refused`.
    """

    def __init__(self, emulator: str, authority: Authority) -> None:
        """Prepare to serve; nothing listens yet.

        Args:
            emulator: The ``HOST:PORT`` of the emulator.
            authority: Signs the certificates of the hosts.
        """
        self._emulator = emulator
        self._authority = authority
        self._refused: Counter[str] = Counter()
        self._begin()
        renew_in_children(self, InterceptingProxy._begin)

    def _begin(self) -> None:
        """Begin without a thread: a proxy that runs in a parent process is not the child's to stop."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port = 0

    def __repr__(self) -> str:
        """Show its URL and how much it has refused."""
        where = self.url if self._thread else "stopped"
        return f"InterceptingProxy({where}, refused={self._refused.total()})"

    @property
    def url(self) -> str:
        """Its URL, for the variable ``HTTPS_PROXY``; raises RuntimeError if it is not open."""
        if self._thread is None:
            raise RuntimeError("the proxy is not running: use it in a with statement")
        return f"http://127.0.0.1:{self._port}"

    @property
    def refused(self) -> dict[str, int]:
        """How often each ``HOST:PORT`` was refused, in the order in which they were first asked for."""
        return dict(self._refused)

    def __enter__(self) -> Self:
        """Serve, on a free port of 127.0.0.1."""
        if self._thread is not None:
            raise RuntimeError(f"the proxy is running already, at {self.url}")
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setblocking(False)  # noqa: FBT003 - positional only
        self._port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(listener, ready),), name="doorward-intercept", daemon=True
        )
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the port and all connections."""
        thread, loop, stop = self._thread, self._loop, self._stop
        if thread is None or loop is None or stop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join(_SECONDS)
        self._thread = self._loop = self._stop = None

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        stopping = asyncio.create_task(self._stop.wait())
        connections: set[asyncio.Task[None]] = set()
        ready.set()
        with listener:
            accepting = asyncio.create_task(self._accept(loop, listener, connections))
            await asyncio.wait({stopping, accepting}, return_when=asyncio.FIRST_COMPLETED)
            accepting.cancel()
            for task in connections:
                task.cancel()
            await asyncio.gather(accepting, *connections, return_exceptions=True)
            for _ in range(_LAST_TICKS):
                await asyncio.sleep(0)  # what was aborted closes its sockets

    async def _accept(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket, connections: set[asyncio.Task[None]]
    ) -> None:
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # too many files are open
                _log.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(0.1)
                continue
            connection.setblocking(False)  # noqa: FBT003 - positional only
            task = asyncio.create_task(_quietly(self._handle(connection)))
            connections.add(task)
            task.add_done_callback(connections.discard)

    async def _handle(self, connection: socket.socket) -> None:
        with connection:
            async with asyncio.timeout(_SECONDS):
                head = await _read_head(connection)
            line, *headers = head.decode("latin-1").split("\r\n")
            asked = _asked(line)
            if asked is None:
                await _send(connection, HTTPStatus.BAD_REQUEST, "This is a proxy: CONNECT HOST:PORT.")
            elif asked.method is None and asked.port == _HTTPS_PORT and is_google_host(asked.host):
                await self._tunnel(connection, asked.host)
            elif asked.method is not None and asked.port == _HTTP_PORT and asked.host in METADATA_HOSTS:
                await self._forward(connection, asked, headers)
            else:
                self._note(f"{asked.host}:{asked.port}")
                await _send(
                    connection,
                    HTTPStatus.FORBIDDEN,
                    f"{asked.host}:{asked.port} is refused: the emulator does not answer for it.",
                )

    def _note(self, name: str) -> None:
        """Count a refusal, and log the first one of each name."""
        if name not in self._refused and len(self._refused) >= _MOST_NAMES:
            name = _OTHER
        self._refused[name] += 1
        if self._refused[name] == 1:
            _log.warning("refused %s: the emulator does not answer for it, and nothing else is reached", name)

    async def _tunnel(self, connection: socket.socket, host: str) -> None:
        """Answer as a host of Google's: TLS ends here, and what is inside goes to the emulator as it is."""
        if not self._authority.is_valid:
            _log.warning("refused %s: the certificates are valid for a day, which is over; start again", host)
            await _send(connection, HTTPStatus.SERVICE_UNAVAILABLE, "The certificates are no longer valid.")
            return
        context = self._authority.context(host)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, b"HTTP/1.1 200 Connection established\r\n\r\n")
        reader = asyncio.StreamReader(_CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection.dup(), ssl=context, ssl_handshake_timeout=_SECONDS
        )
        await self._join(reader, asyncio.StreamWriter(transport, protocol, reader, loop), b"")

    async def _forward(self, connection: socket.socket, asked: _Asked, headers: list[str]) -> None:
        """Answer one plain request for the metadata server; the connection ends with its answer."""
        kept = [one for one in headers if one and one.partition(":")[0].strip().lower() not in _DROPPED]
        own = [f"{asked.method} {asked.path} HTTP/1.1", f"Host: {self._emulator}", "Connection: close"]
        reader, writer = await asyncio.open_connection(sock=connection.dup())
        await self._join(reader, writer, "\r\n".join([*own, *kept, "", ""]).encode("latin-1"))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        """Connect a client with the emulator, until one of them closes."""
        host, _, port = self._emulator.rpartition(":")
        async with _closing(writer):
            there, to_there = await asyncio.open_connection(host.strip("[]"), int(port))
            async with _closing(to_there):
                to_there.write(head)
                await _first(_copy(reader, to_there), _copy(there, writer))


async def _quietly(work: Coroutine[None, None, None]) -> None:
    """Handle one connection; what goes wrong with it concerns no other."""
    try:
        await work
    except (OSError, ssl.SSLError, TimeoutError, EOFError) as error:
        _log.debug("a connection has ended: %s", type(error).__name__)


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a connection: at once if something goes wrong, else when all that was written is sent."""
    try:
        yield
    except BaseException:
        writer.transport.abort()
        raise
    else:
        writer.close()
    finally:
        try:
            async with asyncio.timeout(_SECONDS):
                await writer.wait_closed()
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()


async def _read_head(connection: socket.socket) -> bytes:
    """Read the head of a request byte by byte, so that nothing of what follows it is taken away."""
    loop = asyncio.get_running_loop()
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = await loop.sock_recv(connection, 1)
        if not byte or len(head) > _HEAD_BYTES:
            raise EOFError
        head += byte
    return bytes(head)


async def _send(connection: socket.socket, status: HTTPStatus, text: str) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, _answer(status, text))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()


async def _first(*copies: Coroutine[None, None, None]) -> None:
    """Run until one direction has ended, then let go of the other."""
    tasks = [asyncio.create_task(one) for one in copies]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
