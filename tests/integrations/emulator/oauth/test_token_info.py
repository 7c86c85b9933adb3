"""The tokeninfo endpoint: what it says of the emulator's tokens, and of no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward_integrations.emulator import Account, Emulator, SigningKey
from doorward_integrations.emulator.accounts import CLOUD_PLATFORM
from doorward_integrations.emulator.interface import CONTROL_HEADER, TOKENS_PATH
from support.accounts import ORDERS
from support.clock import ManualClock
from support.tokens import AUDIENCE, rsa_key

PATHS = ["/tokeninfo", "/oauth2/v2/tokeninfo", "/oauth2/v3/tokeninfo"]
UNIQUE_ID = "104200000000000000001"
JANE = "jane@example.com"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"


def refused(answer: httpx.Response) -> None:
    assert (400, {"error": "invalid_token", "error_description": "Invalid Value"}) == (
        answer.status_code,
        answer.json(),
    )


def of(emulator: Emulator, email: str) -> Account:
    account = emulator.identities.find(email)
    assert account is not None
    return account


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_id_token_is_shown_with_its_claims_as_text(
    client: httpx.Client, emulator: Emulator, clock: ManualClock, path: str, method: str
) -> None:
    token = emulator.issuer.mint(AUDIENCE, email=ORDERS, subject=UNIQUE_ID)
    sent: Any = {"params" if method == "GET" else "data": {"id_token": token}}
    answer = client.request(method, path, **sent)

    assert 200 == answer.status_code
    assert {
        "alg": "RS256",
        "aud": AUDIENCE,
        "azp": UNIQUE_ID,
        "email": ORDERS,
        "email_verified": "true",
        "exp": str(int(clock.now) + 3_600),
        "iat": str(int(clock.now)),
        "iss": "https://accounts.google.com",
        "kid": emulator.issuer.current.kid,
        "sub": UNIQUE_ID,
        "typ": "JWT",
    } == answer.json()
    assert "no-store" == answer.headers["cache-control"]


def test_the_first_version_has_other_names(
    client: httpx.Client, emulator: Emulator, clock: ManualClock
) -> None:
    token = emulator.issuer.mint(AUDIENCE, email=ORDERS, subject=UNIQUE_ID)
    clock.now += 100

    assert {
        "issuer": "https://accounts.google.com",
        "issued_to": UNIQUE_ID,
        "audience": AUDIENCE,
        "user_id": UNIQUE_ID,
        "issued_at": int(clock.now) - 100,
        "email": ORDERS,
        "email_verified": True,
        "expires_in": 3_500,
    } == client.get("/oauth2/v1/tokeninfo", params={"id_token": token}).json()


def test_an_access_token_is_shown_with_its_scopes_and_the_seconds_that_it_has(
    client: httpx.Client, emulator: Emulator, clock: ManualClock
) -> None:
    token = emulator.access_tokens.issue(of(emulator, ORDERS), [CLOUD_PLATFORM, EMAIL])
    clock.now += 100

    assert {
        "azp": UNIQUE_ID,
        "aud": UNIQUE_ID,
        "sub": UNIQUE_ID,
        "scope": f"{CLOUD_PLATFORM} {EMAIL}",
        "exp": str(int(clock.now) + 3_500),
        "expires_in": "3500",
        "email": ORDERS,
        "email_verified": "true",
        "access_type": "online",
    } == client.get("/tokeninfo", params={"access_token": token}).json()
    assert {
        "issued_to": UNIQUE_ID,
        "audience": UNIQUE_ID,
        "user_id": UNIQUE_ID,
        "scope": f"{CLOUD_PLATFORM} {EMAIL}",
        "expires_in": 3_500,
        "email": ORDERS,
        "verified_email": True,
        "access_type": "online",
    } == client.get("/oauth2/v1/tokeninfo", params={"access_token": token}).json()


@pytest.mark.parametrize(
    ("scope", "names"),
    [(CLOUD_PLATFORM, set()), ("openid", {"sub"}), ("email", {"sub", "email", "email_verified"})],
)
def test_the_scopes_decide_whether_an_access_token_says_whose_it_is(
    client: httpx.Client, emulator: Emulator, scope: str, names: set[str]
) -> None:
    token = emulator.access_tokens.issue(of(emulator, JANE), [scope])
    known = client.get("/tokeninfo", params={"access_token": token}).json()

    assert names == known.keys() & {"sub", "email", "email_verified"}
    assert GCLOUD_CLIENT_ID == known["azp"]


def test_a_token_that_has_expired_is_unknown(
    client: httpx.Client, emulator: Emulator, clock: ManualClock
) -> None:
    asked = {
        "id_token": emulator.issuer.mint(AUDIENCE),
        "access_token": emulator.access_tokens.issue(of(emulator, ORDERS), [CLOUD_PLATFORM]),
    }
    clock.now += 3_600

    for name, token in asked.items():
        refused(client.get("/tokeninfo", params={name: token}))


@pytest.mark.parametrize("case", ["forged", "other issuer", "future", "text", "long", "withdrawn", "no iat"])
def test_an_id_token_that_is_not_the_emulators_is_unknown(
    client: httpx.Client, emulator: Emulator, clock: ManualClock, case: str
) -> None:
    issuer = emulator.issuer
    forged = SigningKey(rsa_key("forged"), clock=clock)
    minted: dict[str, Callable[[], str]] = {
        "forged": lambda: issuer.mint(AUDIENCE, key=forged, header={"kid": issuer.current.kid}),
        "other issuer": lambda: issuer.mint(AUDIENCE, claims={"iss": "https://issuer.example"}),
        "future": lambda: issuer.mint(AUDIENCE, issued_at=clock.now + 60),
        "text": lambda: "text",
        "long": lambda: "a" * 20_000,
        "withdrawn": lambda: issuer.mint(AUDIENCE),
        "no iat": lambda: issuer.mint(AUDIENCE, claims={"iat": None}),
    }
    token = minted[case]()
    if case == "withdrawn":
        issuer.rotate(withdraw=True)

    refused(client.post("/tokeninfo", data={"id_token": token}))


def test_an_access_token_of_another_place_is_unknown(client: httpx.Client) -> None:
    refused(client.get("/tokeninfo", params={"access_token": "ya29.of-another-place"}))


@pytest.mark.parametrize("query", ["", "id_token=", "id_token=a&id_token=b", "id_token=a&access_token=b"])
def test_one_token_must_be_asked_about(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/tokeninfo?{query}")

    assert (400, "invalid_request") == (answer.status_code, answer.json()["error"])


def test_a_token_of_a_user_is_as_gcloud_prints_it(client: httpx.Client, emulator: Emulator) -> None:
    answer = client.post(TOKENS_PATH, json={"account": JANE}, headers={CONTROL_HEADER: "1"})
    known = client.get("/tokeninfo", params={"id_token": answer.json()["token"]}).json()

    assert (GCLOUD_CLIENT_ID, GCLOUD_CLIENT_ID, JANE, "example.com", "true") == (
        known["aud"],
        known["azp"],
        known["email"],
        known["hd"],
        known["email_verified"],
    )
    assert of(emulator, JANE).subject == known["sub"]


def test_a_service_account_must_choose_an_audience(client: httpx.Client) -> None:
    answer = client.post(TOKENS_PATH, json={"account": ORDERS}, headers={CONTROL_HEADER: "1"})

    assert 400 == answer.status_code
