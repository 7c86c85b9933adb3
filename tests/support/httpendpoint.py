"""A real HTTP server on a free loopback port, scripted to the byte, for answers no framework would send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_PATIENCE = 10.0


@dataclass(frozen=True)
class Request:
    """The head of one request."""

    method: str
    target: str
    headers: Mapping[str, str]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, request: Request, closing: threading.Event) -> None:
        self._sock = sock
        self._closing = closing
        self.request = request
        self.sent = 0

    def send(self, data: bytes) -> bool:
        """Send; False once the client has gone."""
        try:
            self._sock.sendall(data)
        except OSError:
            return False
        self.sent += len(data)
        return True

    def linger(self, seconds: float = _PATIENCE) -> bool:
        """Wait; True at once when the endpoint is closed."""
        return self._closing.wait(seconds)


Script = Callable[[Peer], None]


def response(body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Make a response. Its Content-Length is true unless another is given, and is left out if that is -1."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def sending(raw: bytes) -> Script:
    """Make a script that sends just that."""

    def script(peer: Peer) -> None:
        peer.send(raw)

    return script


def answering(*args: bytes | str, status: str = "200 OK", length: int | None = None) -> Script:
    """Make a script that sends one response; see `response`."""
    body = b"".join(arg for arg in args if isinstance(arg, bytes))
    headers = [arg for arg in args if isinstance(arg, str)]
    whole = response(body, *headers, status=status, length=length)
    return sending(whole)


def repeating(head: bytes, piece: bytes, times: int, pause: float = 0.0) -> Script:
    """Make a script that sends a head, then a piece again and again, until the client goes."""

    def script(peer: Peer) -> None:
        alive = peer.send(head)
        for _ in range(times):
            alive = alive and peer.send(piece) and not (pause and peer.linger(pause))

    return script


class HttpEndpoint:
    """Serves every connection by the script; keeps the requests it got, and how much it could send.

    Attributes:
        script: What to do with a request; assign to change.
        requests: The requests so far.
        sent: Bytes sent per connection that has ended.
        url: Where it is.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.sent: list[int] = []
        self._tls = tls
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="endpoint")]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._port}/certs"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and every thread."""
        self._closing.set()
        with contextlib.suppress(OSError):  # wakes the accepting thread
            socket.create_connection(("127.0.0.1", self._port), _PATIENCE).close()
        self._threads[0].join(_PATIENCE)
        self._listener.close()
        self.settle()

    def settle(self) -> None:
        """Wait until every connection so far has been served to its end."""
        for thread in self._threads[1:]:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), "a script of the endpoint did not end"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing.is_set():
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock,), name="endpoint-connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(_PATIENCE)
        # A small buffer, so that what could be sent is close to what was read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        try:
            with self._tls.wrap_socket(sock, server_side=True) if self._tls else sock as stream:
                request = self._head(stream)
                if request is not None:
                    self.requests.append(request)
                    peer = Peer(stream, request, self._closing)
                    self.script(peer)
                    self.sent.append(peer.sent)
        except OSError:  # a handshake the client broke off, or a client that has gone
            sock.close()

    @staticmethod
    def _head(stream: socket.socket) -> Request | None:
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = stream.recv(65_536)
            if not piece:
                return None
            raw += piece
            if not raw[:1].isalpha():  # not HTTP, perhaps the start of TLS
                stream.sendall(response(status="400 Bad Request"))
                return None
        first, *lines = raw.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return Request(method, target, {name.lower(): value.strip() for name, _, value in pairs})
