"""A browser's own websocket, whose token comes in a subprotocol."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from support.docspage import MEMBER, Site

OPEN = """
    ([path, offers]) => new Promise((resolve) => {
        const socket = new WebSocket(location.origin.replace("http", "ws") + path, offers);
        let opened = null;
        socket.onopen = () => { opened = socket.protocol; };
        socket.onmessage = (event) => resolve({ opened, received: JSON.parse(event.data) });
        socket.onclose = (event) => resolve({ opened, code: event.code });
    })
"""


in_both_ways = pytest.mark.parametrize(
    "path", [pytest.param("/live", id="dependency"), pytest.param("/in-front/live", id="middleware")]
)


@pytest.fixture
def opened(page: Page, site: Site) -> Any:
    """Open a websocket with offers from a page of the site, and return what the page sees."""
    page.goto(f"{site.url}/openapi.json")
    return lambda path, *offers: page.evaluate(OPEN, [path, list(offers)])


@in_both_ways
def test_a_good_token_is_admitted_and_the_chosen_protocol_does_not_hold_it(
    opened: Any, site: Site, path: str
) -> None:
    seen = {"caller": MEMBER, "offered": ["doorward.bearer"]}
    assert {"opened": "doorward.bearer", "received": seen} == opened(
        path, "doorward.bearer", f"doorward.bearer.{site.token()}"
    )


def test_an_application_chooses_among_its_own_protocols(opened: Any, site: Site) -> None:
    seen = {"caller": MEMBER, "offered": ["orders.v1"]}
    assert {"opened": "orders.v1", "received": seen} == opened(
        "/live", f"doorward.bearer.{site.token()}", "orders.v1"
    )


def bearer(token: str) -> str:
    return f"doorward.bearer.{token}"


OTHER = "other@doorward-demo.iam.gserviceaccount.com"


@in_both_ways
@pytest.mark.parametrize(
    "offers",
    [
        pytest.param(lambda _: [], id="none"),
        pytest.param(lambda _: ["doorward.bearer"], id="the name alone"),
        pytest.param(lambda token: ["doorward.bearer", bearer(f"{token()[:-8]}AAAAAAAA")], id="bad"),
        pytest.param(lambda token: [bearer(token(lifetime=-600))], id="expired"),
        pytest.param(lambda token: [bearer(token()), bearer(token(lifetime=3000))], id="two"),
        pytest.param(lambda token: [bearer(token(email=OTHER))], id="no permission"),
    ],
)
def test_any_other_offer_is_refused(opened: Any, site: Site, path: str, offers: Any) -> None:
    assert {"opened": None, "code": 1006} == opened(path, *offers(site.token))
