"""A browser, and a guarded application for it, started once for each file.

While a browser runs, playwright keeps an event loop running in this thread, where no other test could run
one: so it ends with the tests of a file.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from support.browser import chromium
from support.docspage import Site
from support.docspage import site as served_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium; skip the test without it."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Serve the application; skip the test without npm, which brings Swagger UI."""
    with served_site() as site:
        yield site


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Keep what the browser has loaded from one test to the next; pages keep nothing else."""
    with browser.new_context() as context:
        context.set_default_timeout(60_000)
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Open a page."""
    page = context.new_page()
    yield page
    page.close()
