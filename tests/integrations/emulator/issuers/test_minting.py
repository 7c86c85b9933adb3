"""Tokens over HTTP."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward_integrations.emulator import Emulator, create_app
from doorward_integrations.emulator.identities.file import parse_identities
from doorward_integrations.emulator.state_file import StateError
from support.clock import ManualClock
from support.stage import Stage

HEADERS = {"X-Doorward-Emulator": "1"}
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


@pytest.mark.parametrize("email", ["other@p.iam.gserviceaccount.com", "user@example.com"])
def test_a_token_is_for_the_account_that_is_named(email: str, client: httpx.Client) -> None:
    claims = claims_of(mint(client, audience="orders", account=email))

    assert (email, True) == (claims["email"], claims["email_verified"])
    assert 3_600 == claims["exp"] - claims["iat"]


def test_without_one_it_is_for_the_account_of_the_machine(client: httpx.Client, emulator: Emulator) -> None:
    emulator.accounts.use("other@p.iam.gserviceaccount.com")

    assert "other@p.iam.gserviceaccount.com" == claims_of(mint(client, audience="orders"))["email"]


def test_an_account_has_what_the_identities_say_and_an_email_only_what_was_asked_for(stage: Stage) -> None:
    ann = {"ann@example.com": {"unique_id": "7", "hosted_domain": "example.com"}}
    stage.app = create_app(Emulator(identities=parse_identities({"users": ann})))
    with httpx.Client(base_url=stage.url, trust_env=False) as client:
        known = claims_of(mint(client, audience="a", account="ann@example.com"))
        unknown = claims_of(mint(client, audience="a", email="ann@example.com"))
        refused = mint(client, audience="a", account="bob@example.com")

    assert ("7", "example.com") == (known["sub"], known["hd"])
    assert "hd" not in unknown
    assert (400, True) == (refused.status_code, "no account 'bob@example.com'" in refused.text)


def test_a_user_may_leave_the_audience_to_gcloud(client: httpx.Client) -> None:
    assert GCLOUD_CLIENT_ID == claims_of(mint(client, account="ann@example.com"))["aud"]


def test_in_full_it_describes_the_machine(client: httpx.Client) -> None:
    full = claims_of(mint(client, audience="orders", format="full", claims={"more": 1}))

    assert "compute_engine" in full["google"]
    assert 1 == full["more"]
    assert "google" not in claims_of(mint(client, audience="orders"))


@pytest.mark.parametrize("seconds", [1, 60, 86_400])
def test_it_expires_when_it_is_to(seconds: int, client: httpx.Client, clock: ManualClock) -> None:
    answer = mint(client, audience="orders", expires=seconds)

    assert int(clock()) + seconds == claims_of(answer)["exp"] == answer.json()["expires_at"]
    assert "no-store" == answer.headers["cache-control"]


@pytest.mark.parametrize("issuer", ["google", "iap", "oidc:partner"])
@pytest.mark.parametrize("seconds", [0, -60, -86_400])
def test_one_that_has_expired_was_good_for_an_hour(
    seconds: int, issuer: str, client: httpx.Client, clock: ManualClock
) -> None:
    claims = claims_of(mint(client, issuer=issuer, audience="orders", expires=seconds))

    assert int(clock()) + seconds == claims["exp"]
    assert 3_600 == claims["exp"] - claims["iat"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 10_000, b"{}", b" " * 70_000])
def test_a_body_that_asks_for_no_token_is_a_bad_request(body: bytes, client: httpx.Client) -> None:
    assert 400 == client.post("/doorward/v1/tokens", content=body, headers=HEADERS).status_code


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        ({"audience": None}, 400, "needs an 'audience'"),
        ({"audience": ""}, 400, "needs an 'audience'"),
        ({"audience": None, "issuer": "iap"}, 400, "needs an 'audience'"),
        ({"issuer": "other"}, 404, "no issuer 'other'"),
        ({"issuer": "oidc:UPPER"}, 400, "names no issuer"),
        ({"issuer": "jane@example.com"}, 400, "not the address of a service account"),
        ({"issuer": ROBOT, "email": "a@b.c"}, 400, "have no 'email' to choose"),
        ({"issuer": "firebase", "audience": "X"}, 400, "not the id of a Firebase project"),
        ({"email": "jane"}, 400, "no e-mail address"),
        ({"account": "jane"}, 400, "no e-mail address"),
        ({"account": ""}, 400, "no e-mail address"),
        ({"account": "a@b.c", "email": "a@b.c"}, 400, "not both"),
        ({"issuer": "iap", "account": "a@b.c"}, 400, "have no 'account' to choose"),
        ({"format": "other"}, 400, "must be one of standard, full"),
        ({"expires": 1, "lifetime": 1}, 400, "not both"),
        ({"expires": 86_401}, 400, "seconds from now"),
        ({"expires": 1.5}, 400, "not of type int"),
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
