"""Fixtures of a verifier on a clock moved by hand, over a key endpoint without a network."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from doorward import loglimit
from support.world import World

ELSEWHERE = (
    "DOORWARD_EMULATOR_HOST",
    "K_SERVICE",
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_WORKER_POOL",
    "GOOGLE_APPLICATION_CREDENTIALS",
)


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
    for variable in ELSEWHERE:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def _no_late_summaries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the log of a test out of the next one: nothing is counted from before, or summed up later."""
    monkeypatch.setattr(loglimit, "in_a_thread", lambda _seconds, _work: None)
    # Those of modules were made with the thread, and are there in every test.
    for limit in [*loglimit._limits]:
        limit._begin()
        monkeypatch.setattr(limit, "_later", lambda _seconds, _work: None)
    yield
    for limit in [*loglimit._limits]:
        limit._begin()


@pytest.fixture
def world() -> World:
    """Give a world of its own to each test."""
    return World()
