"""What a policy may read of the request that it decides on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from doorward.policy.paths import readings_of

__all__ = ["ANYWHERE", "PlainRequest", "RequestFacts", "host_name"]


_HOST: Final = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]*)?")


class RequestFacts(Protocol):
    """A request, as far as a decision may depend on it.

    Adapters pass an object that computes these values on access: most decisions read none of them.
    """

    @property
    def method(self) -> str:
        """The method, in capitals; ``GET`` for a websocket."""
        ...

    @property
    def path(self) -> str:
        """The whole path, percent-decoded, without the query, as the application routes by it."""
        ...

    @property
    def sent_path(self) -> str:
        """The path as sent, still encoded, without the query; it is shown, and decides nothing."""
        ...

    @property
    def readings(self) -> tuple[str, ...]:
        """Every path by which the application could route the request; empty if the path cannot be read.

        See `doorward.policy.paths.readings_of`. The first one is `path`.
        """
        ...

    @property
    def websocket(self) -> bool:
        """Whether the request opens a websocket."""
        ...

    @property
    def host(self) -> str:
        """The host that the request names, in lower case and without a port; empty if it names none."""
        ...


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A request whose facts are given one by one.

    Attributes:
        path: The whole path, percent-decoded, without the query.
        method: The method, in capitals.
        host: The host, in lower case and without a port.
        websocket: Whether it opens a websocket.
    """

    path: str = "/"
    method: str = "GET"
    host: str = ""
    websocket: bool = False

    @property
    def readings(self) -> tuple[str, ...]:
        """Every path by which an application could route it."""
        return readings_of(self.path)

    @property
    def sent_path(self) -> str:
        """The same path: how it was encoded is not known."""
        return self.path


def host_name(header: bytes) -> str:
    """Return the host that a Host header names (RFC 9110, section 7.2).

    Args:
        header: The value of the header, as sent.

    Returns:
        The name in lower case, without the port; empty if the value is not a host.
    """
    text = header.decode("latin-1").strip(" \t").lower()
    found = _HOST.fullmatch(text)
    return "" if found is None else found[1]


ANYWHERE: Final[PlainRequest] = PlainRequest()
"""The request of decisions that do not depend on one."""
