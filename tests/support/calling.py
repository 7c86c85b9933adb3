"""A source of ID tokens that is changed in one line, and counts."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from doorward_integrations.calling import IdTokens
from support.clock import ManualClock
from support.tokens import b64

__all__ = ["PATIENCE", "FakeSource", "Received", "cache_of", "landed", "unsigned", "without_proxies"]

PATIENCE = 20.0


def unsigned(audience: str, expires_at: float, **changed: Any) -> str:
    """Make what looks like an ID token; its signature is none."""
    header = b64(b'{"alg":"RS256","kid":"k","typ":"JWT"}')
    claims = {"aud": audience, "exp": int(expires_at), "iss": "https://accounts.google.com", **changed}
    claims = {name: value for name, value in claims.items() if value is not None}
    return f"{header}.{b64(json.dumps(claims).encode())}.{b64(b'signature-of-no-key')}"


class FakeSource:
    """Gives a new token of an hour for each fetch, unless `answer` is set.

    Attributes:
        answer: Makes what is given, or raises.
        asked: The audiences of all fetches so far.
        reached: Set with the first fetch.
        gate: Cleared, it holds fetches up.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.answer: Callable[[str], Any] = self.fresh
        self.asked: list[str] = []
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def fresh(self, audience: str) -> str:
        return unsigned(audience, self.clock.now + 3600, sub=str(len(self.asked)))

    def fetch(self, audience: str, /) -> str:
        self.asked.append(audience)
        self.reached.set()
        assert self.gate.wait(PATIENCE), "the test left the source hanging"
        token: str = self.answer(audience)
        return token


class Received:
    """Receives what is delivered, and says when that were so many.

    Attributes:
        got: What was received.
        all: Set with the last one.
    """

    def __init__(self, count: int) -> None:
        self.got: list[tuple[Any, Any]] = []
        self.all = threading.Event()
        self._count = count

    def __call__(self, given: Any, error: Any) -> None:
        self.got.append((given, error))
        if len(self.got) >= self._count:
            self.all.set()


class _NoJitter:
    """Jitter that is always the upper bound."""

    def uniform(self, low: float, high: float) -> float:
        return high


def cache_of(source: Any, clock: ManualClock, **settings: Any) -> IdTokens:
    """Make a cache on one clock, without jitter."""
    jitter: Any = _NoJitter()
    return IdTokens(source, **{"clock": clock, "monotonic": clock, "rng": jitter, **settings})


def landed(tokens: IdTokens, audience: str) -> None:
    """Wait until the fetch for an audience is over, if one is under way."""
    flight = tokens._audiences[audience]._flights.current
    if flight is not None:
        assert flight.wait(PATIENCE)


def without_proxies(patch: pytest.MonkeyPatch) -> None:
    """Keep the proxies of the developer's shell out of a test."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            patch.delenv(name)
