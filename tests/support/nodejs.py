"""Packages of npm for tests that need them: locked, installed once, and kept beside the environment."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["install", "program"]

_KEPT = Path(__file__).parents[2] / ".node"


def program(*names: str) -> str:
    """Return the path of a program, by the first of its names that is found; skip the test without it."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed, and the test needs it")
    return found


def install(wanted: Path) -> Path:
    """Install what a ``package-lock.json`` names, and return the folder that has it in ``node_modules``."""
    npm = program("npm")
    lock = (wanted / "package-lock.json").read_bytes()
    folder = _KEPT / hashlib.sha256(lock).hexdigest()[:16]
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(wanted / name, folder)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        installed = subprocess.run(
            [npm, "ci", *quiet], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert 0 == installed.returncode, installed.stderr
        done.touch()
    return folder
