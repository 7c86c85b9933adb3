"""FastAPI's docs page of a guarded application, in a real browser, as a person uses it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from support.docspage import MEMBER, DocsPage, Site


@pytest.fixture
def docs(page: Page, site: Site) -> DocsPage:
    return DocsPage(page, site.url)


def test_an_authorized_person_gets_the_answer_of_the_operation(docs: DocsPage, site: Site) -> None:
    docs.authorize(site.token())
    status, body = docs.execute()

    assert "200" == status
    assert MEMBER in body


def test_a_person_who_has_not_authorized_is_refused_with_403(docs: DocsPage) -> None:
    status, body = docs.execute()

    assert "403" == status
    assert "Your client does not have permission" in body


def test_a_token_for_another_service_is_refused_with_401(docs: DocsPage, site: Site) -> None:
    docs.authorize(site.token(audience="https://another-service.example.com"))

    assert "401" == docs.execute()[0]


def test_the_page_shows_how_the_door_refuses(docs: DocsPage) -> None:
    assert {
        "200": "Successful Response",
        "401": "The ID token is not good.",
        "403": "No ID token, or its holder may not call this.",
        "503": "Whether the ID token is good, or its holder may call this, cannot be found out now.",
    } == docs.documented()
