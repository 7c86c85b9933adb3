"""A key endpoint without a network: changed in one line, and it counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from doorward.errors import FetchError
from doorward.keys.fetch import FetchResponse
from support.tokens import SigningKey, jwks


class KeyEndpoint:
    """Answers as it is set up; every call is counted, and its request headers are kept.

    Attributes:
        keys: What it publishes; assign to rotate.
        error: What it fails with, if set.
        headers: The response headers.
        gate: Cleared to make it hang until it is set again.
    """

    def __init__(self, *keys: SigningKey | Mapping[str, Any]) -> None:
        self.keys: tuple[SigningKey | Mapping[str, Any], ...] = keys
        self.error: Exception | None = None
        self.headers: dict[str, str] = {"cache-control": "public, max-age=3600"}
        self.body: bytes | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.requests: list[Mapping[str, str]] = []
        self.on_fetch: Callable[[], None] = lambda: None

    @property
    def fetches(self) -> int:
        return len(self.requests)

    def down(self, retry_after: float | None = None) -> None:
        self.error = FetchError("connect", "connection refused", retry_after)

    def up(self) -> None:
        self.error = None

    def __call__(self, _url: str, headers: Mapping[str, str], /) -> FetchResponse:
        self.requests.append(headers)
        self.asked.set()
        self.on_fetch()
        assert self.gate.wait(30), "the test left the endpoint hanging"
        if self.error is not None:
            raise self.error
        return FetchResponse(jwks(*self.keys) if self.body is None else self.body, dict(self.headers))
