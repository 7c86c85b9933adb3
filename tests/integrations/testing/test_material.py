"""What hostile requests are made of."""

from __future__ import annotations

import jwt
import pytest

from doorward import Admission, Door, Refusal
from doorward_integrations.testing import MemoryIssuer
from doorward_integrations.testing.material import OUTSIDER, Material, Recipe
from support.tokens import CALLER


@pytest.fixture
def made(door: Door, doorward_issuer: MemoryIssuer) -> Material:
    return Material(doorward_issuer.stand_in_for(door), CALLER)


def decided(door: Door, made: Material, token: str) -> str:
    outcome = door.admit([(name.encode(), value.encode()) for name, value in made.sent(token)])
    return "admitted" if isinstance(outcome, Admission) else str(outcome.reason)


def test_a_good_token_is_admitted_and_its_changes_are_not(door: Door, made: Material) -> None:
    assert "admitted" == decided(door, made, made.good)
    assert "expired" == decided(door, made, made.signed(iat=made.at(-7_200), exp=made.at(-3_600)))
    assert "claim_missing" == decided(door, made, made.signed(exp=None))


def test_a_forger_has_another_key_under_the_right_id_or_its_own(door: Door, made: Material) -> None:
    assert "bad_signature" == decided(door, made, made.forged)
    assert "unknown_key" == decided(door, made, made.by_forger())
    assert made.key.kid == jwt.get_unverified_header(made.forged)["kid"] != made.forger.kid


def test_an_outsider_is_known_and_not_permitted(door: Door, made: Material) -> None:
    claims = jwt.decode(made.outsiders(), options={"verify_signature": False})

    assert OUTSIDER == claims["email"]
    assert "permission_denied" == decided(door, made, made.outsiders())


def test_a_removed_parameter_and_a_removed_claim_are_not_there(made: Material) -> None:
    assert "kid" not in made.head(kid=None)
    assert "email" not in made.claims(email=None)
    assert CALLER == made.email


def test_a_recipe_makes_headers_or_the_token_that_they_carry(door: Door, made: Material) -> None:
    by_token = Recipe("a", "A.", "B.", lambda _: "x.y.z")
    by_headers = Recipe("b", "A.", "B.", lambda _: [("x-a", "1")])
    elsewhere = Material(made.issuer, CALLER, header="x-own", scheme="")

    assert [("authorization", "Bearer x.y.z")] == by_token.headers(made)
    assert [("x-own", "x.y.z")] == by_token.headers(elsewhere)
    assert [("x-a", "1")] == by_headers.headers(made)
    assert isinstance(door.admit([]), Refusal)
