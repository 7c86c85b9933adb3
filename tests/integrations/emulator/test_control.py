"""One rule says who may ask at the emulator's own endpoints."""

from __future__ import annotations

import httpx
import pytest

from doorward_integrations.emulator.interface import (
    CONTROL_HEADER,
    CONTROL_VALUE,
    DECISIONS_PATH,
    FOLLOW_PATH,
    KEY_FILES_PATH,
    KEYS_PATH,
    PAGE_PATH,
    TOKENS_PATH,
)

CONTROL = {CONTROL_HEADER: CONTROL_VALUE}
ENDPOINTS = [
    ("POST", TOKENS_PATH),
    ("GET", KEYS_PATH),
    ("POST", f"{KEYS_PATH}:rotate"),
    ("POST", f"{KEYS_PATH}:revoke"),
    ("POST", KEY_FILES_PATH.format(account="shop@orders-demo.iam.gserviceaccount.com")),
    ("GET", FOLLOW_PATH),
    ("GET", DECISIONS_PATH),
    ("POST", DECISIONS_PATH),
    ("GET", f"{PAGE_PATH}/state"),
    ("POST", f"{PAGE_PATH}/explain"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {CONTROL_HEADER: ""},
        {CONTROL_HEADER: "0"},
        {"Origin": "http://localhost"},
        CONTROL | {"Origin": "https://evil.example"},
        CONTROL | {"Origin": "null"},
        CONTROL | {"Sec-Fetch-Site": "cross-site"},
        CONTROL | {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_a_page_of_another_site_could_send_is_refused(
    method: str, path: str, headers: dict[str, str], client: httpx.Client
) -> None:
    answer = client.request(method, path, headers=headers, json={} if method == "POST" else None)

    assert 403 == answer.status_code
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_page_that_asks_whether_it_may_send_the_header_is_not_given_leave(
    method: str, path: str, client: httpx.Client
) -> None:
    asked = {"Origin": "http://localhost:1", "Access-Control-Request-Headers": CONTROL_HEADER}
    answer = client.options(path, headers=asked | {"Access-Control-Request-Method": method})

    assert 405 == answer.status_code
    assert not [name for name in answer.headers if name.startswith("access-control-")]
