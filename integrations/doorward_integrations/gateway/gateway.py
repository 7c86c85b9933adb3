"""Cloud Run's front end on one machine, as an ASGI application."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from doorward import ConfigurationError
from doorward.door.base import BaseDoor
from doorward.services.services import Services
from doorward_integrations.admission import check_door
from doorward_integrations.asgi import InvokerMiddleware
from doorward_integrations.gateway.access_log import AccessLog
from doorward_integrations.gateway.answers import answer
from doorward_integrations.gateway.checks import fault_of
from doorward_integrations.gateway.proxy import Proxy
from doorward_integrations.gateway.record import Record, current
from doorward_integrations.gateway.recording import RecordingDoor
from doorward_integrations.gateway.upstream import Upstream

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

__all__ = ["Gateway"]

_SWITCHING: Final = 101


class Gateway:
    """Decides on each request as Cloud Run does, and sends those that are admitted to a service behind it.

    Serve it with `doorward_integrations.gateway.GatewayServer`, whose parser is strict; under another server,
    that server decides which requests are read at all.

    Args:
        door: The door, or `Services` for several services.
        upstream: Where admitted requests go; with `Services`, a mapping from the name of each service.
        forwarded_proto: The value of ``X-Forwarded-Proto``, such as ``https`` behind something that ends TLS;
            None for the scheme of the connection.
        max_header_bytes: Bytes that target and headers of a request may have together.
        monotonic: A clock that never goes back, in seconds, for the access log.

    Raises:
        ConfigurationError: If the two do not fit together, or a setting cannot work.

    Example:
        ``Gateway(Door(Verifier(AUDIENCE), policy), Upstream("http://127.0.0.1:8080"))``
    """

    def __init__(
        self,
        door: BaseDoor,
        upstream: Upstream | Mapping[str, Upstream],
        *,
        forwarded_proto: str | None = None,
        max_header_bytes: int = 65_536,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put a door in front of upstreams; see the class."""
        check_door(door, "Gateway(door, upstream)")
        if isinstance(upstream, Upstream) is isinstance(door, Services):
            raise ConfigurationError(
                "a door has one Upstream, and Services have a mapping from the name of each to its own"
            )
        if forwarded_proto not in (None, "http", "https"):
            raise ConfigurationError(f"forwarded_proto={forwarded_proto!r} must be http or https")
        if max_header_bytes <= 0:
            raise ConfigurationError(f"max_header_bytes={max_header_bytes} must be at least 1")
        upstreams = {"": upstream} if isinstance(upstream, Upstream) else upstream
        self.door: Final = door
        self.max_header_bytes: Final = max_header_bytes
        self._app: Final = InvokerMiddleware(Proxy(upstreams, forwarded_proto), RecordingDoor(door))
        self._log: Final = AccessLog(door.clock)
        self._monotonic: Final = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3.0).

        Args:
            scope: The scope.
            receive: Receives from the client.
            send: Sends to the client.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = self._monotonic()
        record = Record()
        token = current.set(record)

        async def note(message: Message) -> None:
            _count(record, message)
            if message["type"] == "http.response.start":
                message = self._with_date(message)
            await send(message)

        try:
            fault = fault_of(scope, self.max_header_bytes, self.door.forwarding.watched)
            if fault is None:
                await self._app(scope, receive, note)
            else:
                await answer(fault, scope, receive, note)
        finally:
            current.reset(token)
            self._log.write(scope, record, self._monotonic() - started)

    def _with_date(self, message: Message) -> Message:
        """Add a Date, which an upstream or the door need not have sent (RFC 9110, section 6.6.1)."""
        headers = message["headers"]
        if any(name == b"date" for name, _ in headers):
            return message
        date = _http_date(int(self.door.clock()))
        return {**message, "headers": [*headers, (b"date", date)]}


@functools.lru_cache(maxsize=1)
def _http_date(now: int) -> bytes:
    return formatdate(now, usegmt=True).encode()


def _count(record: Record, message: Any) -> None:  # noqa: ANN401 - any message
    kind = message["type"]
    if kind == "http.response.body":
        record.sent += len(message.get("body", b""))
    elif kind in ("http.response.start", "websocket.http.response.start"):
        record.status = message["status"]
    elif kind == "websocket.accept":
        record.status = _SWITCHING
