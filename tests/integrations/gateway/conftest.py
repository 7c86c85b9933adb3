"""A gateway on loopback in front of an upstream that records bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from doorward_integrations.gateway import GatewayServer, Upstream
from support.gateway import RawUpstream, door_of, exchange, serving
from support.world import World


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    """Return an upstream that answers every request with 200 and ``ok``."""
    with RawUpstream() as upstream:
        yield upstream


@pytest.fixture
def server(world: World, upstream: RawUpstream) -> Iterator[GatewayServer]:
    """Return a gateway in front of it."""
    with serving(door_of(world), Upstream(f"http://127.0.0.1:{upstream.port}")) as server:
        yield server


@dataclass
class Front:
    """Sends requests that carry a good token."""

    server: GatewayServer
    authorization: bytes

    def send(self, line: bytes, *headers: bytes, body: bytes = b"", until: bytes | None = None) -> bytes:
        """Send one request on a connection of its own; with `until`, the connection stays open."""
        return exchange(
            self.server.port, self.request(line, *headers, body=body, last=until is None), until=until
        )

    def request(self, line: bytes, *headers: bytes, body: bytes = b"", last: bool = True) -> bytes:
        """Make the bytes of a request."""
        ending = [b"Connection: close"] if last else []
        sent = [line + b" HTTP/1.1", b"Host: orders.test", self.authorization, *ending, *headers]
        return b"\r\n".join(sent) + b"\r\n\r\n" + body


@pytest.fixture
def authorization(world: World) -> bytes:
    """Return the header of a caller that the policy names."""
    return f"Authorization: Bearer {world.token()}".encode()


@pytest.fixture
def front(server: GatewayServer, authorization: bytes) -> Front:
    """Return a client of the gateway."""
    return Front(server, authorization)


Send = Callable[..., bytes]
