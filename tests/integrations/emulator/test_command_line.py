"""What the emulator answers to the command line: that it is there, and tokens for any account."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from doorward_integrations.emulator.command_line import CONTROL_HEADER, HEALTH_PATH, TOKENS_PATH
from support.clock import ManualClock
from support.tokens import AUDIENCE

HEADERS = {CONTROL_HEADER: "1"}


def claims(client: httpx.Client, **asked: Any) -> Any:
    answer = client.post(TOKENS_PATH, json={"audience": AUDIENCE} | asked, headers=HEADERS)
    assert 200 == answer.status_code, answer.text
    assert "no-store" == answer.headers["Cache-Control"]
    payload = answer.json()["token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_it_says_that_it_is_there_and_for_whom_it_issues_tokens(
    client: httpx.Client, emulator: Emulator
) -> None:
    answer = client.get(HEALTH_PATH).json()

    assert ("ok", "doorward", DEFAULT_ACCOUNT) == (answer["status"], answer["emulator"], answer["account"])
    assert [one.email for one in emulator.accounts] == answer["accounts"]


@pytest.mark.parametrize("email", ["other@p.iam.gserviceaccount.com", "user@example.com"])
def test_a_token_is_for_the_account_that_is_named(email: str, client: httpx.Client) -> None:
    found = claims(client, account=email)

    assert (AUDIENCE, email, True) == (found["aud"], found["email"], found["email_verified"])
    assert 3_600 == found["exp"] - found["iat"]


def test_without_one_it_is_for_the_account_of_the_machine(client: httpx.Client) -> None:
    assert DEFAULT_ACCOUNT == claims(client)["email"]


def test_in_full_it_describes_the_machine(client: httpx.Client) -> None:
    assert "compute_engine" in claims(client, format="full")["google"]
    assert "google" not in claims(client)


@pytest.mark.parametrize("seconds", [1, 60, 86_400])
def test_it_expires_when_it_is_to(seconds: int, client: httpx.Client, clock: ManualClock) -> None:
    assert int(clock()) + seconds == claims(client, expires=seconds)["exp"]


@pytest.mark.parametrize("seconds", [0, -60, -86_400])
def test_one_that_has_expired_was_good_for_an_hour(
    seconds: int, client: httpx.Client, clock: ManualClock
) -> None:
    found = claims(client, expires=seconds)

    assert int(clock()) + seconds == found["exp"]
    assert 3_600 == found["exp"] - found["iat"]


@pytest.mark.parametrize("headers", [{}, {CONTROL_HEADER: "0"}, {"Origin": "http://localhost"}])
def test_a_page_which_cannot_send_the_header_gets_no_token(
    headers: dict[str, str], client: httpx.Client
) -> None:
    answer = client.post(TOKENS_PATH, json={"audience": AUDIENCE}, headers=headers)

    assert 403 == answer.status_code
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_that_asks_whether_it_may_send_the_header_is_not_given_leave(client: httpx.Client) -> None:
    asked = {"Origin": "http://localhost:1", "Access-Control-Request-Headers": CONTROL_HEADER}
    answer = client.options(TOKENS_PATH, headers=asked | {"Access-Control-Request-Method": "POST"})

    assert 405 == answer.status_code
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 10_000,
        b"{}",
        b'{"audience": ""}',
        b'{"audience": 1}',
        b'{"audience": "a", "account": 1}',
        b'{"audience": "a", "format": "other"}',
        b'{"audience": "a", "format": []}',
        b'{"audience": "a", "expires": "1"}',
        b'{"audience": "a", "expires": 1.5}',
        b'{"audience": "a", "expires": true}',
        b'{"audience": "a", "expires": 86401}',
    ],
)
def test_what_cannot_be_minted_is_a_bad_request(body: bytes, client: httpx.Client) -> None:
    assert 400 == client.post(TOKENS_PATH, content=body, headers=HEADERS).status_code


@pytest.mark.parametrize("email", ["", "nothing", "a@b@c", "a b@example.com"])
def test_what_is_no_address_is_no_account(email: str, client: httpx.Client) -> None:
    body = {"audience": AUDIENCE, "account": email}

    assert 404 == client.post(TOKENS_PATH, json=body, headers=HEADERS).status_code


def test_a_body_that_is_too_large_is_not_read_to_its_end(client: httpx.Client) -> None:
    body = json.dumps({"audience": "a" * 65_536}).encode()

    assert 413 == client.post(TOKENS_PATH, content=body, headers=HEADERS).status_code
