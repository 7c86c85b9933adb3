"""Asking a key endpoint, over real sockets on the loopback interface."""

from __future__ import annotations

import ast
import contextlib
import gzip
import ipaddress
import socket
import ssl
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import doorward
from doorward.errors import ConfigurationError, FetchError
from doorward.keys.fetch import DEADLINE, SIZE_LIMIT, FetchResponse, HttpxFetch
from doorward.keys.http.connecting import AddressSharing
from doorward.keys.http.proxies import choose_proxy
from support.clock import ManualClock
from support.httpendpoint import HttpEndpoint, Peer, Script, answering, repeating, response, sending
from support.tokens import ec_key

MIB = 1024 * 1024
PLENTY = 64 * MIB
SHORT = 0.3
"""Seconds of a deadline that a test waits for."""
ENOUGH = 5.0
"""Seconds in which whatever a deadline of `SHORT` cuts off must have come to its end, on a busy machine."""

BUNDLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

Serve = Callable[..., HttpEndpoint]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", *BUNDLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start endpoints, which end with the test."""
    started: list[HttpEndpoint] = []

    def start(script: Script, tls: ssl.SSLContext | None = None) -> HttpEndpoint:
        endpoint = HttpEndpoint(script, tls)
        started.append(endpoint)
        return endpoint.__enter__()

    yield start
    for endpoint in started:
        endpoint.close()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count every look-up and let none out."""
    asked: list[object] = []

    def look_up(*args: object, **_: object) -> NoReturn:
        asked.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec_key("tls")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "doorward test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path / "endpoint.pem"
    path.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def failure(url: str, fetch: HttpxFetch | None = None, **headers: str) -> FetchError:
    """Fetch, and give the error that it must fail with."""
    with pytest.raises(FetchError) as caught:
        (fetch or HttpxFetch())(url, headers)
    return caught.value


def timed_failure(url: str, **settings: Any) -> FetchError:
    """Fetch under a short deadline, and give the error, which must have come soon."""
    began = time.monotonic()
    error = failure(url, HttpxFetch(deadline=SHORT, **settings))
    assert ENOUGH > time.monotonic() - began
    return error


# What is usable.


def test_a_200_gives_its_body_and_its_headers_with_names_in_lower_case(serve: Serve) -> None:
    endpoint = serve(answering(b'{"keys": []}', 'ETag: "1"', "CACHE-CONTROL: max-age=60"))

    answer = HttpxFetch()(endpoint.url, {})

    assert b'{"keys": []}' == answer.body
    assert ('"1"', "max-age=60") == (answer.headers["etag"], answer.headers["cache-control"])


def test_an_answer_without_a_length_ends_with_its_connection(serve: Serve) -> None:
    endpoint = serve(answering(b"{}", length=-1))

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body


def test_an_answer_in_chunks_is_put_together(serve: Serve) -> None:
    head = response(b"", "Transfer-Encoding: chunked", length=-1)
    endpoint = serve(sending(head + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"))

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body


def test_repeated_headers_are_joined_as_http_says(serve: Serve) -> None:
    endpoint = serve(answering(b"{}", "Cache-Control: public", "Cache-Control: max-age=60"))

    assert "public, max-age=60" == HttpxFetch()(endpoint.url, {}).headers["cache-control"]


def test_it_asks_with_get_for_json_and_gzip_and_nothing_else(serve: Serve) -> None:
    endpoint = serve(answering(b"{}"))

    HttpxFetch()(endpoint.url + "?v=3", {"cache-control": "no-cache"})

    (request,) = endpoint.requests
    assert ("GET", "/certs?v=3") == (request.method, request.target)
    assert {
        "host": endpoint.url.removeprefix("http://").removesuffix("/certs"),
        "connection": "keep-alive",
        "accept": "application/json",
        "accept-encoding": "gzip",
        "user-agent": "doorward",
        "cache-control": "no-cache",
    } == request.headers


def test_no_cookie_of_one_answer_is_sent_with_the_next_request(serve: Serve) -> None:
    endpoint = serve(answering(b"{}", "Set-Cookie: seen=1; Path=/"))
    fetch = HttpxFetch()

    fetch(endpoint.url, {})
    fetch(endpoint.url, {})

    assert ["cookie" in request.headers for request in endpoint.requests] == [False, False]


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity"])
def test_gzip_is_undone(serve: Serve, coding: str) -> None:
    body = b"{}" if coding == "identity" else gzip.compress(b"{}")
    endpoint = serve(answering(body, f"Content-Encoding: {coding}"))

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body


def test_gzip_that_arrives_byte_by_byte_is_undone(serve: Serve) -> None:
    body = gzip.compress(bytes(range(256)) * 40)

    def script(peer: Peer) -> None:
        peer.send(response(b"", "Content-Encoding: gzip", length=len(body)))
        for byte in body:
            peer.send(bytes([byte]))

    assert bytes(range(256)) * 40 == HttpxFetch()(serve(script).url, {}).body


# Conditional requests.


@pytest.mark.parametrize(
    "validator",
    [{"if-none-match": '"1"'}, {"if-modified-since": "Thu, 01 Jan 2026 00:00:00 GMT"}],
    ids=["etag", "date"],
)
def test_a_304_to_a_conditional_request_says_that_nothing_changed(
    serve: Serve, validator: dict[str, str]
) -> None:
    endpoint = serve(answering("Cache-Control: max-age=60", status="304 Not Modified", length=-1))

    answer = HttpxFetch()(endpoint.url, validator)

    assert FetchResponse(None, answer.headers) == answer
    assert "max-age=60" == answer.headers["cache-control"]
    assert validator.items() <= endpoint.requests[0].headers.items()


def test_a_304_to_an_unconditional_request_is_an_error(serve: Serve) -> None:
    endpoint = serve(answering(status="304 Not Modified", length=-1))

    assert "status" == failure(endpoint.url).stage


# Other statuses.


@pytest.mark.parametrize(
    "status",
    ["201 Created", "204 No Content", "206 Partial Content", "404 Not Found", "500 Oops", "503 Busy"],
)
def test_any_other_status_is_an_error_that_names_it(serve: Serve, status: str) -> None:
    endpoint = serve(answering(status=status, length=-1 if status.startswith("204") else None))

    error = failure(endpoint.url)

    assert ("status", None) == (error.stage, error.retry_after)
    assert f"answered with {status[:3]}, not 200" == error.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("99999999999999999999", 9_999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\xb2", None),
        ("1, 2", None),
    ],
)
def test_the_seconds_of_retry_after_are_read_and_garbage_is_not(
    serve: Serve, header: str, seconds: float | None
) -> None:
    endpoint = serve(answering(f"Retry-After: {header}", status="429 Too Many Requests"))

    assert seconds == failure(endpoint.url).retry_after


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90.0), (-90, 0.0)], ids=["future", "past"])
def test_the_date_of_retry_after_is_read_and_the_past_is_now(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, ahead: int, seconds: float
) -> None:
    clock = ManualClock()
    monkeypatch.setattr("doorward.keys.http.reader.time", SimpleNamespace(time=clock))
    date = formatdate(clock.now + ahead, usegmt=True)
    endpoint = serve(answering(f"Retry-After: {date}", status="503 Busy"))

    assert seconds == failure(endpoint.url).retry_after


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_a_redirect_is_not_followed(serve: Serve, status: str) -> None:
    elsewhere = serve(answering(b"{}"))
    endpoint = serve(answering(f"Location: {elsewhere.url}", status=status))

    assert "status" == failure(endpoint.url).stage
    assert (1, 0) == (len(endpoint.requests), len(elsewhere.requests))


# Sizes.


def test_a_body_of_exactly_the_limit_is_accepted(serve: Serve) -> None:
    endpoint = serve(answering(b"x" * 1000))

    assert b"x" * 1000 == HttpxFetch(limit=1000)(endpoint.url, {}).body


def test_a_body_of_one_byte_more_is_not(serve: Serve) -> None:
    endpoint = serve(answering(b"x" * 1001))

    assert "size" == failure(endpoint.url, HttpxFetch(limit=1000)).stage


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (response(length=PLENTY), b"x" * 65_536),
        (response(b"", "Transfer-Encoding: chunked", length=-1), b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        (response(length=-1), b"x" * 65_536),
    ],
    ids=["content-length", "chunked", "neither"],
)
def test_a_body_over_the_limit_is_not_read_to_its_end(serve: Serve, head: bytes, piece: bytes) -> None:
    endpoint = serve(repeating(head, piece, PLENTY // 65_536))

    error = failure(endpoint.url)

    endpoint.settle()
    assert ("size", f"the answer is over {SIZE_LIMIT} bytes") == (error.stage, error.message)
    assert PLENTY // 2 > endpoint.sent[0]


def test_a_gzip_bomb_is_not_blown_up(serve: Serve) -> None:
    bomb = gzip.compress(bytes(PLENTY))
    assert SIZE_LIMIT > len(bomb)
    endpoint = serve(answering(bomb, "Content-Encoding: gzip"))
    HttpxFetch()  # whatever is only loaded once is not measured
    tracemalloc.start()
    try:
        error = failure(endpoint.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert ("size", f"the answer is over {SIZE_LIMIT} bytes when decompressed") == (
        error.stage,
        error.message,
    )
    assert 4 * MIB > peak


@pytest.mark.parametrize("size", [SIZE_LIMIT, SIZE_LIMIT + 1], ids=["limit", "over"])
def test_the_limit_holds_to_the_byte_for_what_is_decompressed(serve: Serve, size: int) -> None:
    endpoint = serve(answering(gzip.compress(bytes(size)), "Content-Encoding: gzip"))

    if size > SIZE_LIMIT:
        assert "size" == failure(endpoint.url).stage
    else:
        assert bytes(size) == HttpxFetch()(endpoint.url, {}).body


def test_padding_behind_a_gzip_stream_counts_too(serve: Serve) -> None:
    head = response(gzip.compress(b"{}"), "Content-Encoding: gzip", length=-1)
    endpoint = serve(repeating(head, bytes(65_536), PLENTY // 65_536))

    assert "size" == failure(endpoint.url).stage
    endpoint.settle()
    assert PLENTY // 2 > endpoint.sent[0]


# Contents that cannot be.


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "compress", "*"])
def test_a_content_coding_that_was_not_asked_for_is_refused(serve: Serve, coding: str) -> None:
    endpoint = serve(answering(b"{}", f"Content-Encoding: {coding}"))

    assert "content" == failure(endpoint.url).stage


@pytest.mark.parametrize(
    "body", [b"{}", gzip.compress(b"{}")[:-3] + b"abc"], ids=["not-gzip", "bad-checksum"]
)
def test_damaged_gzip_is_refused(serve: Serve, body: bytes) -> None:
    endpoint = serve(answering(body, "Content-Encoding: gzip"))

    assert "content" == failure(endpoint.url).stage


@pytest.mark.parametrize(
    "raw",
    [
        response(b"{}", length=100),
        response(b"", "Transfer-Encoding: chunked", length=-1) + b"5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        b"{}\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n{}",
    ],
    ids=["body", "chunk", "head", "nothing", "no-http", "two-lengths", "negative-length", "huge-head"],
)
def test_an_answer_cut_short_or_not_http_fails_while_reading(serve: Serve, raw: bytes) -> None:
    endpoint = serve(sending(raw))

    assert "read" == failure(endpoint.url).stage


# Deadlines.


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (response(length=1000), b"x"),
        (response(b"", "Transfer-Encoding: chunked", length=-1), b"1\r\nx\r\n"),
        (response(b"", "Content-Encoding: gzip", length=-1) + gzip.compress(b"{}"), b"\0"),
        (response(b"{}", length=-1), b" "),
    ],
    ids=["headers", "interim-answers", "content-length", "chunked", "gzip", "neither"],
)
def test_a_slow_drip_ends_at_the_deadline(serve: Serve, head: bytes, piece: bytes) -> None:
    endpoint = serve(repeating(head, piece, 2000, pause=0.02))

    error = timed_failure(endpoint.url)

    assert ("deadline", "no whole answer in 0.3 s, at read") == (error.stage, error.message)


@pytest.mark.parametrize(
    "raw", [b"", response(length=10), response(b"{}", length=-1)], ids=["nothing", "body", "neither"]
)
def test_silence_ends_at_the_deadline(serve: Serve, raw: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.send(raw)
        peer.linger()

    assert "deadline" == timed_failure(serve(script).url).stage


def test_a_handshake_that_does_not_come_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = timed_failure(f"https://127.0.0.1:{mute.getsockname()[1]}/")

    assert ("deadline", "no whole answer in 0.3 s, at tls") == (error.stage, error.message)


def test_a_slow_drip_under_tls_ends_at_the_deadline(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    endpoint = serve(repeating(response(b"{}", length=-1), b" ", 2000, pause=0.02), tls)

    assert "deadline" == timed_failure(endpoint.url).stage


def test_what_arrived_in_time_but_ended_after_the_deadline_is_no_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a connection cut at the deadline looks like the end of an answer without a length."""
    late = threading.Event()

    class Late(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"
            (timer,) = (thread for thread in threading.enumerate() if thread.name == "doorward-deadline")
            timer.join(ENOUGH)
            late.set()

    def transport() -> httpx.BaseTransport:
        return httpx.MockTransport(lambda _: httpx.Response(200, stream=Late()))

    error = failure("https://keys.example/", HttpxFetch(deadline=0.05, transport=transport))

    assert late.is_set()
    assert "deadline" == error.stage


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_no_timer_is_left_running_after_a_call(serve: Serve, status: str) -> None:
    endpoint = serve(answering(b"{}", status=status))

    if status == "200 OK":
        assert b"{}" == HttpxFetch()(endpoint.url, {}).body
    else:
        assert "status" == failure(endpoint.url).stage

    assert "doorward-deadline" not in {thread.name for thread in threading.enumerate()}


# Connections that do not come about.


def test_a_refused_connection_is_named_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert "connect" == failure(f"http://127.0.0.1:{port}/").stage


def test_a_failed_look_up_is_named_as_such(no_network: list[object]) -> None:
    assert "dns" == failure("https://keys.invalid/").stage
    assert 1 == len(no_network)


def test_a_name_that_no_look_up_takes_is_an_error_of_the_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an over-long label, the look-up raises a UnicodeError and no OSError."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, port, *_: look_up(host, port, flags=socket.AI_NUMERICHOST)
    )

    assert "Unicode" in failure(f"https://{'a' * 64}.invalid/").message


