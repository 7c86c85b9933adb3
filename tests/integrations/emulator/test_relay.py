"""The relay over real connections: what passes, what does not, and who may use it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.types import Receive, Scope, Send

from doorward.errors import ConfigurationError
from doorward.senders import pubsub_push
from doorward_integrations.asgi import InvokerMiddleware
from doorward_integrations.emulator import Emulator, LoopbackServer
from doorward_integrations.emulator.relay import Relay, passed_on
from doorward_integrations.emulator.senders import tokens_of_issuer

ACCOUNT = "pusher@orders.iam.gserviceaccount.com"
AUDIENCE = "https://orders-1234567890.europe-west1.run.app"


class Upstream:
    """A raw application: it records each request, and answers as a test scripts it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.scopes: list[Scope] = []
        self.body = b""
        self.chunks: list[bytes] = [b"answer"]
        self.headers: list[tuple[bytes, bytes]] = [(b"content-length", b"6")]
        self.status = 200
        self.endless = False
        self.gone = threading.Event()
        self.first = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.scopes.append(scope)
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            self.first.set()
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if self.endless:
            assert (await receive())["type"] == "http.disconnect"
            self.gone.set()
            return
        await send({"type": "http.response.body", "body": b""})

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in self.scopes[-1]["headers"]]

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.sent if one == name]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Upstream, str, str]]:
    """Serve the upstream, and a relay to it that mints numbered tokens."""
    upstream, count = Upstream(), iter(range(1, 10_000))
    with LoopbackServer(upstream) as server:
        relay = Relay(server.url, lambda *_: f"token-{next(count)}", account=ACCOUNT, audience=AUDIENCE)
        with relay.serve() as running:
            yield upstream, running.host, server.host


@pytest.fixture
def upstream(served: tuple[Upstream, str, str]) -> Upstream:
    """Return the upstream, as new."""
    served[0].begin()
    return served[0]


@pytest.fixture
def connection(served: tuple[Upstream, str, str]) -> Iterator[http.client.HTTPConnection]:
    """Return a connection to the relay."""
    connection = http.client.HTTPConnection(served[1], timeout=10)
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection, target: str = "/", method: str = "GET", **settings: Any
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, target, **settings)
    answer = connection.getresponse()
    return answer, answer.read()


