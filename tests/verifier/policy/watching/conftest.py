"""A policy file, and a policy that follows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.watching import WatchedFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.json"


@pytest.fixture
def watched(path: Path) -> WatchedFile:
    return WatchedFile(path)
