"""Fixtures of a verifier on a clock moved by hand, over a key endpoint without a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from doorward import Issuer, KeyCache, Verifier
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.tokens import AUDIENCE, SigningKey, token


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Where nothing may be missing, count a skipped test as a failed one."""
    report: Any = yield
    if os.environ.get("DOORWARD_NO_SKIP") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer's shell says of an emulator, or of Cloud Run, out of the tests."""
    for variable in ("DOORWARD_EMULATOR_HOST", "K_SERVICE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)


@dataclass
class World:
    """A clock, an issuer's key, its endpoint, and verifiers over them."""

    clock: ManualClock = field(default_factory=ManualClock)
    key: SigningKey = field(default_factory=lambda: SigningKey("key-1"))
    endpoint: KeyEndpoint = field(init=False)

    def __post_init__(self) -> None:
        self.endpoint = KeyEndpoint(self.key)

    def cache(self, issuer: Issuer, **settings: Any) -> KeyCache:
        settings = {"fetch": self.endpoint, "clock": self.clock, "monotonic": self.clock, **settings}
        return KeyCache(issuer.key_url, issuer.algorithms, **settings)

    def verifier(self, audience: Any = AUDIENCE, **settings: Any) -> Verifier:
        make: Callable[[Issuer], KeyCache] = self.cache
        return Verifier(audience, **{"clock": self.clock, "key_cache": make, **settings})

    def token(self, **changed: Any) -> str:
        return token(self.key, self.clock.now, **changed)


@pytest.fixture
def world() -> World:
    """Give a world of its own to each test."""
    return World()
