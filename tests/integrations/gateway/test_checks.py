"""Which requests are refused before the door, since two servers could read them differently."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import Door, InvokerPolicy
from doorward.door.credentials import CredentialHeaders, find_credential
from doorward.door.forwarding import forwarding_for
from doorward_integrations.gateway import Upstream
from doorward_integrations.gateway.checks import fault_of
from support.gateway import RawUpstream, exchange, head_and_body, serving
from support.world import World

HOST = (b"host", b"orders.test")
GUARDED = forwarding_for(find_credential).watched


def scope_of(*headers: tuple[bytes, bytes], **changed: Any) -> dict[str, Any]:
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "raw_path": b"/", "query_string": b""}
    return scope | {"headers": list(headers)} | changed


def reason(scope: dict[str, Any], largest: int = 65_536) -> tuple[int, str] | None:
    fault = fault_of(scope, largest, GUARDED)
    return None if fault is None else (fault.status, fault.reason)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"content-length", b"5"), (b"content-length", b"5")], (400, "doubled_header")),
        ([(b"content-length", b"5"), (b"content-length", b"6")], (400, "doubled_header")),
        ([(b"content-length", b"5, 5")], (400, "bad_framing")),
        ([(b"content-length", b"+5")], (400, "bad_framing")),
        ([(b"content-length", b"0x5")], (400, "bad_framing")),
        ([(b"content-length", b"")], (400, "bad_framing")),
        ([(b"content-length", b"9" * 19)], (400, "bad_framing")),
        ([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], (400, "bad_framing")),
        ([(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], (400, "doubled_header")),
        ([(b"transfer-encoding", b"gzip, chunked")], (501, "bad_framing")),
        ([(b"transfer-encoding", b"identity")], (501, "bad_framing")),
        ([(b"transfer-encoding", b"chunked\x0b")], (400, "bad_header")),
        ([HOST], (400, "doubled_header")),
        ([(b"expect", b"200-ok")], (417, "bad_expectation")),
        ([(b"connection", b"close, Authorization")], (400, "bad_connection")),
        ([(b"connection", b"X-Goog-IAP-JWT-Assertion")], (400, "bad_connection")),
        ([(b"connection", b"x_serverless_authorization")], (400, "bad_connection")),
        ([(b"connection", b"host")], (400, "bad_connection")),
        ([(b"connection", b"content-length")], (400, "bad_connection")),
        ([(b"x-latin", b"\xe9")], (400, "bad_header")),
        ([(b"x-control", b"a\x00b")], (400, "bad_header")),
        ([(b"x-line", b"a\r\nb: c")], (400, "bad_header")),
        ([(b"x-long", b"a" * 65_536)], (431, "headers_too_large")),
        ([(b"a", b"")] * 256, (431, "headers_too_large")),
    ],
    ids=range(24),
)
def test_headers_that_can_be_read_in_two_ways_are_refused(
    headers: list[tuple[bytes, bytes]], expected: tuple[int, str]
) -> None:
    assert expected == reason(scope_of(HOST, *headers, method="POST"))


@pytest.mark.parametrize("host", [b"", b"a/b", b"a b", b"a@b", b"a,b", b"a:b:c", b"../a"])
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    assert (400, "bad_host") == reason(scope_of((b"host", host)))


def test_a_request_without_a_host_is_refused() -> None:
    assert (400, "bad_host") == reason(scope_of())


@pytest.mark.parametrize("host", [b"a", b"a.test:8080", b"127.0.0.1", b"[::1]:80", b"A.Test"])
def test_a_host_is_a_name_or_an_address_with_or_without_a_port(host: bytes) -> None:
    assert reason(scope_of((b"host", host))) is None


@pytest.mark.parametrize(
    "target", [b"", b"*", b"http://a.test/", b"a.test:443", b"/a b", b"/a#b", b"/\xe9", b"/\x00", b"/a\x7f"]
)
def test_a_target_that_is_no_plain_path_is_refused(target: bytes) -> None:
    assert (400, "bad_target") == reason(scope_of(HOST, raw_path=target))


@pytest.mark.parametrize("query", [b"a b", b"#", b"\xe9"])
def test_a_query_that_is_not_plain_is_refused(query: bytes) -> None:
    assert (400, "bad_target") == reason(scope_of(HOST, query_string=query))


@pytest.mark.parametrize(
    ("method", "status"),
    [("CONNECT", 405), ("TRACE", 405), ("get", 400), ("Get", 400), ("", 400), ("G T", 400)],
)
def test_a_method_that_cannot_be_sent_on_as_it_is_is_refused(method: str, status: int) -> None:
    assert (status, "bad_method") == reason(scope_of(HOST, method=method))


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2"])
def test_another_version_of_http_is_refused(version: str) -> None:
    assert (505, "bad_version") == reason(scope_of(HOST, http_version=version))


def test_a_chunked_body_over_http_1_0_is_refused() -> None:
    scope = scope_of(HOST, (b"transfer-encoding", b"chunked"), http_version="1.0")
    assert (400, "bad_framing") == reason(scope)


def test_an_ordinary_request_has_no_fault() -> None:
    headers = [HOST, (b"content-length", b"5"), (b"connection", b"keep-alive"), (b"expect", b"100-Continue")]
    assert reason(scope_of(*headers, method="POST", raw_path=b"/a%2F", query_string=b"b=c?d")) is None


def test_the_bound_on_headers_is_a_setting() -> None:
    assert (431, "headers_too_large") == reason(scope_of(HOST, (b"a", b"b" * 100)), largest=100)


def test_connection_may_not_name_a_header_of_the_door_s_own_choice(
    world: World, upstream: RawUpstream
) -> None:
    door = Door(world.verifier(), InvokerPolicy.all_users(), credential=CredentialHeaders(b"x-shop-token"))
    request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Shop-Token\r\n\r\n"
    with serving(door, Upstream(f"http://127.0.0.1:{upstream.port}")) as server:
        assert 400 == head_and_body(exchange(server.port, request))[0]
    assert [] == upstream.requests
