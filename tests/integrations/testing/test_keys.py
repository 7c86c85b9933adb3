"""The keys of the issuer in memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from doorward_integrations.testing.keys import SigningKey, key_of, segment
from support.simulator import PATIENCE


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_another_library_verifies_with_the_jwk_what_a_key_signs(alg: str) -> None:
    key = key_of("the tests", alg, 0)
    token = key.sign({"alg": alg, "kid": key.kid}, {"sub": "1"})

    assert {"sub": "1"} == jwt.decode(token, jwt.PyJWK(key.jwk()), algorithms=[alg])


def test_a_jwk_holds_nothing_of_the_private_key() -> None:
    assert {"kid", "alg", "use", "kty", "n", "e"} == key_of("the tests", "RS256", 0).jwk().keys()
    assert {"kid", "alg", "use", "kty", "crv", "x", "y"} == key_of("the tests", "ES256", 0).jwk().keys()


def test_one_owner_has_the_same_key_each_time_and_each_generation_another() -> None:
    key = key_of("the tests", "ES256", 0)

    assert key is key_of("the tests", "ES256", 0)
    others = {key_of("another", "ES256", 0).kid, key_of("the tests", "ES256", 1).kid}
    assert 3 == len({key.kid, *others})


def test_a_part_is_written_as_it_is_given_if_it_is_bytes() -> None:
    assert "eyJhIjoxfQ" == segment({"a": 1}) == segment(b'{"a":1}')


def test_a_repr_shows_algorithm_and_id_alone() -> None:
    key = SigningKey("ES256")

    assert f"SigningKey('ES256', kid='{key.kid}')" == repr(key)


def test_threads_that_come_first_at_once_get_one_key() -> None:
    together = threading.Barrier(4)

    def first(_: int) -> SigningKey:
        together.wait(PATIENCE)
        return key_of("threads", "ES256", 0)

    with ThreadPoolExecutor(4) as pool:
        assert 1 == len({id(key) for key in pool.map(first, range(4))})
