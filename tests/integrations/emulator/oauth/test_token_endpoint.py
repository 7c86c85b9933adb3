"""The exchange of an assertion for a token: what is answered, and what is refused for which reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import google.auth.exceptions
import httpx
import jwt
import pytest

from doorward_integrations.emulator import Emulator
from doorward_integrations.emulator.oauth.token_endpoint import JWT_BEARER
from support.accounts import DOMAIN, MIDDLE, SHOP, orders_emulator
from support.clock import ManualClock
from support.googleclients import refresh, service_account
from support.tokens import AUDIENCE

GOOGLE = "https://oauth2.googleapis.com/token"


@pytest.fixture
def key(emulator: Emulator) -> dict[str, str]:
    """Return the content of a key file of the shop."""
    return emulator.account_keys.make_file(SHOP, "http://127.0.0.1:8099")


def assertion(
    key: Mapping[str, str], now: float, header: Mapping[str, Any] | None = None, **changed: Any
) -> str:
    """Make the assertion of Google's clients, claims and header changed as asked; None takes one out."""
    claims = {"iss": SHOP, "aud": GOOGLE, "iat": int(now), "exp": int(now) + 3_600, "scope": "a b"} | changed
    head = {"kid": key["private_key_id"]} | dict(header or {})
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        key["private_key"],
        algorithm="RS256",
        headers={name: value for name, value in head.items() if value is not None},
    )


def exchange(client: httpx.Client, text: str, path: str = "/token") -> httpx.Response:
    return client.post(path, data={"grant_type": JWT_BEARER, "assertion": text})


def test_scopes_get_an_access_token_of_the_account(
    client: httpx.Client, clock: ManualClock, emulator: Emulator, key: dict[str, str]
) -> None:
    answer = exchange(client, assertion(key, clock.now))
    token = answer.json().pop("access_token")
    grant = emulator.access_tokens.find(token)

    assert {"access_token": token, "expires_in": 3_599, "token_type": "Bearer"} == answer.json()
    assert grant is not None
    assert (SHOP, ("a", "b")) == (grant.account.email, grant.scopes)
    assert "no-store" == answer.headers["cache-control"]


@pytest.mark.parametrize("path", ["/token", "/oauth2/v4/token", "/o/oauth2/token"])
@pytest.mark.parametrize("changed", [{"scope": None}, {"scope": "a"}, {"sub": SHOP}])
def test_a_target_audience_gets_an_id_token_of_the_account(
    client: httpx.Client, clock: ManualClock, key: dict[str, str], changed: Any, path: str
) -> None:
    asked = assertion(key, clock.now, **({"target_audience": AUDIENCE} | changed))
    answer = exchange(client, asked, path).json()
    claims = jwt.decode(answer["id_token"], options={"verify_signature": False})

    assert ["id_token"] == list(answer)
    assert [AUDIENCE, SHOP, True] == [claims["aud"], claims["email"], claims["email_verified"]]


def test_the_audience_may_be_this_endpoint_and_the_key_may_be_unnamed(
    client: httpx.Client, clock: ManualClock, key: dict[str, str]
) -> None:
    own = str(client.base_url.join("/token"))
    unnamed = {"kid": None, "typ": None}

    assert 200 == exchange(client, assertion(key, clock.now, unnamed, aud=own)).status_code


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"iss": MIDDLE}, "Invalid JWT Signature."),
        ({"iss": f"none@{DOMAIN}"}, "Invalid grant: account not found"),
        ({"iss": "jane@example.com"}, "Invalid grant: account not found"),
        ({"iss": None}, "Invalid JWT: 'iss' must be"),
        ({"aud": "https://orders.example.com"}, "Failed audience check"),
        ({"aud": [GOOGLE]}, "Failed audience check"),
        ({"aud": None}, "Failed audience check"),
        ({"iat": None}, "the token has no 'iat'"),
        ({"exp": None}, "the token has no 'exp'"),
        ({"exp": "9999999999"}, "'exp' must be a number"),
    ],
)
def test_an_assertion_that_is_not_right_is_an_invalid_grant(
    client: httpx.Client, clock: ManualClock, key: dict[str, str], changed: Any, error: str
) -> None:
    answer = exchange(client, assertion(key, clock.now, **changed))

    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])
    assert error in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("times", "status"),
    [
        ((0, 3_600), 200),
        ((30, 3_630), 200),
        ((31, 3_631), 400),
        ((-3_629, -29), 200),
        ((-3_630, -30), 400),
        ((0, 3_601), 400),
        ((0, 0), 400),
        ((10, 5), 400),
    ],
)
def test_an_assertion_is_good_for_an_hour_at_most(
    client: httpx.Client, clock: ManualClock, key: dict[str, str], times: tuple[int, int], status: int
) -> None:
    issued, expires = (int(clock.now) + seconds for seconds in times)
    answer = exchange(client, assertion(key, clock.now, iat=issued, exp=expires))

    assert status == answer.status_code
    assert (status == 400) == ("short-lived" in answer.text)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"scope": None}, "invalid_scope"),
        ({"scope": " "}, "invalid_scope"),
        ({"scope": ["a"]}, "invalid_scope"),
        ({"target_audience": ""}, "invalid_scope"),
        ({"target_audience": "a" * 2_049}, "invalid_scope"),
        ({"sub": "jane@example.com"}, "unauthorized_client"),
    ],
)
def test_what_the_account_may_not_have_is_refused(
    client: httpx.Client, clock: ManualClock, key: dict[str, str], changed: Any, error: str
) -> None:
    answer = exchange(client, assertion(key, clock.now, **changed))

    assert error == answer.json()["error"]
    assert (401 if error == "unauthorized_client" else 400) == answer.status_code


