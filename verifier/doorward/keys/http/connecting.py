"""Connecting to a host that has several addresses: each gets its share of the time.

A broken IPv6 network swallows connection attempts without an answer. An attempt that may use all of the time
would make such a host unreachable, although its other addresses answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["AddressSharing", "in_turn"]

_LONGEST_SHARE: Final = 2.0
"""Seconds that an attempt may take while there is another address to try."""


class AddressSharing:
    """A network backend of httpcore that tries the addresses of a host in turn, each for a bounded time."""

    def __init__(self, backend: Any) -> None:  # noqa: ANN401 - of httpcore or httpcore2
        """Wrap a backend.

        Args:
            backend: Makes the connections, each to one address.
        """
        self._backend: Final[Any] = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as above
        """Connect to the first address that accepts.

        Args:
            host: A name or an address.
            port: The port.
            timeout: Seconds for all attempts together.
            local_address: The address to connect from, if it matters.
            socket_options: As httpcore gives them.

        Returns:
            The stream of the backend.

        Raises:
            OSError: If the name has no address; other errors are those of the backend for the last attempt.
        """
        import socket  # noqa: PLC0415 - httpcore has imported it by now

        began, options = time.monotonic(), list(socket_options or ())
        # Positional: stand-ins for this function in tests, and in gevent, differ in the names.
        addresses = in_turn(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        for number, address in enumerate(addresses, 1):
            left, share = len(addresses) - number, timeout
            if timeout is not None:
                remaining = max(timeout - (time.monotonic() - began), 0.001)
                share = min(remaining / (left + 1), _LONGEST_SHARE) if left else remaining
            try:
                return self._backend.connect_tcp(
                    address, port, timeout=share, local_address=local_address, socket_options=options
                )
            except Exception:
                if not left:
                    raise
        raise OSError(f"the name {host!r} has no address")

    def connect_unix_socket(self, *args: Any, **settings: Any) -> Any:  # noqa: ANN401 - as above
        """Connect as the backend does."""
        return self._backend.connect_unix_socket(*args, **settings)

    def sleep(self, seconds: float) -> None:
        """Wait as the backend does.

        Args:
            seconds: For how long.
        """
        self._backend.sleep(seconds)


def in_turn(found: Iterable[tuple[Any, ...]]) -> list[str]:
    """Put the addresses of a host in the order in which they are tried: families alternate (RFC 8305).

    Args:
        found: What `socket.getaddrinfo` returns; its order is kept within a family.

    Returns:
        The addresses, none twice.
    """
    families: dict[Any, dict[str, None]] = {}
    for family, _, _, _, where in found:
        families.setdefault(family, {})[where[0]] = None
    lists = [list(addresses) for addresses in families.values()]
    longest = max(map(len, lists), default=0)
    return [one[index] for index in range(longest) for one in lists if index < len(one)]
