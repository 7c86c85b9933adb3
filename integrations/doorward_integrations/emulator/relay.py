"""A proxy on a loopback port that attaches a token to whatever passes: for senders that have none.

Pub/Sub's own emulator sends pushes without a token. Through the relay they arrive as the real ones do::

    relay = Relay("http://127.0.0.1:8080", tokens_of_emulator(), account=PUSHER, audience=AUDIENCE)
    with relay.serve() as running:
        ...  # push to running.url

Requests and answers are streamed, and paths pass as they were sent. What a client has sent as a credential is
removed. Websockets, upgrades and trailers do not pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from doorward.errors import ConfigurationError
from doorward.shown import shown
from doorward_integrations.emulator.accounts import Account
from doorward_integrations.emulator.destination import check_destination
from doorward_integrations.emulator.hosts import LoopbackHosts
from doorward_integrations.emulator.origins import is_of_another_site
from doorward_integrations.emulator.senders.tokens import TokenSource
from doorward_integrations.emulator.server import LoopbackServer

__all__ = ["CREDENTIALS", "Relay", "passed_on"]

_CONNECT_SECONDS: Final = 10.0
_SHOWN: Final = 300
_TOKEN_HEADERS: Final = ("authorization", "x-serverless-authorization")

CREDENTIALS: Final = frozenset({*_TOKEN_HEADERS, "proxy-authorization", "x-goog-iap-jwt-assertion"})
"""The headers of a client that do not pass: a token that it has sent takes no place of the relay's."""

# RFC 9110, section 7.6.1, and what older proxies send.
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)

_Headers = list[tuple[bytes, bytes]]


def _folded(name: bytes) -> str:
    """Fold a header name as servers and bridges do: case, and ``_`` as ``-``."""
    return name.decode("latin-1").lower().replace("_", "-")


def passed_on(headers: Iterable[tuple[bytes, bytes]], left_out: Iterable[str] = ()) -> _Headers:
    """Return the headers that a proxy passes on.

    Args:
        headers: The headers of a message.
        left_out: Further names that do not pass, in lower case.

    Returns:
        All but the hop-by-hop ones, those that ``Connection`` lists, and those left out.
    """
    headers = list(headers)
    listed = [value.decode("latin-1") for name, value in headers if _folded(name) == "connection"]
    gone = (
        _HOP_BY_HOP | set(left_out) | {_folded(one.strip().encode()) for one in ",".join(listed).split(",")}
    )
    return [(name, value) for name, value in headers if _folded(name) not in gone]


class _ClientGoneError(Exception):
    """The client has gone before it had sent its whole request."""


