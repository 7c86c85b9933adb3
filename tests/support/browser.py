"""Chromium without a window, for pages that are used as a person uses them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from support.nodejs import program

__all__ = ["chromium"]

_ALONE = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-proxy-server")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run it, talking to this machine alone; skip the test where it is not installed."""
    executable = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=[*_ALONE])
        try:
            yield running
        finally:
            running.close()
