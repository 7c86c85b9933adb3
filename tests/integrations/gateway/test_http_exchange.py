"""Requests and answers through the gateway, byte by byte, to an upstream that records what it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from typing import Any

import pytest

from doorward_integrations.gateway import GatewayServer, Upstream
from support.gateway import PATIENCE, Connection, RawUpstream, door_of, exchange, head_and_body, serving
from support.world import World

CHUNKED = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_admitted_request_reaches_the_upstream_with_the_signature_removed(
    front: Any, upstream: RawUpstream
) -> None:
    status, _, body = head_and_body(front.send(b"GET /orders?x=1"))

    assert (200, b"ok") == (status, body)
    (request,) = upstream.requests
    assert request.startswith(b"GET /orders?x=1 HTTP/1.1\r\n")
    assert re.search(rb"\r\nauthorization: Bearer [\w-]+\.[\w-]+\.SIGNATURE_REMOVED_BY_GOOGLE\r\n", request)


def test_a_refused_request_never_reaches_the_upstream(server: GatewayServer, upstream: RawUpstream) -> None:
    answer = exchange(server.port, b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")

    assert 403 == head_and_body(answer)[0]
    assert [] == upstream.requests


@pytest.mark.parametrize(
    "target",
    [
        b"/a%2Fb",
        b"//a//b",
        b"/a/%2e%2e/b",
        b"/a/../b",
        b"/%E2%82%AC?q=%20+%2B&&q",
        b"/a;b=c,d@e:f",
        b'/a|b\\c"d<e>{f}^`',
        b"/?a?b=/c",
        b"/%zz",
    ],
    ids=bytes.decode,
)
def test_a_target_is_sent_on_byte_for_byte(front: Any, upstream: RawUpstream, target: bytes) -> None:
    front.send(b"GET " + target)

    assert [target] == [request.split()[1] for request in upstream.requests]


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND", b"M-SEARCH"])
def test_a_method_is_sent_on(front: Any, upstream: RawUpstream, method: bytes) -> None:
    front.send(method + b" /")

    assert [method] == [request.split()[0] for request in upstream.requests]


def test_headers_are_sent_on_in_their_order_doubled_ones_too(front: Any, upstream: RawUpstream) -> None:
    front.send(b"GET /", b"X-B: 1", b"X-A: \xe2\x82\xac", b"X-B: 2", b"Cookie: a=b; c", b"X-Empty:")

    (request,) = upstream.requests
    assert b"\r\nx-b: 1\r\nx-a: \xe2\x82\xac\r\nx-b: 2\r\ncookie: a=b; c\r\nx-empty: \r\n" in request
    assert b"\r\nhost: orders.test\r\n" in request


def test_nothing_is_added_that_the_client_did_not_send_but_what_cloud_run_adds(
    front: Any, upstream: RawUpstream
) -> None:
    front.send(b"GET /")

    names = re.findall(rb"\r\n([\w-]+):", upstream.requests[0])
    added = [b"x-forwarded-for", b"x-forwarded-proto", b"x-cloud-trace-context", b"traceparent"]
    assert [b"host", b"authorization", *added] == names


def test_the_length_of_a_body_is_sent_on_as_it_is(front: Any, upstream: RawUpstream) -> None:
    front.send(b"POST /", b"Content-Length: 5", body=b"hello")

    (request,) = upstream.requests
    assert request.endswith(b"\r\n\r\nhello")
    assert 1 == request.count(b"content-length: 5")
    assert b"transfer-encoding" not in request


def test_a_chunked_body_is_sent_on_in_chunks(front: Any, upstream: RawUpstream) -> None:
    front.send(b"POST /", b"Transfer-Encoding: chunked", body=CHUNKED)

    (request,) = upstream.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"content-length" not in head.lower()
    assert b"hello world" == b"".join(re.findall(rb"[\da-f]+\r\n(.*?)\r\n", body))


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"DELETE"])
def test_an_empty_body_with_its_length_is_sent_on(front: Any, upstream: RawUpstream, method: bytes) -> None:
    front.send(method + b" /", b"Content-Length: 0")

    assert 1 == upstream.requests[0].lower().count(b"content-length: 0")


def test_an_answer_is_handed_back_with_its_length_and_both_cookies(front: Any, upstream: RawUpstream) -> None:
    upstream.answer = (
        b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nX-Z: \xe9\r\n"
        b"set-cookie: b=2; Path=/\r\n"
        b"Content-Encoding: gzip\r\nServer: theirs\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n\x1f\x8b"
    )
    status, headers, body = head_and_body(front.send(b"GET /", b"Accept-Encoding: gzip"))

    expected = {
        "content-length": ["2"],
        "set-cookie": ["a=1", "b=2; Path=/"],
        "x-z": ["é"],
        "content-encoding": ["gzip"],
        "server": ["theirs"],
        "date": ["Thu, 01 Jan 1970 00:00:00 GMT"],
        "connection": ["close"],
    }
    assert (201, expected, b"\x1f\x8b") == (status, headers, body)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"HEAD /", b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n"),
        (b"GET /", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET /", b'HTTP/1.1 304 Not Modified\r\ncontent-length: 12345\r\netag: "a"\r\n\r\n'),
    ],
    ids=["HEAD", "204", "304"],
)
def test_an_answer_without_content_keeps_its_headers_and_the_connection(
    front: Any, upstream: RawUpstream, line: bytes, answer: bytes
) -> None:
    upstream.answer = answer
    first = front.request(line, last=False)
    received = exchange(front.server.port, first, front.request(line))

    expected = [one for one in answer.split(b"\r\n")[1:] if one]
    for received_one in received.split(b"HTTP/1.1 ")[1:]:
        assert [] == [one for one in expected if one not in received_one]
        assert b"transfer-encoding" not in received_one
    assert 3 == len(received.split(b"HTTP/1.1 "))


def test_what_ends_at_the_gateway_is_not_handed_back(front: Any, upstream: RawUpstream) -> None:
    upstream.answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
        b"Proxy-Authenticate: Basic\r\nTrailer: x\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    _, headers, body = head_and_body(front.send(b"GET /"))

    assert {"transfer-encoding", "connection", "date"} == set(headers)
    assert b"2\r\nok\r\n0\r\n\r\n" == body


def test_interim_answers_are_left_out(front: Any, upstream: RawUpstream) -> None:
    upstream.answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + upstream.answer

    assert (200, b"ok") == head_and_body(front.send(b"GET /"))[::2]


def test_a_piece_of_an_answer_arrives_before_the_next_one_is_there(front: Any, upstream: RawUpstream) -> None:
    proceed = threading.Event()

    async def talk(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        await connection.write(b"9\r\ndata: 1\n\n\r\n")
        await asyncio.to_thread(proceed.wait, PATIENCE)
        await connection.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    upstream.talk = talk
    with socket.create_connection(("127.0.0.1", front.server.port), PATIENCE) as client:
        client.sendall(front.request(b"GET /events"))
        received = b""
        while b"data: 1\n\n" not in received:
            received += client.recv(65_536)
        assert b"data: 2" not in received
        proceed.set()
        while data := client.recv(65_536):
            received += data
    assert received.endswith(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")


def test_the_client_is_asked_for_its_body_only_after_it_was_admitted(
    front: Any, upstream: RawUpstream
) -> None:
    head = front.request(b"POST /", b"Expect: 100-continue", b"Content-Length: 5")
    with socket.create_connection(("127.0.0.1", front.server.port), PATIENCE) as client:
        client.sendall(head)
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == client.recv(65_536)
        client.sendall(b"hello")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK")
    assert upstream.requests[0].endswith(b"\r\n\r\nhello")

    refused = head.replace(front.authorization, b"X-None: 1")
    assert exchange(front.server.port, refused, until=b"</html>").startswith(b"HTTP/1.1 403 ")


def test_a_body_is_not_asked_for_where_the_upstream_is_away(world: World, authorization: bytes) -> None:
    with serving(door_of(world), Upstream(f"http://127.0.0.1:{closed_port()}")) as server:
        head = b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
        answer = exchange(server.port, head + authorization + b"\r\n\r\n", until=b"reached.")

    assert 502 == head_and_body(answer)[0]


def test_an_upstream_that_takes_too_long_is_504(
    world: World, upstream: RawUpstream, authorization: bytes
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.read_request()
        await connection.read_some()

    upstream.talk = talk
    slow = Upstream(f"http://127.0.0.1:{upstream.port}", request_timeout=0.1)
    with serving(door_of(world), slow) as server:
        request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n" + authorization + b"\r\n\r\n"
        answer = exchange(server.port, request)

    assert 504 == head_and_body(answer)[0]
    assert upstream.ended.wait(PATIENCE)


@pytest.mark.parametrize(
    "answer",
    [
        b"nothing of HTTP\r\n\r\n",
        b"",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["not HTTP", "nothing", "101"],
)
def test_an_upstream_without_a_usable_answer_is_502(front: Any, upstream: RawUpstream, answer: bytes) -> None:
    async def talk(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(answer)

    upstream.talk = talk
    assert 502 == head_and_body(front.send(b"POST /", b"Content-Length: 0"))[0]


@pytest.mark.parametrize(
    "begun",
    [b"content-length: 10\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ids=["length", "chunked"],
)
def test_an_answer_that_is_cut_short_ends_the_connection_of_the_client(
    front: Any, upstream: RawUpstream, begun: bytes
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(b"HTTP/1.1 200 OK\r\n" + begun)

    upstream.talk = talk
    received = exchange(front.server.port, front.request(b"GET /", last=False))

    assert b"hello" in received
    assert not received.endswith(b"0\r\n\r\n")


def test_the_upstream_sees_that_the_client_leaves(front: Any, upstream: RawUpstream) -> None:
    async def talk(connection: Connection) -> None:
        await connection.read_request()
        assert b"" == await connection.read_some()

    upstream.talk = talk
    with socket.create_connection(("127.0.0.1", front.server.port), PATIENCE) as client:
        client.sendall(front.request(b"GET /"))
    assert upstream.ended.wait(PATIENCE)


def test_the_upstream_sees_that_the_client_leaves_during_its_body(front: Any, upstream: RawUpstream) -> None:
    begun = threading.Event()

    async def talk(connection: Connection) -> None:
        await connection.read_head()
        begun.set()
        while await connection.read_some():
            pass

    upstream.talk = talk
    with socket.create_connection(("127.0.0.1", front.server.port), PATIENCE) as client:
        client.sendall(front.request(b"PUT /", b"Content-Length: 10", body=b"hello"))
        assert begun.wait(PATIENCE)
    assert upstream.ended.wait(PATIENCE)


def test_an_answer_may_come_before_the_body_is_whole(front: Any, upstream: RawUpstream) -> None:
    async def talk(connection: Connection) -> None:
        await connection.read_head()
        await connection.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        with contextlib.suppress(ConnectionError):
            while await connection.read_some():
                pass

    upstream.talk = talk
    head = front.request(b"POST /", b"Content-Length: 1000000", last=False)
    answer = exchange(front.server.port, head, b"x" * 100, until=b"big")

    assert 413 == head_and_body(answer)[0]
    assert upstream.ended.wait(PATIENCE)


def test_a_body_that_was_sent_is_not_sent_again_on_another_connection(
    front: Any, upstream: RawUpstream
) -> None:
    bodies: list[bytes] = []

    async def talk(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(upstream.answer)
        bodies.append(await connection.read_request())

    upstream.talk = talk
    put = front.request(b"PUT /", b"Content-Length: 5", body=b"hello", last=False)
    with socket.create_connection(("127.0.0.1", front.server.port), PATIENCE) as client:
        client.sendall(put)
        received = client.recv(65_536)
        assert received.startswith(b"HTTP/1.1 200 ")
        while not received.endswith(b"\r\n\r\nok"):  # head and body may come one after the other
            received += client.recv(65_536)
        client.sendall(put)
        assert client.recv(65_536).startswith(b"HTTP/1.1 502 ")
    assert 1 == len(bodies)


def test_grpc_is_answered_with_where_it_goes_instead(front: Any, upstream: RawUpstream) -> None:
    for kind in (b"application/grpc", b"application/grpc+proto", b"Application/GRPC;x=y"):
        status, _, body = head_and_body(front.send(b"POST /a.B/C", b"Content-Type: " + kind))
        assert 415 == status
        assert b"Envoy" in body
    assert [] == upstream.requests

    front.send(b"POST /a.B/C", b"Content-Type: application/grpc-web")
    assert 1 == len(upstream.requests)


def test_requests_over_the_concurrency_wait_and_are_429_after_a_time(
    world: World, upstream: RawUpstream, authorization: bytes
) -> None:
    busy = threading.Event()
    proceed = threading.Event()

    async def talk(connection: Connection) -> None:
        await connection.read_request()
        busy.set()
        await asyncio.to_thread(proceed.wait, PATIENCE)
        await connection.write(upstream.answer)

    upstream.talk = talk
    one = Upstream(f"http://127.0.0.1:{upstream.port}", concurrency=1, pending=0.05)
    request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n" + authorization + b"\r\n\r\n"
    with serving(door_of(world), one) as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            client.sendall(request)
            assert busy.wait(PATIENCE)
            assert 429 == head_and_body(exchange(server.port, request))[0]
            proceed.set()
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert 200 == head_and_body(exchange(server.port, request))[0]
