"""The keys of every issuer over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from doorward_integrations.emulator import Emulator

HEADERS = {"X-Doorward-Emulator": "1"}


def listed(client: httpx.Client) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = client.get("/doorward/v1/keys", headers=HEADERS).json()["keys"]
    return keys


def post(client: httpx.Client, verb: str, **asked: Any) -> httpx.Response:
    return client.post(f"/doorward/v1/keys:{verb}", json=asked, headers=HEADERS)


def test_the_published_keys_of_every_issuer_are_listed(emulator: Emulator, client: httpx.Client) -> None:
    emulator.oidc("partner")
    keys = listed(client)

    assert {"google", "iap", "firebase", "oidc https://partner.test"} == {one["issuer"] for one in keys}
    google = [one for one in keys if one["issuer"] == "google"]
    assert [key.kid for key in emulator.issuer.keys] == [one["kid"] for one in google]
    assert ["current", "published"] == [one["state"] for one in google]
    assert {"RS256", "ES256"} == {one["algorithm"] for one in keys}


def test_no_answer_holds_a_private_key(client: httpx.Client) -> None:
    fields = {name for one in listed(client) for name in one}

    assert {"issuer", "kid", "algorithm", "state", "since", "until"} == fields


def test_keys_are_rotated_and_withdrawn(emulator: Emulator, client: httpx.Client) -> None:
    first = emulator.issuer.current
    answer = post(client, "rotate")
    second = emulator.issuer.current
    assert [second.kid, first.kid] == [one["kid"] for one in answer.json()["keys"]]
    post(client, "rotate", issuer="google", withdraw=True)
    assert second not in emulator.issuer.keys


def test_a_key_is_revoked(emulator: Emulator, client: httpx.Client) -> None:
    kid = emulator.iap.current.kid

    assert 200 == post(client, "revoke", issuer="iap", kid=kid).status_code
    assert kid not in client.get("/iap/verify/public_key").json()


@pytest.mark.parametrize(
    ("verb", "asked", "why"),
    [
        ("rotate", {"issuer": "other"}, "no issuer 'other' with keys"),
        ("revoke", {"kid": "other"}, "no key with the id 'other'"),
        ("revoke", {}, "no key with the id ''"),
    ],
    ids=str,
)
def test_what_is_not_there_is_said(verb: str, asked: dict[str, str], why: str, client: httpx.Client) -> None:
    answer = post(client, verb, **asked)

    assert (404, "NOT_FOUND") == (answer.status_code, answer.json()["error"]["status"])
    assert why in answer.json()["error"]["message"]


def test_without_the_header_keys_are_neither_listed_nor_changed(
    emulator: Emulator, client: httpx.Client
) -> None:
    before = emulator.issuer.keys

    assert 403 == client.get("/doorward/v1/keys").status_code
    for verb in ("rotate", "revoke"):
        body = {"kid": before[0].kid} if verb == "revoke" else {}
        assert 403 == client.post(f"/doorward/v1/keys:{verb}", json=body).status_code
    assert before == emulator.issuer.keys
