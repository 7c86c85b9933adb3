"""The application behind the door: it has the upstream answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import aiohttp

from doorward_integrations.gateway.answers import Failure, answer
from doorward_integrations.gateway.exchange import Exchange
from doorward_integrations.gateway.headers import for_upstream
from doorward_integrations.gateway.http_exchange import HttpExchange
from doorward_integrations.gateway.record import Record, current
from doorward_integrations.gateway.trace import Span
from doorward_integrations.gateway.websocket_exchange import WebSocketExchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from doorward_integrations.gateway.upstream import Upstream

__all__ = ["Proxy"]

_LONGEST_HEADER: Final = 65_536
_MOST_HEADERS: Final = 1_000
_ADDED_BY_AIOHTTP: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_NO_GRPC: Final = (
    "gRPC is not carried, since it needs HTTP/2 and trailers. A gRPC server in Python can have the door in "
    "itself; before any other, use Envoy with its own filters."
)


class Proxy:
    """An ASGI application that sends each request to the upstream of its service.

    Args:
        upstreams: The upstreams by service; with an empty name, the one of every request.
        scheme: For ``X-Forwarded-Proto``; None for that of the connection.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], scheme: str | None = None) -> None:
        """Prepare; no connection is made yet."""
        self._scheme: Final = scheme
        self._upstreams: Final = upstreams
        self._places: Final = {
            name: asyncio.Semaphore(one.concurrency)
            for name, one in upstreams.items()
            if one.concurrency is not None
        }
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one admitted request (ASGI 3.0).

        Args:
            scope: The scope, with the headers of the admission.
            receive: Receives from the client.
            send: Sends to the client.
        """
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        record = current.get(None) or Record()
        try:
            await self._pass_on(record, scope, receive, send)
        except Failure as failure:
            await answer(failure, scope, receive, send)

    async def close(self) -> None:
        """Close the connections to the upstreams."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def _pass_on(self, record: Record, scope: Scope, receive: Receive, send: Send) -> None:
        upstream = self._upstreams.get(record.service)
        if upstream is None:
            raise Failure(404, "unknown_service", "There is no such service.")
        websocket = scope["type"] == "websocket"
        if not websocket and _is_grpc(scope):
            raise Failure(415, "grpc_not_carried", _NO_GRPC)
        span = Span.of(scope["headers"])
        record.trace_id = span.trace_id
        client = scope.get("client")
        scheme = self._scheme or scope["scheme"].replace("ws", "http")
        headers = for_upstream(
            scope["headers"], client[0] if client else "unknown", scheme, span, websocket=websocket
        )
        exchange: type[Exchange] = WebSocketExchange if websocket else HttpExchange
        async with self._place(record.service, upstream):
            session = self._session(record.service, upstream)
            await exchange(session, upstream, scope, headers, record).run(receive, send)

    def _place(self, name: str, upstream: Upstream) -> contextlib.AbstractAsyncContextManager[None]:
        places = self._places.get(name)
        return contextlib.nullcontext() if places is None else _taken(places, upstream.pending)

    def _session(self, name: str, upstream: Upstream) -> aiohttp.ClientSession:
        session = self._sessions.get(name)
        if session is None or session.closed:
            session = self._sessions[name] = _make_session(upstream)
        return session

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _make_session(upstream: Upstream) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=upstream.keepalive),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=upstream.connect_timeout),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=_ADDED_BY_AIOHTTP,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        max_headers=_MOST_HEADERS,
    )


@contextlib.asynccontextmanager
async def _taken(places: asyncio.Semaphore, pending: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(pending):
            await places.acquire()
    except TimeoutError:
        raise Failure(429, "too_many_requests", "Rate exceeded.") from None
    try:
        yield
    finally:
        places.release()


def _is_grpc(scope: Scope) -> bool:
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"").lower()
    # gRPC-Web has its trailers in the body, and passes.
    return kind == b"application/grpc" or kind.startswith((b"application/grpc+", b"application/grpc;"))
