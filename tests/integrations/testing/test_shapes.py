"""What the tokens of each kind of issuer say about their caller."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import GOOGLE, ConfigurationError, Issuer, firebase
from doorward.issuers.chat import CHAT_ACCOUNT
from doorward.issuers.iap import IAP
from doorward_integrations.testing import principal
from doorward_integrations.testing.shapes import claims_of, identity_of, times_of
from support.tokens import CALLER

JANE = "jane@example.com"
OWN = Issuer(name="own", iss_values=("https://id.example.com",), key_url="https://id.example.com/jwks")
ROBOT = Issuer(name="robot", iss_values=(CALLER,), key_url="https://id.example.com/jwks")
CHAT = Issuer(name="chat", iss_values=(CHAT_ACCOUNT,), key_url="https://id.example.com/jwks")


@pytest.mark.parametrize(
    ("issuer", "email", "expected"),
    [
        (IAP, JANE, {"iss": "https://cloud.google.com/iap", "email": JANE}),
        (OWN, JANE, {"iss": "https://id.example.com", "email": JANE, "email_verified": True}),
        (ROBOT, JANE, {"iss": CALLER, "sub": CALLER}),
        (CHAT, JANE, {"iss": CHAT_ACCOUNT}),
        (OWN, None, {"iss": "https://id.example.com"}),
        (firebase("my-project"), JANE, {"iss": "https://securetoken.google.com/my-project", "email": JANE}),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_an_issuer_identifies_its_caller(issuer: Issuer, email: str | None, expected: dict[str, Any]) -> None:
    assert expected.items() <= identity_of(issuer, email).items()


def test_a_service_account_of_google_authorizes_itself_and_a_user_does_not() -> None:
    account, user = (identity_of(GOOGLE, email) for email in (CALLER, JANE))

    assert account["azp"] == account["sub"]
    assert user["azp"] != user["sub"]


@pytest.mark.parametrize(("issuer", "lifetime"), [(GOOGLE, 3_600), (IAP, 600)], ids=["google", "iap"])
def test_a_token_lives_as_long_as_its_issuer_makes_it(issuer: Issuer, lifetime: int) -> None:
    assert {"iat": 1_000, "exp": 1_000 + lifetime} == times_of(issuer, 1_000)


def test_a_caller_has_its_claims_without_those_of_a_token() -> None:
    caller = principal(CALLER, hd="example.com", at_hash=None)

    assert "example.com" == claims_of(caller)["hd"]
    assert not {"aud", "exp", "iat", "nbf", "at_hash"} & claims_of(caller).keys()


@pytest.mark.parametrize("claims", [{}, {"aud": "a"}, {"sub": "1", "exp": 1}], ids=str)
def test_what_describes_no_caller_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"principal\(...\)"):
        principal(**claims)
