"""IAM Credentials: what each method gives, to whom, through which chain."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from doorward_integrations.emulator import Account, Emulator
from doorward_integrations.emulator.accounts import CLOUD_PLATFORM
from doorward_integrations.emulator.google_errors import GoogleError
from doorward_integrations.emulator.iam_credentials.asked import read_bytes, read_seconds
from support.accounts import LAST, MIDDLE, ORDERS, SHOP
from support.clock import ManualClock
from support.tokens import AUDIENCE

CHAIN = [MIDDLE, LAST]
IAM = "https://www.googleapis.com/auth/iam"
BODIES: dict[str, dict[str, Any]] = {
    "generateAccessToken": {"scope": ["a"]},
    "generateIdToken": {"audience": AUDIENCE},
    "signBlob": {"payload": "aGVsbG8="},
    "signJwt": {"payload": "{}"},
}


class Caller:
    """Calls the methods as an account."""

    def __init__(self, client: httpx.Client, emulator: Emulator) -> None:
        self.client = client
        self.emulator = emulator

    def __call__(
        self, method: str, body: Any, caller: str = LAST, account: str = ORDERS, scope: str = CLOUD_PLATFORM
    ) -> httpx.Response:
        token = self.emulator.access_tokens.issue(Account(caller), [scope])
        return self.client.post(
            f"/v1/projects/-/serviceAccounts/{account}:{method}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )


@pytest.fixture
def call(client: httpx.Client, emulator: Emulator) -> Caller:
    """Return what calls the methods."""
    return Caller(client, emulator)


def unverified(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def denied(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    assert (403, 403, "PERMISSION_DENIED") == (answer.status_code, error["code"], error["status"])
    return str(error["message"])


def test_an_access_token_is_of_the_account_and_lives_as_long_as_was_asked(
    call: Caller, clock: ManualClock
) -> None:
    clock.now = 1_790_000_000.75
    answer = call("generateAccessToken", {"scope": ["a", "b"], "lifetime": "300s", "delegates": None})
    grant = call.emulator.access_tokens.find(answer.json()["accessToken"])

    assert grant is not None
    assert (ORDERS, ("a", "b"), 300) == (
        grant.account.email,
        grant.scopes,
        grant.expires_at - grant.issued_at,
    )
    assert "2026-09-21T14:18:20Z" == answer.json()["expireTime"]
    assert "no-store" == answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("body", "email", "azp"),
    [
        ({}, None, "104200000000000000001"),
        ({"includeEmail": True}, ORDERS, "104200000000000000001"),
        ({"includeEmail": "true", "useEmailAzp": "true"}, ORDERS, ORDERS),
        ({"includeEmail": False, "useEmailAzp": None}, None, "104200000000000000001"),
    ],
)
def test_an_id_token_has_the_claims_that_were_asked_for(
    call: Caller, body: Any, email: str | None, azp: str
) -> None:
    claims = unverified(call("generateIdToken", {"audience": AUDIENCE} | body).json()["token"])

    assert (AUDIENCE, email, azp, "104200000000000000001") == (
        claims["aud"],
        claims.get("email"),
        claims["azp"],
        claims["sub"],
    )
    assert (email is not None) == ("email_verified" in claims)


def test_a_signed_jwt_verifies_with_the_published_key_of_the_account(call: Caller) -> None:
    answer = call("signJwt", {"payload": json.dumps({"sub": "x", "list": [1, {"a": None}]})}).json()
    published = jwt.PyJWKSet.from_dict(call.client.get(f"/service_accounts/v1/jwk/{ORDERS}").json())

    signed = jwt.decode(answer["signedJwt"], published[answer["keyId"]], algorithms=["RS256"])
    assert {"sub": "x", "list": [1, {"a": None}]} == signed


def test_signed_bytes_verify_with_the_published_key_of_the_account(call: Caller) -> None:
    answer = call("signBlob", {"payload": base64.b64encode(b"hello").decode()}).json()
    published = jwt.PyJWKSet.from_dict(call.client.get(f"/service_accounts/v1/jwk/{ORDERS}").json())
    key = published[answer["keyId"]].key

    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(answer["signedBlob"]), b"hello", padding.PKCS1v15(), SHA256())


@pytest.mark.parametrize("method", BODIES)
def test_a_caller_without_a_role_on_the_account_is_denied(call: Caller, method: str) -> None:
    message = denied(call(method, BODIES[method], caller=SHOP))

    assert f"{SHOP!r} has no role with it on {ORDERS!r}" in message


@pytest.mark.parametrize("method", BODIES)
@pytest.mark.parametrize("prefix", ["", "projects/-/serviceAccounts/"])
def test_a_chain_of_delegates_leads_to_the_account(call: Caller, method: str, prefix: str) -> None:
    chain = [f"{prefix}{name}" for name in CHAIN]

    assert 200 == call(method, BODIES[method] | {"delegates": chain}, caller=SHOP).status_code


@pytest.mark.parametrize(
    ("chain", "who", "whom"),
    [
        ([MIDDLE], MIDDLE, ORDERS),
        ([LAST], SHOP, LAST),
        ([LAST, MIDDLE], SHOP, LAST),
        ([MIDDLE, SHOP, LAST], MIDDLE, SHOP),
        ([*CHAIN, ORDERS], ORDERS, ORDERS),
    ],
)
@pytest.mark.parametrize("method", BODIES)
def test_a_chain_with_a_link_that_is_not_granted_is_denied_there(
    call: Caller, method: str, chain: list[str], who: str, whom: str
) -> None:
    message = denied(call(method, BODIES[method] | {"delegates": chain}, caller=SHOP))

    assert f"{who!r} has no role with it on {whom!r}" in message


def test_a_role_for_id_tokens_gives_nothing_else(call: Caller) -> None:
    given = {
        method: call(method, body, caller="jane@example.com").status_code for method, body in BODIES.items()
    }

    assert {"generateAccessToken": 403, "generateIdToken": 200, "signBlob": 403, "signJwt": 403} == given


def test_the_account_may_be_named_by_its_unique_id(call: Caller) -> None:
    answer = call("generateIdToken", {"audience": "a", "includeEmail": True}, account="104200000000000000001")

    assert ORDERS == unverified(answer.json()["token"])["email"]


@pytest.mark.parametrize("account", ["other@orders-demo.iam.gserviceaccount.com", "jane@example.com", "7"])
def test_an_account_that_is_not_there_is_not_found(call: Caller, account: str) -> None:
    for answer in (
        call("generateIdToken", {"audience": "a"}, account=account),
        call("generateIdToken", {"audience": "a", "delegates": [account]}),
    ):
        assert (404, "NOT_FOUND") == (answer.status_code, answer.json()["error"]["status"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([("Authorization", "Bearer ya29.fake-from-doorward-emulator.x")], 401),
        ([("Authorization", "Basic eDp5")], 401),
        ([("Authorization", "Bearer")], 401),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer a")], 401),
    ],
)
def test_a_caller_without_a_good_access_token_is_not_known(
    client: httpx.Client, headers: Any, status: int
) -> None:
    answer = client.post(
        f"/v1/projects/-/serviceAccounts/{ORDERS}:generateIdToken", json={"audience": "a"}, headers=headers
    )

    assert (status, "UNAUTHENTICATED") == (answer.status_code, answer.json()["error"]["status"])


def test_the_token_of_the_caller_needs_a_scope_for_iam_and_must_not_have_expired(
    call: Caller, clock: ManualClock
) -> None:
    body = {"audience": "a"}
    assert 200 == call("generateIdToken", body, scope=IAM).status_code
    assert "scopes" in denied(call("generateIdToken", body, scope="openid"))
    token = call.emulator.access_tokens.issue(Account(LAST), [IAM])
    clock.move(3_600)
    answer = call.client.post(
        f"/v1/projects/-/serviceAccounts/{ORDERS}:generateIdToken",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
    )

    assert 401 == answer.status_code


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("generateIdToken", {}),
        ("generateIdToken", {"audience": ""}),
        ("generateIdToken", {"audience": ["a"]}),
        ("generateIdToken", {"audience": "a", "includeEmail": 1}),
        ("generateIdToken", {"audience": "a", "includeEmail": "yes"}),
        ("generateIdToken", {"audience": "a", "delegates": LAST}),
        ("generateIdToken", {"audience": "a", "delegates": [7]}),
        ("generateIdToken", {"audience": "a", "scope": ["a"]}),
        ("generateAccessToken", {}),
        ("generateAccessToken", {"scope": "a"}),
        ("generateAccessToken", {"scope": [""]}),
        ("generateAccessToken", {"scope": ["a"], "lifetime": "3601s"}),
        ("generateAccessToken", {"scope": ["a"], "lifetime": "0s"}),
        ("generateAccessToken", {"scope": ["a"], "lifetime": 300}),
        ("generateAccessToken", {"scope": ["a"], "lifetime": "-1s"}),
        ("signBlob", {"payload": "a"}),
        ("signBlob", {"payload": "not base64!"}),
        ("signJwt", {"payload": {"sub": "x"}}),
        ("signJwt", {"payload": "[]"}),
        ("signJwt", {"payload": '{"a": 1, "a": 2}'}),
        ("signJwt", {"payload": '{"exp": "1790000000"}'}),
        ("signJwt", {"payload": '{"exp": 1789999999}'}),
        ("signJwt", {"payload": '{"exp": 1790043201}'}),
    ],
)
def test_a_request_that_is_not_right_is_an_invalid_argument(call: Caller, method: str, body: Any) -> None:
    answer = call(method, body)

    assert (400, "INVALID_ARGUMENT") == (answer.status_code, answer.json()["error"]["status"])


@pytest.mark.parametrize("exp", [1_790_000_000, 1_790_043_200])
def test_a_jwt_may_expire_within_twelve_hours(call: Caller, exp: int) -> None:
    assert 200 == call("signJwt", {"payload": json.dumps({"exp": exp})}).status_code


def test_the_project_in_the_name_is_a_wildcard(call: Caller) -> None:
    token = call.emulator.access_tokens.issue(Account(LAST), [CLOUD_PLATFORM])
    answer = call.client.post(
        f"/v1/projects/orders-demo/serviceAccounts/{ORDERS}:generateIdToken",
        json={"audience": "a"},
        headers={"Authorization": f"Bearer {token}"},
    )

    assert (400, "INVALID_ARGUMENT") == (answer.status_code, answer.json()["error"]["status"])


@given(st.binary(min_size=1))
def test_bytes_are_read_in_either_alphabet_with_or_without_padding(raw: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(raw).decode()
        assert raw == read_bytes({"payload": text}, "payload")
        assert raw == read_bytes({"payload": text.rstrip("=")}, "payload")


@given(st.text())
def test_any_text_is_a_duration_of_up_to_an_hour_or_is_refused(text: str) -> None:
    with contextlib.suppress(GoogleError):
        assert 0 < read_seconds({"lifetime": text}, "lifetime") <= 3_600
