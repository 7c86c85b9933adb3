"""Tokens without a signature."""

from __future__ import annotations

import jwt
import pytest

from doorward import Door
from doorward_integrations.testing import MemoryIssuer
from doorward_integrations.testing.material import Material
from doorward_integrations.testing.unsigned import REMOVED, unsigned, without_signature
from support.tokens import CALLER


@pytest.fixture
def made(door: Door, doorward_issuer: MemoryIssuer) -> Material:
    return Material(doorward_issuer.stand_in_for(door), CALLER)


@pytest.mark.parametrize("alg", ["none", "nOnE", "RS256"])
def test_the_signature_is_empty_and_the_rest_is_good(alg: str, made: Material) -> None:
    token = unsigned(made, alg)

    assert token.endswith(".")
    assert alg == jwt.get_unverified_header(token)["alg"]
    assert made.payload == jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize("instead", ["", REMOVED])
def test_the_signature_alone_is_replaced(instead: str, made: Material) -> None:
    header, payload, signature = made.good.split(".")

    assert f"{header}.{payload}.{instead}" == without_signature(made, instead)
    assert signature != instead
