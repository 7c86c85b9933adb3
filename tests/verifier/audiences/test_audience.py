"""Which audiences a service answers to, and the tokens of gcloud's users, which are for no service."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import GOOGLE, ConfigurationError, Door, InvokerPolicy, Issuer, RefusedError, Verifier
from doorward.audiences.audience import Audiences
from doorward.errors import Reason
from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward.issuers.iap import IAP
from support.tokens import AUDIENCE, CALLER, MEMBER
from support.world import World

USER = "jane@example.com"


class Prefix:
    """An audience that is more than a text."""

    def accepts(self, aud: str, /) -> bool:
        return aud.startswith("https://orders/")

    def __str__(self) -> str:
        return "https://orders/*"


def test_exact_audiences_and_others_stand_side_by_side() -> None:
    audiences = Audiences(["b", Prefix(), "a"])

    assert [True, True, True, False, False] == [
        audiences.accepts(aud) for aud in ("a", "b", "https://orders/1", "ab", "")
    ]
    assert "a or b or https://orders/*" == str(audiences)


@pytest.mark.parametrize("given", ["one", Prefix()], ids=str)
def test_one_need_not_be_in_a_list(given: Any) -> None:
    assert str(given) == str(Audiences(given))


@pytest.mark.parametrize("given", [None, "", [], [""], ["a", ""], 7, [7], [None], {}], ids=repr)
def test_none_empty_or_something_else_is_refused_with_what_would_do(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="an audience is needed"):
        Audiences(given)


# The tokens of gcloud's users.


def gcloud(world: World, **changed: Any) -> str:
    own = {"aud": GCLOUD_CLIENT_ID, "azp": GCLOUD_CLIENT_ID, "email": USER}
    return world.token(**own | changed)


def reason(verifier: Verifier, token: str) -> Reason:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(token)
    return caught.value.reason


def test_a_user_with_a_token_of_gcloud_is_refused_by_default(world: World) -> None:
    assert Reason.WRONG_AUDIENCE == reason(world.verifier(), gcloud(world))


def test_a_user_with_a_token_of_gcloud_is_accepted_where_that_is_asked_for(world: World) -> None:
    verifier = world.verifier(accept_gcloud_tokens=True)

    assert f"user:{USER}" == verifier.verify(gcloud(world)).member
    assert MEMBER == verifier.verify(world.token()).member
    shown = f"Verifier(audience={AUDIENCE}, issuers=[google], accept_gcloud_tokens=True)"
    assert shown == repr(verifier)


@pytest.mark.parametrize("email", [CALLER, CALLER.upper(), "jane@example.com", None])
def test_what_gcloud_prints_for_a_service_account_or_without_an_address_is_accepted(
    world: World, email: str | None
) -> None:
    made = gcloud(world, email=email, **({} if email else {"email_verified": None}))

    principal = world.verifier(accept_gcloud_tokens=True).verify(made)

    assert email == principal.email
    assert Reason.WRONG_AUDIENCE == reason(world.verifier(), made)


def test_a_caller_without_an_address_learns_in_the_log_what_to_do(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    made = world.token(email=None, email_verified=None)
    policy = InvokerPolicy.from_members([MEMBER])

    Door(world.verifier(), policy).admit([(b"authorization", b"Bearer " + made.encode())])

    assert (
        "--include-email (gcloud) or format=full (the metadata server), or give the policy unique_ids"
        in caplog.text
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"email_verified": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"aud": "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com"},
        {"aud": f"{GCLOUD_CLIENT_ID} "},
        {"aud": "32555940559"},
        {"aud": AUDIENCE.replace("orders", "billing")},
    ],
    ids=str,
)
def test_only_gcloud_and_only_verified_addresses_profit(world: World, changed: dict[str, Any]) -> None:
    verifier = world.verifier(accept_gcloud_tokens=True)

    assert Reason.WRONG_AUDIENCE == reason(verifier, gcloud(world, **changed))


def test_another_issuer_does_not_profit(world: World) -> None:
    own = Issuer(
        name="own",
        iss_values=("https://issuer.example",),
        key_url="https://issuer.example/jwks",
        google_accounts=True,
    )
    verifier = world.verifier(issuers=[GOOGLE, own], accept_gcloud_tokens=True)

    assert f"user:{USER}" == verifier.verify(gcloud(world)).member
    assert Reason.WRONG_AUDIENCE == reason(verifier, gcloud(world, iss="https://issuer.example"))


def test_without_google_among_the_issuers_the_setting_makes_no_sense() -> None:
    with pytest.raises(ConfigurationError, match="add GOOGLE"):
        Verifier(AUDIENCE, issuers=[IAP], accept_gcloud_tokens=True)
