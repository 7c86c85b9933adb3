"""Fixtures of a cache over a source that is changed in one line, on a clock moved by hand."""

from __future__ import annotations

import pytest

from doorward_integrations.calling import IdTokens
from support.calling import FakeSource, cache_of, without_proxies
from support.clock import ManualClock


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def source(clock: ManualClock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def tokens(source: FakeSource, clock: ManualClock) -> IdTokens:
    return cache_of(source, clock)
