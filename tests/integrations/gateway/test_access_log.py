"""The access log: one line of JSON for each request, with the reason for a refusal."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from doorward_integrations.gateway import GatewayServer
from doorward_integrations.gateway.access_log import ACCESS_LOG
from support.gateway import RawUpstream, exchange
from support.tokens import MEMBER
from support.world import World

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, server: GatewayServer) -> Lines:
    caplog.set_level(logging.INFO, ACCESS_LOG)

    def stop_and_read() -> list[dict[str, Any]]:
        server.stop()
        return [json.loads(one.getMessage()) for one in caplog.records if one.name == ACCESS_LOG]

    return stop_and_read


def test_an_admitted_request_has_one_line_as_cloud_run_writes_it(front: Any, lines: Lines) -> None:
    front.send(b"POST /orders?key=secret", b"Content-Length: 5", b"User-Agent: tests/1", body=b"hello")
    (line,) = lines()

    request = line["httpRequest"]
    assert 0 <= float(request.pop("latency").removesuffix("s"))
    assert {
        "requestMethod": "POST",
        "requestUrl": "http://orders.test/orders",
        "requestSize": "5",
        "status": 200,
        "responseSize": "2",
        "userAgent": "tests/1",
        "remoteIp": "127.0.0.1",
        "protocol": "HTTP/1.1",
    } == request
    assert ("INFO", {"member": MEMBER}) == (line["severity"], line["doorward"])
    assert 32 == len(line["logging.googleapis.com/trace"])


def test_a_refused_request_has_a_line_with_the_reason(server: GatewayServer, lines: Lines) -> None:
    exchange(server.port, b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    (line,) = lines()

    assert (403, "WARNING") == (line["httpRequest"]["status"], line["severity"])
    assert "no_credential" == line["doorward"]["reason"]


@pytest.mark.parametrize(
    ("request_line", "header", "reason"),
    [
        (b"TRACE /", b"X: y", "bad_method"),
        (b"GET /", b"Host: other.test", "doubled_header"),
        (b"GET /", b"X: " + b"a" * 65_536, "headers_too_large"),
        (b"GET /", b"X y", "not_http"),
        (b"POST /", b"Content-Type: application/grpc", "grpc_not_carried"),
    ],
)
def test_a_request_that_is_not_carried_has_a_line_with_the_reason(
    front: Any, lines: Lines, request_line: bytes, header: bytes, reason: str
) -> None:
    front.send(request_line, header)

    assert [reason] == [line["doorward"]["reason"] for line in lines()]


def test_an_answer_that_was_cut_short_has_a_line_that_says_so(
    front: Any, upstream: RawUpstream, lines: Lines
) -> None:
    async def talk(connection: Any) -> None:
        await connection.read_request()
        await connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")

    upstream.talk = talk
    front.send(b"GET /")
    (line,) = lines()

    assert (200, "upstream_cut_short") == (line["httpRequest"]["status"], line["doorward"]["reason"])


def test_a_token_is_in_no_line_wherever_it_was_sent(front: Any, world: World, lines: Lines) -> None:
    token = world.token().encode()
    front.send(b"GET /" + token + b"?t=" + token, b"User-Agent: x " + token)
    exchange(
        front.server.port,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + token + b"\r\n\r\n",
    )

    text = json.dumps(lines())
    parts = [token[start : start + 17].decode() for start in range(len(token) - 17)]
    assert [] == [part for part in parts if part in text]
