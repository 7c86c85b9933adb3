"""Who may use the emulator's own interface, and what every answer of it carries."""

from __future__ import annotations

import httpx
import pytest

from doorward_integrations.emulator.interface import CONTROL_HEADER, PAGE_PATH

EXPLAIN = "/doorward/v1/page/explain"
WANTED = {"token": "a.b.c", "audience": "https://orders.example.com"}
MARK = {CONTROL_HEADER: "1"}
POSTS = ("explain", "effect", "policy", "rotate")
GETS = ("state", "policy")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**MARK, "Origin": "https://evil.example"},
        {**MARK, "Origin": "null"},
        {**MARK, "Sec-Fetch-Site": "cross-site"},
        {**MARK, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_another_site_could_send_is_refused(
    path: str, headers: dict[str, str], client: httpx.Client
) -> None:
    answer = client.post(f"/doorward/v1/page/{path}", json=WANTED, headers=headers)

    assert 403 == answer.status_code
    assert "token" not in answer.json()


@pytest.mark.parametrize("path", GETS)
def test_nothing_is_read_without_the_header(path: str, client: httpx.Client) -> None:
    assert 403 == client.get(f"/doorward/v1/page/{path}").status_code


def test_a_token_is_explained_by_post_only(client: httpx.Client) -> None:
    assert 405 == client.get(EXPLAIN, params=WANTED, headers=MARK).status_code


def test_a_form_that_any_page_can_send_is_not_read(client: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post(EXPLAIN, content=b'{"token": "a"}', headers={**MARK, "Content-Type": kind})
        assert 415 == answer.status_code


def test_another_name_of_this_machine_is_refused(client: httpx.Client) -> None:
    assert 403 == client.post(EXPLAIN, json=WANTED, headers={**MARK, "Host": "evil.example"}).status_code


def test_a_preflight_is_answered_with_no_permission(client: httpx.Client) -> None:
    answer = client.options(
        EXPLAIN, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )

    assert not answer.is_success
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"token": 7, "audience": "a"}', 400),
        (b'{"audience": "a"}', 400),
        (b'{"token": "a.b.c", "audience": " "}', 400),
        (b'{"token": "a", "token": "b", "audience": "a"}', 400),
        (b"[" * 100_000, 400),
        (b" " * 600_000, 400),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(body: bytes, status: int, client: httpx.Client) -> None:
    answer = client.post(EXPLAIN, content=body, headers={**MARK, "Content-Type": "application/json"})

    assert status == answer.status_code
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["/", f"{PAGE_PATH}/page.js", f"{PAGE_PATH}/page.css", f"{PAGE_PATH}/state"])
def test_every_answer_forbids_what_the_page_does_not_need(path: str, client: httpx.Client) -> None:
    headers = client.get(path, headers={**MARK, "Accept": "text/html"}).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert ("no-store", "nosniff", "no-referrer") == (
        headers["cache-control"],
        headers["x-content-type-options"],
        headers["referrer-policy"],
    )
