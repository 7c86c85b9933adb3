"""The names under which the emulator answers, so that no web page can reach it (DNS rebinding).

A page of any site can let its own name resolve to 127.0.0.1, and then read what a loopback port answers: to
the browser it is the same origin. Such a request carries the name of the site in ``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from doorward.hostport import is_loopback_address

__all__ = ["LoopbackHosts", "no_other_host"]

_NAMES: Final = frozenset({"localhost", "metadata", "metadata.google.internal"})
# An address in brackets or without, or a name with or without the dot at its end, then a port or none.
_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<v4>[0-9.]{7,15})|(?P<name>[a-z.]{1,40}?)\.?)(?::[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)


def _is_own(value: str) -> bool:
    """Return whether a Host header names this machine or the metadata server."""
    found = _HOST.fullmatch(value)
    if found is None:
        return False
    if found["name"] is not None:
        return found["name"].lower() in _NAMES
    return is_loopback_address(found["v6"] or found["v4"])


def no_other_host(_: str) -> bool:
    """Return that an application answers for no host besides those of this machine."""
    return False


class LoopbackHosts:
    """Refuses each request whose ``Host`` is not a loopback host or the metadata server's name.

    Accepted are ``localhost``, loopback addresses, ``metadata`` and ``metadata.google.internal``, each with
    any port or none. Any other host is refused with 403; no ``Host``, or more than one, with 400 (RFC 9112,
    section 3.2).
    """

    def __init__(self, app: ASGIApp, *, answers_for: Callable[[str], bool] = no_other_host) -> None:
        """Guard an application.

        Args:
            app: The ASGI application.
            answers_for: Says of any other ``Host`` whether the application answers for it over TLS, which
                ended before: the scheme of such a request is ``https``. It is asked for each request.
        """
        self._app = app
        self._answers_for = answers_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it.

        Args:
            scope: The connection's scope.
            receive: Receives its messages.
            send: Sends its answers.
        """
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) == 1 and _is_own(hosts[0]):
            await self._app(scope, receive, send)
        elif len(hosts) == 1 and self._answers_for(hosts[0]):
            await self._app({**scope, "scheme": "https"}, receive, send)
        elif scope["type"] == "websocket":
            # Closed before it was accepted, the server answers with 403.
            await send({"type": "websocket.close", "code": 1008})
        elif len(hosts) == 1:
            refusal = PlainTextResponse(
                "The Host header must be a loopback host, such as 127.0.0.1 or localhost.",
                HTTPStatus.FORBIDDEN,
            )
            await refusal(scope, receive, send)
        else:
            refusal = PlainTextResponse("The request needs one Host header.", HTTPStatus.BAD_REQUEST)
            await refusal(scope, receive, send)
