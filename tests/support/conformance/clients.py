"""Clients that send the very bytes: HTTP/1.1, HTTP/2 with prior knowledge, and a websocket."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from support.conformance.table import Row

__all__ = ["Got", "http1", "http1_on_one_connection", "http2", "websocket"]

PATIENCE = 20.0

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Got:
    """One answer.

    Attributes:
        status: Its status.
        headers: Its headers, names in lower case.
        body: Its body; the first message, of a websocket that was accepted.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def _pieces(row: Row) -> tuple[bytes, ...]:
    return (row.body.encode(),) if isinstance(row.body, str) else tuple(one.encode() for one in row.body)


def request_of(host: str, row: Row, headers: Pairs, *more: str) -> bytes:
    """Return the bytes of an HTTP/1.1 request."""
    lines = [f"{row.method} {row.target} HTTP/1.1", f"Host: {host}", *more]
    lines += [f"{name}: {value}".rstrip() for name, value in headers]
    pieces, body = _pieces(row), b""
    if len(pieces) > 1:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    else:
        body = b"".join(pieces)
        if row.method == "POST":
            lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class _StaysOpen(io.BufferedReader):
    """A buffered file that an answer does not close at its end, since another one may follow."""

    def close(self) -> None:
        """Leave it to the socket."""


class _Kept:
    """Stands for a socket, and gives every answer the same buffered file."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self.file


@contextlib.contextmanager
def _connection(port: int) -> Iterator[tuple[socket.socket, io.BufferedReader]]:
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as connection,
        connection.makefile("rb", buffering=0) as raw,
    ):
        yield connection, _StaysOpen(raw)


def _read(file: io.BufferedReader, method: str) -> tuple[HTTPResponse, Got]:
    answer = HTTPResponse(_Kept(file), method=method)  # type: ignore[arg-type]  # it asks for a file alone
    answer.begin()
    pairs = [(name.lower(), value) for name, value in answer.getheaders()]
    body = b"" if answer.status == 101 else answer.read(answer.length) if answer.length else b""
    if answer.chunked:
        body = answer.read()
    return answer, Got(answer.status, dict(pairs), body)


def http1(port: int, host: str, row: Row, headers: Pairs) -> Got:
    """Send a row over HTTP/1.1, on a connection of its own."""
    with _connection(port) as (connection, file):
        connection.sendall(request_of(host, row, headers, "Connection: close"))
        _, got = _read(file, row.method)
        # The answer to a HEAD ends with its head: whatever came after it would be taken for the next answer.
        rest = file.read() if row.method == "HEAD" else b""
        return Got(got.status, got.headers, got.body + rest)


def http1_on_one_connection(port: int, first: bytes, second: bytes) -> list[Got]:
    """Send two requests, one after the other on one connection, and return all answers until it is closed."""
    found = []
    with _connection(port) as (connection, file):
        with contextlib.suppress(OSError):  # the server may close the connection after the first
            connection.sendall(first + second)
        with contextlib.suppress(OSError):
            while file.peek(1):
                found.append(_read(file, "GET")[1])
    return found


def http2(port: int, host: str, row: Row, headers: Pairs) -> Got:
    """Send a row over HTTP/2, on a connection of its own."""
    settings = H2Configuration(
        client_side=True,
        header_encoding="latin-1",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    client = H2Connection(config=settings)
    head = [(":method", row.method), (":scheme", "http"), (":authority", host), (":path", row.target)]
    pieces = _pieces(row)
    if row.method == "POST" and len(pieces) == 1:
        head.append(("content-length", str(len(pieces[0]))))
    with _connection(port) as (connection, _):
        client.initiate_connection()
        client.send_headers(1, [*head, *headers], end_stream=pieces == (b"",))
        for number, piece in enumerate(pieces, 1) if pieces != (b"",) else ():
            client.send_data(1, piece, end_stream=number == len(pieces))
        connection.sendall(client.data_to_send())
        return _read_stream(client, connection)


def _read_stream(client: H2Connection, connection: socket.socket) -> Got:
    head: dict[str, str] = {}
    body = b""
    while data := connection.recv(65_536):
        try:
            events = client.receive_data(data)
        except ProtocolError as error:
            return Got(0, {}, repr(error).encode())
        for event in events:
            if isinstance(event, ResponseReceived):
                pairs: Any = event.headers
                head = dict(pairs)
            elif isinstance(event, DataReceived):
                body += event.data
            elif isinstance(event, StreamEnded):
                return Got(int(head.pop(":status")), head, body)
            elif isinstance(event, StreamReset | ConnectionTerminated):
                return Got(0, {}, f"{type(event).__name__} {event.error_code}".encode())
        connection.sendall(client.data_to_send())
    return Got(0, {}, b"closed")


def websocket(port: int, host: str, row: Row, headers: Pairs) -> Got:
    """Open a websocket (RFC 6455); the body is its first message, if it was accepted."""
    opening = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    with _connection(port) as (connection, file):
        connection.sendall(request_of(host, row, headers, *opening))
        _, got = _read(file, row.method)
        if got.status != 101:
            return got
        kind, length = file.read(2)
        assert (0x81, True) == (kind, length < 126), "the first frame is no short text"
        return Got(101, got.headers, file.read(length))
