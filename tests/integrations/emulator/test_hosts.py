"""The Host header of a request to the emulator: what DNS rebinding sends is refused on every route."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message

from doorward_integrations.emulator import Emulator, create_app

FLAVOR = {"Metadata-Flavor": "Google"}
IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a"
PATHS = [
    "/",
    IDENTITY,
    "/oauth2/v3/certs",
    "/oauth2/v1/certs",
    "/.well-known/openid-configuration",
    "/nothing",
]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8099",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:8099",
        "127.8.8.8",
        "[::1]",
        "[::1]:8099",
        "metadata",
        "metadata:80",
        "metadata.google.internal",
        "metadata.google.internal.",
        "metadata.google.internal:80",
    ],
)
def test_a_host_of_this_machine_is_answered(host: str, client: httpx.Client) -> None:
    assert 200 == client.get(IDENTITY, headers=FLAVOR | {"Host": host}).status_code


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8099",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "metadata.google.internal.evil.example",
        "evil.localhost",
        "metadatax",
        "10.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "[::]",
        "[::2]:80",
        "[::1].evil.example",
        "[::1].evil.example:80",
        "evil[::1]:80",
        "[127.0.0.1",
        "::1",
        "evil.example@127.0.0.1",
        "127.0.0.1@evil.example",
        "127.0.0.1/evil.example",
        "127.0.0.1, evil.example",
        "127.0.0.1 evil.example",
        "127.0.0.1:",
        "127.0.0.1:80:80",
        "127.0.0.1:port",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
    ],
)
def test_the_host_of_a_rebound_name_is_refused_on_every_route(
    host: str, path: str, client: httpx.Client
) -> None:
    answer = client.get(path, headers=FLAVOR | {"Host": host})

    assert answer.status_code in (400, 403)
    assert '"keys"' not in answer.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "head",
    [
        "GET {} HTTP/1.1\r\n",
        "GET {} HTTP/1.0\r\n",
        "GET {} HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
        "GET {} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        "GET {} HTTP/1.0\r\nHost: evil.example\r\nHost: localhost\r\n",
    ],
)
def test_no_host_and_a_doubled_host_are_refused(head: str, path: str, client: httpx.Client) -> None:
    where = urlsplit(str(client.base_url))
    assert where.hostname is not None
    assert where.port is not None
    with socket.create_connection((where.hostname, where.port), 10) as connection:
        lines = f"{head.format(path)}Metadata-Flavor: Google\r\nConnection: close\r\n\r\n"
        connection.sendall(lines.encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.split(b" ")[1] in (b"400", b"403")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 400),
        ([(b"host", b"localhost"), (b"Host", b"localhost")], 400),
        ([(b"Host", b"evil.example")], 403),
        ([(b"host", "127.0.0.1:8\u0660".encode())], 403),
        ([(b"host", b"127.0.0.1\n")], 403),
        ([(b"host", b"localhost")], 200),
    ],
)
def test_a_server_that_does_not_check_the_header_itself_changes_nothing(
    headers: list[tuple[bytes, bytes]], status: int, emulator: Emulator
) -> None:
    sent = _sent(emulator, {"type": "http", "method": "GET", "path": "/", "headers": headers})

    assert status == sent[0]["status"]


def test_a_websocket_of_a_rebound_name_is_closed_before_it_opens(emulator: Emulator) -> None:
    sent = _sent(emulator, {"type": "websocket", "path": "/", "headers": [(b"host", b"evil.example")]})

    assert [{"type": "websocket.close", "code": 1008}] == sent


def _sent(emulator: Emulator, scope: dict[str, Any]) -> list[Message]:
    """Return what the application sends for a request without a body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    whole = {"query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1"} | scope
    asyncio.run(create_app(emulator)(whole, receive, send))
    return sent
