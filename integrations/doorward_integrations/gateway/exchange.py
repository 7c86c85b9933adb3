"""What an exchange of one admitted request with the upstream is made of, over HTTP or a websocket."""

from __future__ import annotations

import abc
import errno
from typing import TYPE_CHECKING, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from doorward_integrations.gateway.answers import Failure

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from doorward_integrations.gateway.record import Record
    from doorward_integrations.gateway.upstream import Upstream

__all__ = ["Exchange", "failure_of"]


def failure_of(error: Exception) -> Failure:
    """Return the answer to a request that the upstream has not answered.

    Args:
        error: What the client library has raised.
    """
    if isinstance(error, TimeoutError):
        return Failure(504, "upstream_timeout", "The service did not answer in time.")
    if isinstance(error, aiohttp.ClientConnectorError):
        why = errno.errorcode.get(error.errno or 0, "no connection")
        return Failure(502, "upstream_unreachable", "The service cannot be reached.", f"no connection: {why}")
    return Failure(502, "upstream_failed", "The service gave no usable answer.", type(error).__name__)


class Exchange(abc.ABC):
    """Sends one admitted request on.

    Args:
        session: The client.
        upstream: Where to.
        scope: The scope, with the headers of the admission.
        headers: The headers that the upstream receives.
        record: Takes how it went.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        upstream: Upstream,
        scope: Scope,
        headers: list[tuple[str, str]],
        record: Record,
    ) -> None:
        """Prepare; see the class."""
        self._session: Final = session
        self._upstream: Final = upstream
        self._scope: Final = scope
        self._headers: Final = CIMultiDict(headers)
        self._record: Final = record

    @abc.abstractmethod
    async def run(self, receive: Receive, send: Send) -> None:
        """Carry it both ways.

        Args:
            receive: Receives from the client.
            send: Sends to the client.

        Raises:
            Failure: If no answer has begun.
        """

    def _target(self) -> URL:
        """Return the URL at the upstream: byte for byte the target that the door decided on.

        Raises:
            Failure: If the client library would send another target.
        """
        query = self._scope["query_string"]
        path: bytes = self._scope["raw_path"]
        target = (path + b"?" + query if query else path).decode("ascii")
        url = URL(self._upstream.origin + target, encoded=True)
        if url.raw_path_qs != target:
            raise Failure(400, "bad_target", "The target cannot be sent on as it is.")
        return url
