"""The tables of hostile requests: each row is one, with a name, a sentence, and what to mend."""

from __future__ import annotations

import pytest

from doorward import Door
from doorward_integrations.testing import MemoryIssuer
from doorward_integrations.testing.attacks import ATTACKS
from doorward_integrations.testing.header_attacks import BY_HEADERS
from doorward_integrations.testing.material import Material, Recipe
from support.tokens import CALLER

each = pytest.mark.parametrize("recipe", ATTACKS, ids=lambda recipe: recipe.id)


@pytest.fixture
def made(door: Door, doorward_issuer: MemoryIssuer) -> Material:
    return Material(doorward_issuer.stand_in_for(door), CALLER)


def test_no_two_have_one_name() -> None:
    assert len(ATTACKS) == len({recipe.id for recipe in ATTACKS})


def test_those_of_headers_are_among_all_of_them() -> None:
    assert {*BY_HEADERS} < {*ATTACKS}


@each
def test_each_says_what_it_is_and_what_to_mend_in_a_sentence(recipe: Recipe) -> None:
    assert recipe.what.endswith(".")
    assert recipe.mend.endswith((".", ")."))


@each
def test_each_is_another_request_than_the_good_one(recipe: Recipe, made: Material) -> None:
    assert made.sent(made.good) != recipe.headers(made)


@each
def test_each_sends_names_in_lower_case(recipe: Recipe, made: Material) -> None:
    assert all(name == name.lower() for name, _ in recipe.headers(made))
