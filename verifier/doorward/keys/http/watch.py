"""One HTTP request under one deadline: which stage it is in, and how it ends when its time is up.

A read timeout starts anew with every byte that arrives: a server that sends slowly could hold a request open
for any time. The watch therefore bounds the whole request, and shuts its socket down at the deadline.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Self

__all__ = ["RequestWatch"]


class RequestWatch:
    """Follows one request, as a context manager around it.

    Attributes:
        stage: What the request does now: ``connect``, ``tls``, ``send`` or ``read``.
        expired: Whether the deadline has passed.
    """

    def __init__(self, deadline: float) -> None:
        """Prepare the timer; it runs from ``__enter__`` to ``__exit__``.

        Args:
            deadline: Seconds for the whole request.
        """
        self.stage: str = "connect"
        self.expired: bool = False
        self._stream: Any = None
        self._timer = threading.Timer(deadline, self._expire)
        self._timer.daemon = True
        self._timer.name = "doorward-deadline"

    def __enter__(self) -> Self:
        """Start the timer."""
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the timer, and wait until its thread has ended."""
        self._timer.cancel()
        self._timer.join()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow the request: httpx calls this as its ``trace`` extension.

        Args:
            event: The name of the event.
            info: Its data.
        """
        if event.endswith("start_tls.started"):
            self.stage = "tls"
        elif event.endswith(("send_request_headers.started", "send_request_body.started")):
            self.stage = "send"
        elif event.endswith(("receive_response_headers.started", "receive_response_body.started")):
            self.stage = "read"
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info["return_value"]
            if self.expired:
                self._expire()

    def _expire(self) -> None:
        """Shut the socket down, which ends whatever the request waits for."""
        import socket  # noqa: PLC0415 - httpx has imported it by now

        self.expired = True
        sock = self._stream.get_extra_info("socket") if self._stream is not None else None
        if isinstance(sock, socket.socket):
            # Not the method of SSLSocket: after it, the rest of the answer would be read without TLS.
            with contextlib.suppress(OSError):  # the connection had ended already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def stage_of(self, error: BaseException) -> str:
        """Return the stage in which a request failed.

        Args:
            error: The error of httpx. A failed name look-up can be seen only in the causes behind it.

        Returns:
            ``dns`` for a failed name look-up, else the stage that the request was in.
        """
        import socket  # noqa: PLC0415 - as above

        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, socket.gaierror):
                return "dns"
            cause = cause.__cause__ or cause.__context__
        return self.stage