def test_plain_http_where_tls_should_be_is_named_as_such(serve: Serve) -> None:
    endpoint = serve(answering(b"{}"))

    assert "tls" == failure(endpoint.url.replace("http://", "https://")).stage
    assert [] == endpoint.requests


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "HttpS"])
def test_an_untrusted_certificate_is_refused(serve: Serve, tls: ssl.SSLContext, scheme: str) -> None:
    endpoint = serve(answering(b"{}"), tls)

    error = failure(endpoint.url.replace("https", scheme))

    assert "tls" == error.stage
    assert "certificate verify failed" in error.message
    assert [] == endpoint.requests


def test_a_trusted_certificate_is_accepted(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    endpoint = serve(answering(b"{}"), tls)

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body


def test_a_certificate_for_another_name_is_refused(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    endpoint = serve(answering(b"{}"), tls)

    assert "tls" == failure(endpoint.url.replace("127.0.0.1", "localhost")).stage


# Proxies.


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_for_this_machine(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = serve(answering(b"proxied"))
    endpoint = serve(answering(b"{}"))
    monkeypatch.setenv(variable, proxy.url.removesuffix("/certs"))

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body
    assert [] == proxy.requests


def test_a_proxy_of_the_environment_is_for_the_world_outside(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(answering(status="502 Bad Gateway"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/certs"))

    assert isinstance(failure("https://keys.invalid/"), FetchError)
    assert [("CONNECT", "keys.invalid:443")] == [(seen.method, seen.target) for seen in proxy.requests]


@pytest.mark.parametrize(
    "entry", ["::1/129", "fd07:b51a::zz/64", "http://[::1", "a b", "[::1].evil:80x", "localhost:port"]
)
def test_an_entry_of_no_proxy_that_cannot_be_read_is_skipped_with_a_warning(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, entry: str
) -> None:
    proxy = serve(answering(status="502 Bad Gateway"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/certs"))
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    fetch = HttpxFetch()

    failure("https://keys.invalid/", fetch)
    failure("https://keys.invalid/", fetch)

    assert 2 == len(proxy.requests)
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "doorward.keys"]
    assert "NO_PROXY" in warning
    assert repr(entry) in warning


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("localhost,::1/128", "keys.example", False),
        ("*", "keys.example", True),
        ("example", "keys.example", True),
        (".example", "keys.example", True),
        ("*.example", "keys.example", True),
        ("keys.example", "keys.example", True),
        ("keys.example:443", "keys.example", True),
        ("keys.example:8443", "keys.example", False),
        ("https://keys.example", "keys.example", True),
        ("http://keys.example", "keys.example", False),
        ("s.example", "keys.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "keys.example", False),
        ("fd07:b51a:cc66:f0::/64", "[fd07:b51a:cc66:f0::9]", True),
        ("[fd07::9]:443", "[fd07::9]", True),
        ("fd07::9", "[fd07:0::9]", True),
        (" , KEYS.example. ,", "keys.example", True),
    ],
)
def test_hosts_of_no_proxy_are_asked_directly(no_proxy: str, host: str, direct: bool) -> None:  # noqa: FBT001 - a case
    chosen = choose_proxy(f"https://{host}/", {"all": "proxy.example:3128", "no": no_proxy})
    assert (None if direct else "http://proxy.example:3128", ()) == (chosen.url, chosen.unreadable)


@pytest.mark.parametrize("proxy", ["socks4://u:secret@127.0.0.1:9", "http://", "http://[::1", "http://a:b:c"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, proxy: str, variable: str
) -> None:
    monkeypatch.setenv(variable, proxy)

    error = failure("https://keys.invalid/")

    assert "setup" == error.stage
    assert error.message.startswith(variable)
    assert "secret" not in str(error)


def test_a_socks_proxy_without_its_package_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")

    error = failure("https://keys.invalid/")

    assert ("setup", True) == (error.stage, "HTTPS_PROXY" in error.message)


def test_a_proxy_that_cannot_be_used_is_a_configuration_mistake_where_it_is_a_setting() -> None:
    with pytest.raises(ConfigurationError, match="socks4"):
        HttpxFetch(proxy="socks4://127.0.0.1:9")


def test_the_proxy_of_a_setting_comes_before_the_environment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(answering(status="502 Bad Gateway"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    failure("https://keys.invalid/", HttpxFetch(proxy=proxy.url.removesuffix("/certs")))

    assert ["CONNECT"] == [seen.method for seen in proxy.requests]


def test_a_custom_transport_does_not_lose_the_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(answering(status="502 Bad Gateway"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/certs"))
    custom = HttpxFetch(transport=lambda: httpx.HTTPTransport(local_address="127.0.0.1"))

    failure("https://keys.invalid/", custom)

    assert ["CONNECT"] == [seen.method for seen in proxy.requests]


def test_without_a_proxy_by_setting_a_custom_transport_is_used_whatever_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    answer = httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(b"{}")))

    assert b"{}" == HttpxFetch(transport=lambda: answer, proxy="")("https://keys.example/", {}).body


def test_discovery_leaks_no_error_of_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://127.0.0.1:9")

    with pytest.raises(FetchError, match="HTTPS_PROXY"):
        doorward.discover("https://accounts.example.com")


# Certificates of authorities.


@pytest.mark.parametrize("variable", BUNDLES)
def test_a_bundle_that_is_not_there_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "missing.pem"))

    error = failure("https://keys.invalid/")

    assert ("setup", True) == (error.stage, error.message.startswith(variable))


@pytest.mark.parametrize("variable", [name for name in BUNDLES if name != "SSL_CERT_DIR"])
def test_the_bundles_that_google_auth_obeys_are_obeyed(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    endpoint = serve(answering(b"{}"), tls)
    assert "tls" == failure(endpoint.url).stage
    monkeypatch.setenv(variable, str(certificate))

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body


def test_authorities_and_contexts_can_be_given(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint = serve(answering(b"{}"), tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))  # what is given comes first
    context = ssl.create_default_context(cafile=certificate)

    assert b"{}" == HttpxFetch(verify=certificate)(endpoint.url, {}).body
    assert b"{}" == HttpxFetch(ssl_context=context)(endpoint.url, {}).body


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@pytest.mark.parametrize(
    "settings",
    [
        {"verify": "/nowhere/ca.pem"},
        {"verify": False},
        {"verify": "/tmp", "ssl_context": ssl.create_default_context()},
        {"ssl_context": unverified()},
    ],
    ids=["missing", "off", "both", "unverified"],
)
def test_certificate_settings_that_cannot_hold_are_a_configuration_mistake(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        HttpxFetch(**settings)


# Hosts with several addresses.


@pytest.fixture
def hole() -> Iterator[int]:
    """Give a port of ::1 that swallows connections: it listens, and its backlog is full."""
    with contextlib.ExitStack() as stack:
        mute = stack.enter_context(socket.socket(socket.AF_INET6))
        mute.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        mute.bind(("::1", 0))
        mute.listen(0)
        port: int = mute.getsockname()[1]
        for _ in range(4):
            filling = stack.enter_context(socket.socket(socket.AF_INET6))
            filling.settimeout(0)
            filling.connect_ex(("::1", port))
        yield port


def addresses(monkeypatch: pytest.MonkeyPatch, *found: tuple[Any, ...]) -> None:
    """Make the name localhost have these addresses."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **by: found if host == "localhost" else look_up(host, *rest, **by),
    )


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_a_host_whose_first_address_swallows_connections_is_reached_by_its_second(
    serve: Serve, hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = serve(answering(b"{}"))
    port = int(endpoint.url.split(":")[2].split("/")[0])
    addresses(
        monkeypatch,
        (socket.AF_INET6, 1, 6, "", ("::1", hole, 0, 0)),
        (socket.AF_INET, 1, 6, "", ("127.0.0.1", port)),
    )
    connect = socket.create_connection
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda where, *rest, **by: connect((where[0], hole if where[0] == "::1" else port), *rest, **by),
    )

    assert b"{}" == HttpxFetch(deadline=1.0)(f"http://localhost:{port}/certs", {}).body


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_a_host_that_swallows_connections_fails_at_connect(
    hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses(monkeypatch, (socket.AF_INET6, 1, 6, "", ("::1", hole, 0, 0)))

    error = timed_failure(f"http://localhost:{hole}/")

    assert ("connect", "no connection in 0.3 s") == (error.stage, error.message)


def test_each_address_gets_its_share_and_families_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(0.0)
    monkeypatch.setattr("doorward.keys.http.connecting.time", SimpleNamespace(monotonic=clock))
    found = [(socket.AF_INET6, 1, 6, "", (one, 443, 0, 0)) for one in ("::a", "::b", "::a")]
    addresses(monkeypatch, *found, (socket.AF_INET, 1, 6, "", ("192.0.2.1", 443)))
    tried: list[tuple[str, float]] = []

    class Mute:
        def connect_tcp(self, host: str, port: int, *, timeout: float, **_: object) -> NoReturn:
            tried.append((host, timeout))
            clock.move(timeout)
            raise TimeoutError(host)

    with pytest.raises(TimeoutError, match="::b"):
        AddressSharing(Mute()).connect_tcp("localhost", 443, timeout=3.0)
    assert [("::a", 1.0), ("192.0.2.1", 1.0), ("::b", 1.0)] == tried


# httpx2.


def test_a_transport_of_httpx2_is_used_by_httpx2() -> None:
    httpx2 = pytest.importorskip("httpx2")
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=httpx2.ByteStream(b"{}")))

    assert b"{}" == HttpxFetch(transport=lambda: answer)("https://keys.example/", {}).body


def test_httpx2_fetches_where_httpx_is_missing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpx2")
    monkeypatch.setitem(sys.modules, "httpx", None)
    endpoint = serve(answering(b"{}"))

    assert b"{}" == HttpxFetch()(endpoint.url, {}).body
    assert "status" == failure(serve(answering(status="404 Not Found")).url).stage


# Many at once, and settings.


def test_calls_do_not_wait_for_each_other(serve: Serve) -> None:
    together = threading.Barrier(4)

    def script(peer: Peer) -> None:
        together.wait(ENOUGH)
        peer.send(response(peer.request.headers["x-number"].encode()))

    endpoint = serve(script)
    fetch = HttpxFetch()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: fetch(endpoint.url, {"x-number": str(number)}), range(4)))

    assert [b"0", b"1", b"2", b"3"] == [answer.body for answer in answers]


def test_each_request_gets_a_transport_of_its_own() -> None:
    made: list[httpx.MockTransport] = []

    def transport() -> httpx.BaseTransport:
        made.append(httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(b"{}"))))
        return made[-1]

    fetch = HttpxFetch(transport=transport)

    assert [b"{}", b"{}"] == [fetch("https://keys.example/", {}).body for _ in range(2)]
    assert 2 == len(made)


def test_what_is_not_an_error_of_the_network_passes_through() -> None:
    def transport() -> httpx.BaseTransport:
        def broken(_: httpx.Request) -> httpx.Response:
            raise KeyError("a mistake")

        return httpx.MockTransport(broken)

    with pytest.raises(KeyError, match="a mistake"):
        HttpxFetch(transport=transport)("https://keys.example/", {})


@pytest.mark.parametrize(
    "settings",
    [
        {"deadline": 0.0},
        {"deadline": -1.0},
        {"deadline": float("inf")},
        {"deadline": float("nan")},
        {"limit": 0},
        {"limit": -1},
    ],
    ids=str,
)
def test_bounds_that_bound_nothing_are_a_configuration_mistake(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="positive and finite"):
        HttpxFetch(**settings)


def test_the_bounds_are_ten_seconds_and_256_kib() -> None:
    assert (10.0, 262_144) == (DEADLINE, SIZE_LIMIT)


# One place.


def test_httpx_is_used_in_one_module() -> None:
    """So that no second reader goes without the bounds that are tested here."""
    root = Path(doorward.__file__).parent
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name == "httpx" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "httpx")
    }
    types_only = {"keys/fetch.py", "keys/http/reader.py"}

    assert {"keys/http/client.py"} == users - types_only
