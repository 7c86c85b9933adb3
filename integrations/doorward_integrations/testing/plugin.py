"""The pytest plugin: it says that a test is running, and has one fixture.

All else is imported when it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from doorward_integrations.testing import running

if TYPE_CHECKING:
    from doorward_integrations.testing.issuer import MemoryIssuer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    """Say that a test is running, its fixtures included."""
    running.begin()
    try:
        return (yield)
    finally:
        running.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Show in the report of a failed test what the doors that it watched have decided."""
    report: Any = yield
    decisions = sys.modules.get("doorward_integrations.testing.decisions")
    if decisions is not None and report.failed and (made := decisions.made()):
        report.sections.append(("what the door decided", "\n".join(map(str, made[-20:]))))
    return report


@pytest.fixture
def doorward_issuer() -> Iterator[MemoryIssuer]:
    """An issuer in memory, whose real tokens the verifiers believe that it stands in for."""
    from doorward_integrations.testing.issuer import MemoryIssuer  # noqa: PLC0415 - tests without it do not wait

    with MemoryIssuer() as issuer:
        yield issuer
