"""Requests that servers read in different ways: each upstream sees what the door decided on, or nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from doorward import Admission, Refusal
from doorward.door.credentials import RawHeaders
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward_integrations.gateway import GatewayServer, Upstream
from doorward_integrations.gateway.recording import RecordingDoor
from support.gateway import PATIENCE, door_of, serving
from support.upstreams import SEEN, UPSTREAMS
from support.world import World

QUIET = 0.3
"""Seconds without an answer after which the gateway is taken to wait for more."""

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
FIRST = b"POST /first HTTP/1.1\r\nHost: a.test\r\nAUTH\r\n"
GET = b"GET /first HTTP/1.1\r\nHost: a.test\r\nAUTH\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def posted(headers: bytes, body: bytes) -> bytes:
    return FIRST + headers + b"\r\n" + body


CORPUS = {
    "CL.TE": posted(length(END + HIDDEN) + CHUNKED, END + HIDDEN),
    "TE.CL": posted(CHUNKED + b"Content-Length: 4\r\n", b"2c\r\n" + HIDDEN + b"\r\n" + END),
    "CL.TE, chunked in capitals": posted(
        b"Content-Length: 4\r\nTRANSFER-ENCODING: CHUNKED\r\n", END + HIDDEN
    ),
    "TE.TE, second is unknown": posted(CHUNKED + b"Transfer-Encoding: x\r\n", END + HIDDEN),
    "TE.TE, first is unknown": posted(b"Transfer-Encoding: x\r\n" + CHUNKED, END + HIDDEN),
    "TE.TE, twice": posted(CHUNKED + CHUNKED, END + HIDDEN),
    "TE with a tab": posted(b"Transfer-Encoding:\tchunked\r\n" + length(END + HIDDEN), END + HIDDEN),
    "TE with a vertical tab": posted(b"Transfer-Encoding: \x0bchunked\r\n" + length(END), END + HIDDEN),
    "TE with a space before the colon": posted(
        b"Transfer-Encoding : chunked\r\n" + length(END), END + HIDDEN
    ),
    "TE in quotes": posted(b'Transfer-Encoding: "chunked"\r\n' + length(END), END + HIDDEN),
    "TE with a parameter": posted(b"Transfer-Encoding: chunked;q=1\r\n" + length(END), END + HIDDEN),
    "TE identity": posted(b"Transfer-Encoding: identity\r\n" + length(HIDDEN), HIDDEN),
    "TE of two codings": posted(b"Transfer-Encoding: gzip, chunked\r\n", END + HIDDEN),
    "TE of two codings, chunked first": posted(b"Transfer-Encoding: chunked, identity\r\n", END + HIDDEN),
    "TE with an underscore": posted(b"Transfer_Encoding: chunked\r\n" + length(END + HIDDEN), END + HIDDEN),
    "TE after a line of nothing": posted(
        b"X: y\r\n\tTransfer-Encoding: chunked\r\n" + length(END), END + HIDDEN
    ),
    "TE after a bare CR": posted(b"X: y\rTransfer-Encoding: chunked\r\n" + length(END), END + HIDDEN),
    "TE after a bare LF": posted(b"X: y\nTransfer-Encoding: chunked\r\n" + length(END), END + HIDDEN),
    "TE, folded": posted(b"Transfer-Encoding:\r\n chunked\r\n" + length(END), END + HIDDEN),
    "TE over HTTP/1.0": posted(CHUNKED, END + HIDDEN).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "CL twice, the same": posted(length(HIDDEN) * 2, HIDDEN),
    "CL twice, different": posted(b"Content-Length: 0\r\n" + length(HIDDEN), HIDDEN),
    "CL as a list": posted(b"Content-Length: 0, 41\r\n", HIDDEN),
    "CL with a sign": posted(b"Content-Length: +41\r\n", HIDDEN),
    "CL negative": posted(b"Content-Length: -1\r\n", HIDDEN),
    "CL in hexadecimal": posted(b"Content-Length: 0x29\r\n", HIDDEN),
    "CL with an underscore": posted(b"Content_Length: 41\r\n", HIDDEN),
    "CL with a space in it": posted(b"Content-Length: 4 1\r\n", HIDDEN),
    "CL of 30 digits": posted(b"Content-Length: 100000000000000000000000000000\r\n", HIDDEN),
    "CL, folded": posted(b"Content-Length:\r\n 41\r\n", HIDDEN),
    "CL on a GET": GET + length(HIDDEN) + b"\r\n" + HIDDEN,
    "CL hidden by Connection": posted(b"Connection: Content-Length\r\n" + length(HIDDEN), HIDDEN),
    "chunk size with a sign": posted(CHUNKED, b"+29\r\n" + HIDDEN + b"\r\n" + END),
    "chunk size with a prefix": posted(CHUNKED, b"0x29\r\n" + HIDDEN + b"\r\n" + END),
    "chunk size of 17 digits": posted(CHUNKED, b"10000000000000029\r\n" + HIDDEN + b"\r\n" + END),
    "chunk size with an underscore": posted(CHUNKED, b"2_9\r\n" + HIDDEN + b"\r\n" + END),
    "chunk with an extension": posted(CHUNKED, b"5;a=b\r\nhello\r\n" + END + HIDDEN),
    "chunk extension with a bare LF": posted(CHUNKED, b"5;a\nhello\r\n" + END + HIDDEN),
    "chunk extension that hides a chunk": posted(CHUNKED, b"2;\n29\r\n" + HIDDEN + b"\r\n" + END),
    "chunk with a bare LF": posted(CHUNKED, b"5\nhello\n0\n\n" + HIDDEN),
    "chunk with bytes beyond its size": posted(CHUNKED, b"3\r\nhello\r\n" + END + HIDDEN),
    "chunk without its end": posted(CHUNKED, b"5\r\nhelloXX0\r\n\r\n" + HIDDEN),
    "last chunk of many zeros": posted(CHUNKED, b"5\r\nhello\r\n0000000\r\n\r\n" + HIDDEN),
    "trailer": posted(CHUNKED, b"5\r\nhello\r\n0\r\nHost: other.test\r\nContent-Length: 41\r\n\r\n" + HIDDEN),
    "trailer with a bare CR": posted(CHUNKED, b"0\r\nX: y\r\r\n\r\n" + HIDDEN),
    "header, folded": GET + b"X: y\r\n z\r\n\r\n",
    "header without a name": GET + b": y\r\n\r\n",
    "header without a colon": GET + b"X\r\n\r\n",
    "header with a NUL": GET + b"X: a\x00b\r\n\r\n",
    "header name with a space": GET + b"X Y: z\r\n\r\n",
    "header name with a bare CR": GET + b"X\rY: z\r\n\r\n",
    "first header, folded": b"GET /first HTTP/1.1\r\n Host: a.test\r\nAUTH\r\n\r\n",
    "bare LF everywhere": (GET + b"\r\n").replace(b"\r\n", b"\n"),
    "bare LF at the end of the head": GET + b"\n" + HIDDEN,
    "bare CR at the end of the head": GET + b"\r" + HIDDEN,
    "empty lines in front": b"\r\n\r\n" + GET + b"\r\n",
    "absolute form": GET.replace(b"/first", b"http://other.test/first") + b"\r\n",
    "absolute form of the same host": GET.replace(b"/first", b"http://a.test/first") + b"\r\n",
    "authority form": GET.replace(b"/first", b"a.test:80") + b"\r\n",
    "asterisk form": GET.replace(b"GET /first", b"OPTIONS *") + b"\r\n",
    "target without a slash": GET.replace(b"/first", b"first") + b"\r\n",
    "target with a space": GET.replace(b"/first", b"/first /smuggled") + b"\r\n",
    "target with a fragment": GET.replace(b"/first", b"/first#/smuggled") + b"\r\n",
    "target with a tab": GET.replace(b"/first", b"/first\t/smuggled") + b"\r\n",
    "target with bytes beyond ASCII": GET.replace(b"/first", b"/first\xff") + b"\r\n",
    "target of two hosts": GET.replace(b"/first", b"//other.test/first") + b"\r\n",
    "Host twice": GET + b"Host: other.test\r\n\r\n",
    "Host with a path": GET.replace(b"a.test", b"a.test/x") + b"\r\n",
    "no Host": GET.replace(b"Host: a.test\r\n", b"") + b"\r\n",
    "method in lower case": GET.replace(b"GET", b"get") + b"\r\n",
    "method unknown": GET.replace(b"GET", b"SMUGGLE") + b"\r\n",
    "method with a colon": GET.replace(b"GET", b"GET:") + b"\r\n",
    "CONNECT": GET.replace(b"GET /first", b"CONNECT a.test:80") + b"\r\n",
    "CONNECT with a path": GET.replace(b"GET", b"CONNECT") + b"\r\n" + HIDDEN,
    "TRACE": GET.replace(b"GET", b"TRACE") + b"\r\n",
    "PRI of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0 in the line": (GET + b"\r\n").replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP/0.9": b"GET /first\r\n\r\n",
    "HTTP/1.2": (GET + b"\r\n").replace(b"HTTP/1.1", b"HTTP/1.2"),
    "version in lower case": (GET + b"\r\n").replace(b"HTTP/1.1", b"http/1.1"),
    "upgrade to HTTP/2": GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    + HIDDEN,
    "upgrade with a body": posted(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + length(HIDDEN), HIDDEN),
    "websocket without a key": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + HIDDEN,
    "websocket of another version": GET
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n"
    + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    + HIDDEN,
    "websocket with a body": posted(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + length(HIDDEN),
        HIDDEN,
    ),
    "pipelined": GET + b"\r\n" + HIDDEN,
    "expectation and no body": posted(b"Expect: 100-continue\r\n" + length(HIDDEN), HIDDEN),
    "another expectation": posted(b"Expect: 100-continue, x\r\n" + length(HIDDEN), HIDDEN),
}
# Of these all that follows is the body of the first request, whatever it looks like, as the door decided.
WHOLE = {"TE with an underscore", "CL on a GET", "upgrade with a body", "expectation and no body"}


class Noting(RecordingDoor):
    """Keeps what it admits."""

    admitted: list[tuple[str, str]]

    def admit_cached(self, headers: RawHeaders, method: str, path: str) -> Admission | None:
        return None

    async def aadmit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        outcome = await super().aadmit(headers, request)
        if isinstance(outcome, Admission):
            self.admitted.append((request.method, request.sent_path))
        return outcome


class Place:
    """A gateway before an upstream of one kind."""

    def __init__(self, server: GatewayServer, door: Noting, upstream: str, authorization: str) -> None:
        self.door = door
        self.server = server
        self.upstream = upstream
        self.authorization = authorization

    def send(self, payload: bytes) -> bytes:
        received = b""
        with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as client:
            client.sendall(payload.replace(b"AUTH", f"Authorization: {self.authorization}".encode()))
            client.settimeout(QUIET)
            with contextlib.suppress(TimeoutError, ConnectionError):
                while data := client.recv(65_536):
                    received += data
        return received

    def seen(self, payload: bytes) -> list[dict[str, Any]]:
        """Send, and return what the upstream has seen of it; what comes next gets its own answer."""
        self.door.admitted = []
        self.send(payload)
        admitted = self.door.admitted
        headers = {"authorization": self.authorization}
        after = httpx.get(f"{self.server.url}/after", headers=headers, trust_env=False)
        assert ("/after", "") == (after.json()["target"], after.json()["body"])
        seen: list[dict[str, Any]] = httpx.get(self.upstream + SEEN, trust_env=False).json()
        assert seen.pop()["target"] == "/after"
        decided = [one for one in seen if (one["method"], one["target"].partition("?")[0]) in admitted]
        assert decided == seen
        assert len(seen) <= len(admitted)
        return seen


@pytest.fixture(scope="module", params=UPSTREAMS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    world = World()
    door = Noting(door_of(world))
    door.admitted = []
    with (
        UPSTREAMS[request.param](tmp_path_factory.mktemp("upstream")) as url,
        serving(door, Upstream(url)) as server,
    ):
        yield Place(server, door, url, f"Bearer {world.token()}")


@pytest.mark.parametrize("name", CORPUS)
def test_an_upstream_sees_what_the_door_decided_on_or_nothing(place: Place, name: str) -> None:
    seen = place.seen(CORPUS[name])

    assert [] == [one for one in seen if not one["target"].startswith(("/first", "//other.test/first"))]
    assert {"a.test"} >= {one["host"] for one in seen}
    bodies = {"", "hello"} | ({HIDDEN.decode(), (END + HIDDEN).decode()} if name in WHOLE else set())
    assert bodies >= {one["body"] for one in seen}


def test_an_ordinary_request_is_seen_once_as_it_was_sent(place: Place) -> None:
    expected = {"method": "POST", "target": "/first?a=%2F", "host": "a.test", "body": "hello"}
    sent = posted(b"Content-Length: 5\r\n", b"hello").replace(b"/first", b"/first?a=%2F")

    assert [expected] == place.seen(sent)
    assert [expected] == place.seen(
        sent.replace(b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"\r\n5\r\nhello\r\n" + END)
    )
