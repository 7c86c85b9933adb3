"""Tokens over HTTP."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from doorward_integrations.emulator import Emulator
from doorward_integrations.emulator.state_file import StateError

HEADERS = {"X-Doorward-Emulator": "mint"}
ROBOT = "robot@doorward-demo.iam.gserviceaccount.com"


def mint(client: httpx.Client, **asked: Any) -> httpx.Response:
    return client.post("/doorward/v1/tokens", json=asked, headers=HEADERS)


def claims_of(answer: httpx.Response) -> dict[str, Any]:
    assert 200 == answer.status_code, answer.text
    return jwt.decode(answer.json()["token"], options={"verify_signature": False})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"iss": "https://accounts.google.com"}),
        ({"email": "jane@example.com", "lifetime": 60}, {"email": "jane@example.com"}),
        ({"issuer": "iap", "email": "jane@example.com"}, {"iss": "https://cloud.google.com/iap"}),
        (
            {"issuer": "firebase", "audience": "my-project"},
            {"iss": "https://securetoken.google.com/my-project"},
        ),
        ({"issuer": "oidc:partner", "subject": "s"}, {"iss": "https://partner.test", "sub": "s"}),
        ({"issuer": "oidc:https://id.example.com"}, {"iss": "https://id.example.com"}),
        ({"issuer": ROBOT, "claims": {"a": [1]}}, {"iss": ROBOT, "a": [1]}),
    ],
    ids=str,
)
def test_a_token_of_any_issuer_is_minted(
    asked: dict[str, Any], expected: dict[str, Any], client: httpx.Client
) -> None:
    claims = claims_of(mint(client, **{"audience": "orders"} | asked))

    assert expected.items() <= claims.items()
    assert asked.get("audience", "orders") == claims["aud"]


@pytest.mark.parametrize("headers", [{}, {"X-Doorward-Emulator": "keys"}], ids=["none", "another"])
def test_without_the_header_nothing_is_minted(headers: dict[str, str], client: httpx.Client) -> None:
    answer = client.post("/doorward/v1/tokens", json={"audience": "a"}, headers=headers)

    assert (403, "PERMISSION_DENIED") == (answer.status_code, answer.json()["error"]["status"])


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        ({"audience": None}, 400, "needs an 'audience'"),
        ({"issuer": "other"}, 404, "no issuer 'other'"),
        ({"issuer": "oidc:UPPER"}, 400, "names no issuer"),
        ({"issuer": "jane@example.com"}, 400, "not the address of a service account"),
        ({"issuer": ROBOT, "email": "a@b.c"}, 400, "have no 'email' to choose"),
        ({"issuer": "firebase", "audience": "X"}, 400, "not the id of a Firebase project"),
        ({"email": "jane"}, 400, "no e-mail address"),
        ({"lifetime": "60"}, 400, "not of type int"),
        ({"lifetime": True}, 400, "not of type int"),
        ({"claims": []}, 400, "not of type dict"),
        ({"aud": "a"}, 400, "unknown name 'aud'"),
        ({"key": "a"}, 400, "unknown name 'key'"),
    ],
    ids=str,
)
def test_what_cannot_be_minted_is_said(
    asked: dict[str, Any], status: int, why: str, client: httpx.Client
) -> None:
    answer = mint(client, **{"audience": "orders"} | asked)

    assert status == answer.status_code
    assert why in answer.json()["error"]["message"]


def test_a_key_that_cannot_be_kept_is_said(
    emulator: Emulator, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StateError(Path("keys.json"), OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(emulator.firebase.ring, "_change", fail)
    minted = mint(client, issuer="firebase", audience="my-project")
    published = client.get("/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com")

    for answer in (minted, published):
        assert 500 == answer.status_code
        assert "keys.json could not be written: No space left on device" == answer.json()["error"]["message"]
