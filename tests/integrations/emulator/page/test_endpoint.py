"""The page's files, and what it asks the emulator for."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from doorward_integrations.emulator import Emulator
from doorward_integrations.emulator.interface import CONTROL_HEADER, TOKENS_PATH
from support.clock import ManualClock

ACCOUNT = "caller@shop.iam.gserviceaccount.com"
AUDIENCE = "https://orders.example.com"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def post(client: httpx.Client, path: str, **asked: Any) -> Any:
    answer = client.post(f"/doorward/v1/page/{path}", json=asked, headers={CONTROL_HEADER: "1"})
    return answer.json()


def get(client: httpx.Client, path: str) -> Any:
    return client.get(f"/doorward/v1/page/{path}", headers={CONTROL_HEADER: "1"}).json()


def test_a_browser_gets_the_page_at_the_root(client: httpx.Client) -> None:
    answer = client.get("/", headers=BROWSER)

    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert "<title>doorward emulator</title>" in answer.text


@pytest.mark.parametrize("headers", [{"Metadata-Flavor": "Google"}, {"Metadata-Flavor": "Google", **BROWSER}])
def test_a_client_that_looks_for_a_metadata_server_finds_one_at_the_root(
    headers: dict[str, str], client: httpx.Client
) -> None:
    answer = client.get("/", headers=headers)

    assert (200, "Google") == (answer.status_code, answer.headers["metadata-flavor"])
    assert "<html" not in answer.text


def test_the_page_too_carries_the_sign_of_a_metadata_server(client: httpx.Client) -> None:
    assert "Google" == client.get("/", headers=BROWSER).headers["metadata-flavor"]


def test_the_page_has_no_script_or_style_within(client: httpx.Client) -> None:
    text = client.get("/", headers=BROWSER).text

    assert ['<script src="/doorward/v1/page/page.js" defer></script>'] == re.findall(
        r"<script.*?</script>", text, re.DOTALL
    )
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)


def test_the_script_never_makes_markup_of_text(client: httpx.Client) -> None:
    script = client.get("/doorward/v1/page/page.js").text

    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage", script
    )


def test_a_minted_token_is_one_of_the_account_for_an_hour(client: httpx.Client, clock: ManualClock) -> None:
    asked = {"account": ACCOUNT, "audience": AUDIENCE}
    minted = client.post(TOKENS_PATH, json=asked, headers={CONTROL_HEADER: "1"}).json()
    explained = post(client, "explain", token=minted["token"], audience=AUDIENCE)

    assert clock.now + 3_600 == minted["expires_at"]
    assert f"serviceAccount:{ACCOUNT}" in explained["principal"]


def test_the_state_lists_accounts_and_keys_and_no_secret(client: httpx.Client, emulator: Emulator) -> None:
    state = get(client, "state")

    assert [emulator.accounts.default.email] == [one["email"] for one in state["accounts"] if one["default"]]
    assert [(emulator.issuer.current.kid, True)] == [
        (one["kid"], one["signs"]) for one in state["keys"] if one["signs"]
    ]
    assert "private" not in str(state).lower()


def test_a_rotation_keeps_the_old_key_and_a_withdrawal_does_not(
    client: httpx.Client, emulator: Emulator
) -> None:
    first = emulator.issuer.current.kid
    rotated = post(client, "rotate", withdraw=False)["keys"]
    assert [first] == [one["kid"] for one in rotated if not one["signs"]]

    withdrawn = post(client, "rotate", withdraw=True)["keys"]
    assert rotated[0]["kid"] not in [one["kid"] for one in withdrawn]


SERVICE = "projects/shop/locations/europe-west1/services/orders"
GRANTED = {"bindings": [{"role": "roles/run.invoker", "members": [f"serviceAccount:{ACCOUNT}"]}]}


def test_a_policy_is_shown_with_its_effect_and_then_saved_where_doors_follow(
    client: httpx.Client, emulator: Emulator
) -> None:
    text = json.dumps(GRANTED)
    emulator.accounts.use(ACCOUNT)
    effect = post(client, "effect", service=SERVICE, policy=text)
    assert [ACCOUNT] == [one["name"] for one in effect["gains"]]
    assert {"etag": "ACAB"} == emulator.services.get(SERVICE)

    saved = post(client, "policy", service=SERVICE, policy=text)["policy"]
    assert GRANTED["bindings"] == saved["bindings"]
    assert saved == emulator.services.get(SERVICE)
    assert [SERVICE] == get(client, "state")["services"]


def test_a_policy_that_was_changed_in_the_meantime_is_not_overwritten(
    client: httpx.Client, emulator: Emulator
) -> None:
    loaded = get(client, f"policy?service={SERVICE}")["policy"]
    emulator.services.set(SERVICE, GRANTED)

    refused = post(client, "policy", service=SERVICE, policy=json.dumps({**loaded, "bindings": []}))
    assert "concurrent policy changes" in refused["error"]
    assert GRANTED["bindings"] == emulator.services.get(SERVICE)["bindings"]


@pytest.mark.parametrize(
    ("service", "text", "why"),
    [
        ("orders", "{}", "is no name of a service"),
        (SERVICE, "{", "is no JSON object"),
        (SERVICE, "[]", "is no JSON object"),
        (SERVICE, '{"bindings": [], "bindings": []}', "a member name occurs twice"),
        (SERVICE, '{"bindings": [{"role": "owner", "members": []}]}', "is not valid"),
    ],
)
def test_a_policy_that_iam_would_refuse_is_refused_with_a_sentence(
    service: str, text: str, why: str, client: httpx.Client, emulator: Emulator
) -> None:
    assert why in post(client, "policy", service=service, policy=text)["error"]
    assert [] == emulator.services.names()
