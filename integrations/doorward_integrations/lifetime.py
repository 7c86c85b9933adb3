"""An end for connections that outlive the decision on them: websockets and event streams.

The door decides when a connection opens. A token lives for an hour at most, and a connection may stay open
for days: `ConnectionLifetime` ends it when its token has expired, or after a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from doorward import ConfigurationError
from doorward.door.expiry import expires_at
from doorward_integrations.admission import ADMISSION, DOOR

if TYPE_CHECKING:
    from anyio import CancelScope
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["POLICY_VIOLATION", "ConnectionLifetime"]

POLICY_VIOLATION: Final = 1008  # RFC 6455, section 7.4.1; a server that has not accepted answers 403 instead
_GRACE: Final = 5.0  # seconds that an application has to end, once its websocket was closed
_EVENTS: Final = b"text/event-stream"

Sleep = Callable[[float], Awaitable[object]]


class ConnectionLifetime:
    """When a websocket, or an event stream (``text/event-stream``), is ended.

    A websocket is closed with 1008, and its application sees that the client has gone; five seconds later it
    is cancelled. The application of an event stream is cancelled at once, and the stream ends in order, so
    that the client comes again with a new token. Other answers are never cut short.
    """

    def __init__(
        self, *, with_token: bool = True, seconds: float | None = None, sleep: Sleep | None = None
    ) -> None:
        """Set the bound; the earlier end counts.

        Args:
            with_token: Whether it ends when a token behind it has expired, that of the caller or that of the
                end user, leeway included. A connection without a token has no such end.
            seconds: How long it lives at most, in seconds; None for no other end.
            sleep: Waits for some seconds; by default `anyio.sleep`.

        Raises:
            ConfigurationError: If there is no bound, or it is not a number of seconds over 0.
        """
        wrong = isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0
        if seconds is not None and wrong:
            raise ConfigurationError(f"seconds={seconds!r} must be a number of seconds over 0")
        if seconds is None and not with_token:
            raise ConfigurationError("a lifetime needs an end: with_token=True, or seconds=3600")
        self._with_token: Final = with_token
        self._seconds: Final = seconds
        self._sleep: Final = sleep

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an application on one connection, and end it in time.

        Args:
            app: The application.
            scope: The scope that the door has admitted.
            receive: Receives a message from the client.
            send: Sends a message to the client.
        """
        import anyio  # noqa: PLC0415 - for those who set a bound; it runs in asyncio and in trio

        end = self._end_of(scope)
        if end is None:
            await app(scope, receive, send)
            return
        sleep = self._sleep or anyio.sleep
        connection = (_Socket if scope["type"] == "websocket" else _Stream)(receive, send)
        life = anyio.CancelScope()
        failure: Exception | None = None

        async def end_in_time() -> None:
            await sleep(max(0.0, end - scope[DOOR].clock()))
            await connection.end()
            if connection.may_go_on:
                await sleep(_GRACE)
            life.cancel()

        async with anyio.create_task_group() as group:
            connection.begin(lambda: group.start_soon(end_in_time))
            with life:
                try:
                    await app(scope, connection.receive, connection.send)
                except Exception as error:  # noqa: BLE001 - raised below, where no group is put around it
                    failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        await connection.finish()

    def _end_of(self, scope: Scope) -> float | None:
        """Return when the connection ends, in seconds since the epoch."""
        door = scope[DOOR]
        ends = [expires_at(door, scope[ADMISSION])] if self._with_token else []
        if self._seconds is not None:
            ends.append(door.clock() + self._seconds)
        return min((end for end in ends if end is not None), default=None)


class _Socket:
    """A websocket that can be closed under its application."""

    may_go_on: Final = True  # until it receives or sends again, and then sees that the client has gone

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False
        self._ended = False
        self._receiving: CancelScope | None = None

    def begin(self, start_clock: Callable[[], object]) -> None:
        start_clock()

    async def receive(self) -> Message:
        from anyio import CancelScope  # noqa: PLC0415 - as in `ConnectionLifetime.run`

        if not self._ended:
            with CancelScope() as self._receiving:
                message = await self._receive()
                self._closed = self._closed or message["type"] == "websocket.disconnect"
                return message
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

    async def send(self, message: Message) -> None:
        if self._ended:
            raise OSError("the websocket was closed: the time of its token, or its own, is over")
        self._closed = self._closed or message["type"] in ("websocket.close", "websocket.http.response.start")
        await self._send(message)

    async def end(self) -> None:
        if self._closed:
            return
        self._ended = True
        if self._receiving is not None:
            self._receiving.cancel()
        with contextlib.suppress(
            Exception
        ):  # the client may just have gone: servers raise errors of their own
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION})

    async def finish(self) -> None:
        pass


class _Stream:
    """An answer that is ended if it is an event stream."""

    may_go_on: Final = False

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self._send = send
        self._open = False

    def begin(self, start_clock: Callable[[], object]) -> None:
        self._start_clock = start_clock

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._open = any(
                name.lower() == b"content-type" and value.partition(b";")[0].strip().lower() == _EVENTS
                for name, value in message.get("headers", ())
            )
            if self._open:
                self._start_clock()
        elif not message.get("more_body", False):
            self._open = False
        await self._send(message)

    async def end(self) -> None:
        pass

    async def finish(self) -> None:
        if self._open:  # cancelled: it ends in order
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