@pytest.mark.parametrize(
    "head", [{"kid": "another"}, {"kid": ""}, {"crit": ["exp"]}, {"typ": "at+jwt"}, {"jku": "https://e.com"}]
)
def test_a_header_that_steers_or_names_another_key_is_refused(
    client: httpx.Client, clock: ManualClock, key: dict[str, str], head: Any
) -> None:
    answer = exchange(client, assertion(key, clock.now, head))

    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_an_algorithm_that_is_not_rs256_is_refused(
    client: httpx.Client, clock: ManualClock, algorithm: str
) -> None:
    claims = {"iss": SHOP, "aud": GOOGLE, "iat": int(clock.now), "exp": int(clock.now) + 60, "scope": "a"}
    secret = "" if algorithm == "none" else "s" * 32
    answer = exchange(client, jwt.encode(claims, secret, algorithm=algorithm))

    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])


def test_an_assertion_that_was_changed_is_refused_and_never_repeated(
    client: httpx.Client, clock: ManualClock, key: dict[str, str]
) -> None:
    head, payload, signature = assertion(key, clock.now).split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    answer = exchange(client, f"{head}.{payload}.{signature[:middle]}{other}{signature[middle + 1 :]}")

    assert {
        "error": "invalid_grant",
        "error_description": "Invalid JWT Signature.",
    } == answer.json()


@pytest.mark.parametrize(
    "text", ["x.y", "a.b.c", "é.b.c", "a" * 20_000, "e30.e30.AA"], ids=lambda text: text[:8]
)
def test_what_is_no_assertion_is_an_invalid_grant(client: httpx.Client, text: str) -> None:
    answer = exchange(client, text)

    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])
    assert text not in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "invalid_request"),
        (f"grant_type={JWT_BEARER}", "invalid_request"),
        (f"grant_type={JWT_BEARER}&grant_type=&assertion=x", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x", "unsupported_grant_type"),
        ("grant_type=%ff", "invalid_request"),
        ("nothing", "invalid_request"),
        ("a=" + "b" * 70_000, "invalid_request"),
        ("&".join(f"a{number}=b" for number in range(40)), "invalid_request"),
    ],
    ids=lambda value: value[:20],
)
def test_a_request_that_is_no_exchange_is_refused(client: httpx.Client, content: str, error: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/token", content=content, headers=form)

    assert (400, error) == (answer.status_code, answer.json()["error"])


def test_a_request_of_another_type_is_refused(client: httpx.Client) -> None:
    answer = client.post("/token", json={"grant_type": JWT_BEARER, "assertion": "x"})

    assert "invalid_request" == answer.json()["error"]


def test_googles_client_gets_both_tokens_with_the_key_file() -> None:
    emulator = orders_emulator(ManualClock(time.time()))
    with emulator.serve() as running:
        info = running.key_file(SHOP)
        for_id = service_account.IDTokenCredentials.from_service_account_info(info, target_audience=AUDIENCE)
        for_access = service_account.Credentials.from_service_account_info(info, scopes=["a"])
        id_token, access_token = refresh(for_id), refresh(for_access)

    grant = emulator.access_tokens.find(access_token)
    claims = jwt.decode(id_token, options={"verify_signature": False})
    assert grant is not None
    assert [SHOP, AUDIENCE] == [grant.account.email, claims["aud"]]


def test_googles_client_reports_why_an_exchange_was_refused() -> None:
    emulator = orders_emulator(ManualClock(time.time()))
    with emulator.serve() as running:
        info = running.key_file(SHOP) | {"client_email": MIDDLE}
        credentials = service_account.IDTokenCredentials.from_service_account_info(
            info, target_audience=AUDIENCE
        )
        with pytest.raises(
            google.auth.exceptions.RefreshError, match=r"invalid_grant: Invalid JWT Signature\."
        ):
            refresh(credentials)