class Relay:
    """An ASGI application that passes every request on, with a token of one account for one audience.

    A new token is attached to each request, so that a rotation or another policy shows at once.
    """

    def __init__(
        self,
        to: str,
        tokens: TokenSource,
        *,
        account: str,
        audience: str,
        header: str = "authorization",
    ) -> None:
        """Prepare to pass requests on.

        Args:
            to: The URL of the service, on this machine or with https. The path of a request is put behind its
                own path.
            tokens: Where the tokens come from.
            account: The account of the tokens.
            audience: Their audience.
            header: Where the token goes: ``authorization``, or ``x-serverless-authorization`` for a service
                that reads ``Authorization`` itself; then the client's own ``Authorization`` passes.

        Raises:
            ConfigurationError: If the URL, the account or the header cannot be used.
        """
        parts = urlsplit(check_destination(to, "the relay"))
        if parts.query:
            raise ConfigurationError(f"the relay: {shown(to, _SHOWN)!r} must not have a query")
        if not audience:
            raise ConfigurationError("the relay needs the audience of its tokens")
        if header.lower() not in _TOKEN_HEADERS:
            raise ConfigurationError(f"header={header!r} must be one of {', '.join(_TOKEN_HEADERS)}")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/").encode("ascii")
        self._tokens = tokens
        self._account = Account(account).email
        self._audience = audience
        self._header = header.lower()
        kept = {"authorization"} if self._header == "x-serverless-authorization" else frozenset[str]()
        self._left_out = (CREDENTIALS - kept) | {"host"}
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        """Show where requests go, and as which account."""
        return f"Relay({self._origin!r}, account={self._account!r}, audience={self._audience!r})"

    def app(self) -> ASGIApp:
        """Return the application for a server: it answers to the names of this machine only."""
        return LoopbackHosts(self)

    def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> LoopbackServer:
        """Prepare to serve on a port of this machine.

        Args:
            host: A loopback address.
            port: The port; 0 takes a free one.

        Returns:
            A context manager that serves while it is open.

        Raises:
            ConfigurationError: If the address is not this machine's own, or uvicorn is missing.
        """
        return LoopbackServer(self.app(), host=host, port=port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Args:
            scope: The connection's scope.
            receive: Receives its messages.
            send: Sends its answers.
        """
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif is_of_another_site(Headers(scope=scope)):
            refusal = PlainTextResponse(
                "A page of another site has sent this request: the relay attaches no token to it.",
                HTTPStatus.FORBIDDEN,
            )
            await refusal(scope, receive, send)
        else:
            await self._pass(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        async with httpx.AsyncClient(trust_env=False, timeout=timeout, limits=limits) as client:
            self._client = client
            await send({"type": "lifespan.startup.complete"})
            await receive()
        self._client = None
        await send({"type": "lifespan.shutdown.complete"})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on for as long as its client is there."""
        read = asyncio.Event()
        passing = asyncio.ensure_future(self._exchange(scope, receive, send, _body(scope, receive, read)))

        async def watch() -> None:
            await read.wait()
            while (await receive())["type"] != "http.disconnect":
                pass
            passing.cancel()

        watching = asyncio.ensure_future(watch())
        try:
            await asyncio.wait([passing])
        finally:
            watching.cancel()
            passing.cancel()
            await asyncio.gather(watching, passing, return_exceptions=True)
        error = None if passing.cancelled() else passing.exception()
        if error is not None and not isinstance(error, _ClientGoneError):
            raise error

    async def _exchange(
        self, scope: Scope, receive: Receive, send: Send, body: AsyncIterator[bytes] | None
    ) -> None:
        if self._client is None:
            raise RuntimeError("the relay is not being served: its lifespan has not begun")
        try:
            request = await self._request(scope, body)
            answer = await self._client.send(request, stream=True)
        except (ConfigurationError, httpx.HTTPError) as error:
            why = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
            refusal = PlainTextResponse(
                f"The relay could not pass the request on to {self._origin}: {shown(why, _SHOWN)}",
                HTTPStatus.BAD_GATEWAY,
            )
            await refusal(scope, receive, send)
            return
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status_code,
                    "headers": [(name.lower(), value) for name, value in passed_on(answer.headers.raw)],
                }
            )
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()

    async def _request(self, scope: Scope, body: AsyncIterator[bytes] | None) -> httpx.Request:
        # A thread: the emulator may be asked for it, or may have to make its first key.
        token = await asyncio.to_thread(self._tokens, self._account, self._audience)
        headers = passed_on(scope["headers"], self._left_out)
        headers.append((self._header.encode(), b"Bearer " + token.encode("ascii")))
        target = self._prefix + (scope.get("raw_path") or scope["path"].encode())
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        # The target as sent: a URL object would resolve dot segments and encode anew.
        return httpx.Request(
            scope["method"], f"{self._origin}/", headers=headers, content=body, extensions={"target": target}
        )


def _body(scope: Scope, receive: Receive, read: asyncio.Event) -> AsyncIterator[bytes] | None:
    """Return the body of a request as it comes in; None if it has none. `read` is set behind its end."""
    names = {name.lower() for name, _ in scope["headers"]}
    if not names & {b"content-length", b"transfer-encoding"}:
        read.set()
        return None

    async def chunks() -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            more = message.get("more_body", False)
            if not more:
                read.set()
            if message.get("body"):
                yield message["body"]

    return chunks()
