"""Where admitted requests go, and for how long the gateway waits there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError
from doorward.shown import quoted

__all__ = ["Upstream"]

_MOST_CONCURRENT = 1_000_000


@dataclass(frozen=True, slots=True)
class Upstream:
    """One service behind the gateway.

    Attributes:
        url: Its origin, such as ``http://127.0.0.1:8080``, without a path.
        concurrency: Requests that it gets at once at most, websockets included, as the setting of that name
            on Cloud Run; None for any number.
        pending: Seconds that a request over `concurrency` waits, before it is answered with 429.
        request_timeout: Seconds from the decision to the end of the answer, as the request timeout of Cloud
            Run; None for no end.
        connect_timeout: Seconds that a connection may take.
        keepalive: Seconds for which an idle connection is kept. Keep it below what the upstream has, else the
            upstream may close a connection in the moment in which the next request is sent.

    Raises:
        ConfigurationError: If the URL is not an origin, or a number is out of range.
    """

    url: str
    concurrency: int | None = None
    pending: float = 10.0
    request_timeout: float | None = None
    connect_timeout: float = 10.0
    keepalive: float = 1.0
    origin: str = field(init=False)

    def __post_init__(self) -> None:
        """Check the settings."""
        object.__setattr__(self, "origin", _origin(self.url))
        if self.concurrency is not None and not 0 < self.concurrency <= _MOST_CONCURRENT:
            raise ConfigurationError(f"concurrency={self.concurrency} must be at least 1")
        for name in ("pending", "keepalive"):
            if not 0 <= (seconds := getattr(self, name)) < math.inf:
                raise ConfigurationError(f"{name}={seconds} must be 0 or more seconds")
        for name in ("request_timeout", "connect_timeout"):
            if (seconds := getattr(self, name)) is not None and not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name}={seconds} must be more than 0 seconds")


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError):
        parts, port = urlsplit(""), None
    rest = (parts.path.rstrip("/"), parts.query, parts.fragment, parts.username or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or any(rest) or port == 0:
        raise ConfigurationError(
            f"the upstream {quoted(url)} must be an origin without a path, such as http://127.0.0.1:8080"
        )
    return f"{parts.scheme}://{parts.netloc}"