def test_every_request_gets_a_new_token(upstream: Upstream, connection: http.client.HTTPConnection) -> None:
    ask(connection)
    ask(connection)

    first, second = (
        dict(scope["headers"])[b"authorization"].decode().removeprefix("Bearer token-")
        for scope in upstream.scopes
    )
    assert 1 == int(second) - int(first)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "authorization",
        "X-Serverless-Authorization",
        "X_Serverless_Authorization",
        "Proxy-Authorization",
        "X-Goog-IAP-JWT-Assertion",
    ],
)
def test_no_credential_of_the_client_passes(
    name: str, upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    ask(connection, headers={name: "Bearer of-the-client"})

    assert "of-the-client" not in str(upstream.sent)
    assert 1 == len(upstream.values("authorization"))


def test_hop_by_hop_headers_pass_in_neither_direction(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    upstream.headers += [
        (b"connection", b"x-gone"),
        (b"x-gone", b"1"),
        (b"x-kept", b"1"),
        (b"keep-alive", b"5"),
    ]
    answer, _ = ask(
        connection,
        headers={"Connection": "X-Mine, keep-alive", "X-Mine": "1", "TE": "trailers", "X-Kept": "1"},
    )

    assert ([], [], ["1"]) == (upstream.values("x-mine"), upstream.values("te"), upstream.values("x-kept"))
    assert (None, None, "1") == tuple(answer.getheader(name) for name in ("x-gone", "keep-alive", "x-kept"))


@pytest.mark.parametrize(
    "target", ["/a%2Fb", "/a//b", "/a/../b", "/%7Euser/%c3%a9?q=%20&r", "/?", "/a;b=c", "/a?x=1?y=2"]
)
def test_a_path_passes_as_it_was_sent(
    target: str, upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    ask(connection, target)

    path, _, query = target.partition("?")
    assert (path.encode(), query.encode()) == (
        upstream.scopes[-1]["raw_path"],
        upstream.scopes[-1]["query_string"],
    )


def test_the_host_is_that_of_the_service(
    served: tuple[Upstream, str, str], upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    ask(connection)

    assert [served[2]] == upstream.values("host")


def test_a_body_passes_with_its_length(upstream: Upstream, connection: http.client.HTTPConnection) -> None:
    ask(connection, method="POST", body=b"x" * 300_000)

    assert (["300000"], 300_000) == (upstream.values("content-length"), len(upstream.body))


def test_a_chunked_body_passes_while_it_comes(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    connection.putrequest("POST", "/")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"5\r\nfirst\r\n")
    assert upstream.first.wait(10)
    connection.send(b"4\r\nlast\r\n0\r\n\r\n")

    assert (200, b"firstlast") == (connection.getresponse().status, upstream.body)


def test_an_answer_passes_while_it_comes_and_ends_with_its_client(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    upstream.headers, upstream.endless, upstream.chunks = (
        [(b"content-type", b"text/event-stream")],
        True,
        [b"data: 1\n\n"],
    )
    connection.request("GET", "/")
    answer = connection.getresponse()

    assert b"data: 1\n\n" == answer.read1(100)
    connection.close()
    answer.close()
    assert upstream.gone.wait(10)


def test_an_answer_passes_with_its_status_and_all_its_headers(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    upstream.status = 418
    upstream.headers += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-encoding", b"gzip")]

    answer, body = ask(connection)
    assert (418, b"answer") == (answer.status, body)
    assert (["a=1", "b=2"], ["gzip"]) == (
        answer.headers.get_all("set-cookie"),
        answer.headers.get_all("content-encoding"),
    )


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    upstream.headers += [(b"set-cookie", b"a=1")]

    ask(connection)
    ask(connection)
    assert [] == upstream.values("cookie")


def test_a_redirect_passes_and_is_not_followed(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    upstream.status = 302
    upstream.headers += [(b"location", b"https://elsewhere.example.com/")]

    answer, _ = ask(connection)
    assert (302, 1) == (answer.status, len(upstream.scopes))


def test_head_passes_with_the_length_and_without_a_body(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    answer, body = ask(connection, method="HEAD")

    assert ("6", b"") == (answer.getheader("content-length"), body)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
def test_a_page_of_another_site_gets_no_token_attached(
    headers: dict[str, str], upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    answer, _ = ask(connection, method="POST", body=b"x", headers=headers)

    assert (403, []) == (answer.status, upstream.scopes)


def test_a_program_that_names_the_relay_s_own_origin_is_served(
    served: tuple[Upstream, str, str], upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    answer, _ = ask(connection, headers={"Origin": f"http://{served[1]}", "Sec-Fetch-Site": "same-origin"})

    assert 200 == answer.status


def test_a_client_that_goes_in_the_middle_of_its_request_disturbs_no_other(
    served: tuple[Upstream, str, str], upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    with socket.create_connection(
        tuple[str, int](("127.0.0.1", urlsplit(f"//{served[1]}").port or 0)), 10
    ) as cut:
        cut.sendall(f"POST / HTTP/1.1\r\nHost: {served[1]}\r\nContent-Length: 100\r\n\r\nbegin".encode())
        assert upstream.first.wait(10)

    assert 200 == ask(connection)[0].status


def test_the_token_can_go_beside_an_application_s_own_authorization(upstream: Upstream) -> None:
    with LoopbackServer(upstream) as server:
        relay = Relay(
            f"{server.url}/prefix/",
            lambda *_: "token",
            account=ACCOUNT,
            audience=AUDIENCE,
            header="X-Serverless-Authorization",
        )
        with relay.serve() as running:
            connection = http.client.HTTPConnection(running.host, timeout=10)
            ask(connection, "/a", headers={"Authorization": "Basic own", "X-Serverless-Authorization": "x"})
            connection.close()

    assert (["Basic own"], ["Bearer token"], b"/prefix/a") == (
        upstream.values("authorization"),
        upstream.values("x-serverless-authorization"),
        upstream.scopes[-1]["raw_path"],
    )


def test_a_service_that_is_away_is_a_502_that_says_so(upstream: Upstream) -> None:
    with LoopbackServer(upstream) as server:
        url = server.url
    with Relay(url, lambda *_: "token", account=ACCOUNT, audience=AUDIENCE).serve() as running:
        connection = http.client.HTTPConnection(running.host, timeout=10)
        answer, body = ask(connection)
        connection.close()

    assert (502, True) == (answer.status, b"ConnectError" in body)


def test_without_a_token_nothing_is_passed_on(upstream: Upstream) -> None:
    def no_token(account: str, audience: str) -> str:
        raise ConfigurationError("no token from the emulator")

    relay = Relay("http://127.0.0.1:1", no_token, account=ACCOUNT, audience=AUDIENCE)
    with relay.serve() as running:
        connection = http.client.HTTPConnection(running.host, timeout=10)
        answer, body = ask(connection)
        connection.close()

    assert (502, True, []) == (answer.status, b"no token from the emulator" in body, upstream.scopes)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"to": "http://orders.example.com"}, "plain http to another machine"),
        ({"to": "http://127.0.0.1/?q"}, "must not have a query"),
        ({"account": "pusher"}, "is no e-mail address"),
        ({"audience": ""}, "needs the audience"),
        ({"header": "cookie"}, "must be one of"),
    ],
)
def test_a_relay_that_cannot_work_is_refused(settings: dict[str, str], why: str) -> None:
    given = {"to": "http://127.0.0.1:1", "account": ACCOUNT, "audience": AUDIENCE, **settings}

    with pytest.raises(ConfigurationError, match=why):
        Relay(given.pop("to"), lambda *_: "token", **given)


def test_it_listens_on_this_machine_only() -> None:
    relay = Relay("http://127.0.0.1:1", lambda *_: "token", account=ACCOUNT, audience=AUDIENCE)

    with pytest.raises(ConfigurationError, match="must be a loopback address"):
        relay.serve(host="0.0.0.0")


def test_a_push_without_a_token_passes_the_door_behind_the_relay(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = Emulator()
    with emulator.serve() as google:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", google.host)
        app = InvokerMiddleware(upstream, pubsub_push(AUDIENCE, ACCOUNT).door())
        with LoopbackServer(app) as service:
            relay = Relay(service.url, tokens_of_issuer(emulator.issuer), account=ACCOUNT, audience=AUDIENCE)
            with relay.serve() as running:
                statuses = []
                for host in (service.host, running.host):
                    connection = http.client.HTTPConnection(host, timeout=10)
                    statuses.append(ask(connection, method="POST", body=b"{}")[0].status)
                    connection.close()

    assert [403, 200] == statuses


def test_names_of_headers_are_folded_as_servers_fold_them() -> None:
    headers = [
        (b"Keep_Alive", b"1"),
        (b"CONNECTION", b"X-One, x_two"),
        (b"X_One", b"1"),
        (b"X-Two", b"1"),
        (b"A", b"1"),
    ]

    assert [(b"A", b"1")] == passed_on(headers)


def test_a_relay_passes_many_requests_at_once(served: tuple[Upstream, str, str], upstream: Upstream) -> None:
    statuses: list[int] = []

    def many() -> None:
        connection = http.client.HTTPConnection(served[1], timeout=10)
        statuses.extend(ask(connection)[0].status for _ in range(10))
        connection.close()

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [200] * 80 == statuses
