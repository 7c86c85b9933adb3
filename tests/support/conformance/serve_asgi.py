"""What an ASGI server runs: the application of every adapter in one process, each under a host of its own.

A server's process then starts once, and not once for each adapter. The host is read here alone, and the
application gets the scope as the server made it.
"""

from __future__ import annotations

from typing import Any

from support.conformance.applications import make_all

__all__ = ["app"]

_APPS = make_all("asgi")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Call the application that the host names."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    host = next(value for name, value in scope["headers"] if name == b"host")
    await _APPS[host.decode()](scope, receive, send)
