"""Key files over HTTP: who may have one made."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from doorward_integrations.emulator import Emulator
from support.accounts import SHOP

HEADER = {"X-Doorward-Emulator": "1"}
PATH = f"/doorward/v1/accounts/{quote(SHOP, safe='@')}/keys"


def test_a_program_of_this_machine_gets_a_key_file(client: httpx.Client, emulator: Emulator) -> None:
    answer = client.post(PATH, json={}, headers=HEADER)

    assert 200 == answer.status_code
    assert [answer.json()["private_key_id"]] == [key.kid for key in emulator.account_keys.of(SHOP)]
    assert str(client.base_url.join("/token")) == answer.json()["token_uri"]
    assert "no-store" == answer.headers["cache-control"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Doorward-Emulator": ""},
        HEADER | {"Origin": "https://example.com"},
        HEADER | {"Origin": "null"},
        HEADER | {"Sec-Fetch-Site": "cross-site"},
        HEADER | {"Host": "metadata.google.internal"},
        HEADER | {"Host": "localhost"},
        HEADER | {"Host": "example.com"},
    ],
)
def test_a_web_page_and_a_host_of_another_name_get_none(
    client: httpx.Client, emulator: Emulator, headers: Any
) -> None:
    answer = client.post(PATH, json={}, headers=headers)

    assert 403 == answer.status_code
    assert "AccountKeys(of 0 accounts)" == repr(emulator.account_keys)


@pytest.mark.parametrize(("account", "status"), [("jane@example.com", 404), ("x", 404), ("", 404)])
def test_what_is_no_service_account_has_none(client: httpx.Client, account: str, status: int) -> None:
    assert status == client.post(f"/doorward/v1/accounts/{account}/keys", headers=HEADER).status_code


@pytest.mark.parametrize("content", [b"[]", b'{"a": 1}', b'{"a"', b" " * 70_000])
def test_a_body_with_anything_in_it_is_refused(client: httpx.Client, content: bytes) -> None:
    answer = client.post(PATH, content=content, headers=HEADER)

    assert (400, "INVALID_ARGUMENT") == (answer.status_code, answer.json()["error"]["status"])
