"""One signing key: its forms, and what it signs."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from doorward_integrations.emulator import SigningKey
from support.tokens import ec_key, rsa_key

EITHER = pytest.mark.parametrize(
    "key", [SigningKey(rsa_key("signing")), SigningKey(ec_key("signing"))], ids=["RS256", "ES256"]
)


@EITHER
def test_what_it_signs_is_verified_with_its_public_key(key: SigningKey) -> None:
    token = key.sign({"alg": key.algorithm, "kid": key.kid}, {"sub": "a"})
    public = jwt.PyJWK(key.jwk()).key

    assert {"sub": "a"} == jwt.decode(token, public, algorithms=[key.algorithm])
    assert public == load_pem_public_key(key.public_pem.encode())


@EITHER
def test_a_key_that_was_written_is_the_same_key(key: SigningKey) -> None:
    again = SigningKey.from_pem(key.private_pem, made_at=key.made_at)

    assert (key.kid, key.jwk(), key.made_at) == (again.kid, again.jwk(), again.made_at)


def test_an_es256_key_is_published_as_iap_prints_it() -> None:
    key = SigningKey.es256()

    assert ["alg", "crv", "kid", "kty", "use", "x", "y"] == list(key.jwk())
    assert 6 == len(key.kid)
    assert key.kid != SigningKey.es256().kid
