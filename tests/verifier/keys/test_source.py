"""A key source: the protocol, what implements it, and one of one's own, which touches nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from doorward import GOOGLE, ConfigurationError, FixedKeys, KeyCache, KeysUnavailableError, Reason, Verifier
from doorward.errors import SignatureError
from doorward.keys.key import VerificationKey
from doorward.keys.source import KeySource
from support.clock import ManualClock
from support.simulator import APIS, Api
from support.tokens import AUDIENCE, CALLER, SigningKey, ec_key, jwks, rsa_key, token
from support.world import World

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")

each_api = pytest.mark.parametrize("api", APIS, ids=str)


class Vault:
    """A key source of one's own, over a vault that has to be opened before its keys can be read."""

    def __init__(self, *keys: SigningKey) -> None:
        self.content = {key.kid: VerificationKey(key.kid, key.alg, key.private.public_key()) for key in keys}
        self.open = False
        self.reachable = True
        self.asked: list[str] = []

    def keys(self, wall: float, /) -> Mapping[str, VerificationKey] | None:
        return self.content if self.open else None

    def get(self, kid: str, /) -> VerificationKey:
        self.asked.append(kid)
        self.warm()
        if kid not in self.content:
            raise SignatureError(Reason.UNKNOWN_KEY, "it is not in the vault")
        return self.content[kid]

    async def aget(self, kid: str, /) -> VerificationKey:
        return self.get(kid)

    def warm(self) -> None:
        if not self.reachable:
            raise KeysUnavailableError("the vault does not open")
        self.open = True

    async def awarm(self) -> None:
        self.warm()


class OfOnesOwn:
    """A verifier over a vault, and tokens for it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.vault = Vault(KEY)
        self.verifier = Verifier(AUDIENCE, key_cache=lambda _: self.vault, clock=self.clock)

    def token(self, key: SigningKey = KEY, **changed: Any) -> str:
        return token(key, self.clock.now, **changed)


@pytest.fixture
def own() -> OfOnesOwn:
    return OfOnesOwn()


class TestTheProtocol:
    def test_every_source_that_ships_has_its_type(self) -> None:
        """The type checkers check these assignments."""
        sources: tuple[KeySource, ...] = (KeyCache(GOOGLE.key_url), FixedKeys(jwks(KEY)), Vault(KEY))

        assert all(isinstance(source, KeySource) for source in sources)

    @pytest.mark.parametrize("name", ["keys", "get", "aget", "warm", "awarm"])
    @pytest.mark.parametrize("source", [KeyCache, FixedKeys, Vault])
    def test_every_source_takes_what_the_protocol_gives(self, source: type[object], name: str) -> None:
        def parameters(of: type[object]) -> list[tuple[str, Any]]:
            return [(one.name, one.kind) for one in inspect.signature(getattr(of, name)).parameters.values()]

        assert parameters(KeySource) == parameters(source)
        assert inspect.iscoroutinefunction(getattr(source, name)) == name.startswith("a")

    def test_what_is_no_source_is_a_configuration_mistake(self) -> None:
        with pytest.raises(ConfigurationError, match="KeyCache or another KeySource, not dict"):
            Verifier(AUDIENCE, key_cache=lambda _: {})  # type: ignore[arg-type,return-value]  # that is the point


class TestOneOfOnesOwn:
    @each_api
    def test_a_cold_source_is_asked_for_the_key_of_the_first_token(self, own: OfOnesOwn, api: Api) -> None:
        assert CALLER == api.verify(own.verifier, own.token()).email
        assert ["key-1"] == own.vault.asked

    @each_api
    def test_a_warm_source_is_not_asked_again(self, own: OfOnesOwn, api: Api) -> None:
        api.warm(own.verifier)

        assert [CALLER] * 2 == [api.verify(own.verifier, own.token(sub=sub)).email for sub in ("1", "2")]
        assert [] == own.vault.asked

    @each_api
    def test_a_verified_token_is_cached_until_its_key_is_withdrawn(self, own: OfOnesOwn, api: Api) -> None:
        one = own.token()
        first = api.verify(own.verifier, one)
        assert api.verify(own.verifier, one) is first
        del own.vault.content["key-1"]

        with pytest.raises(SignatureError) as caught:
            api.verify(own.verifier, one)
        assert Reason.UNKNOWN_KEY == caught.value.reason

    @each_api
    def test_a_verified_token_dies_with_the_object_of_its_key(self, own: OfOnesOwn, api: Api) -> None:
        one = own.token()
        api.verify(own.verifier, one)
        own.vault.content["key-1"] = VerificationKey("key-1", "RS256", rsa_key("another").public_key())

        with pytest.raises(SignatureError) as caught:
            api.verify(own.verifier, one)
        assert Reason.BAD_SIGNATURE == caught.value.reason

    @each_api
    def test_an_unknown_key_is_a_401_and_a_source_that_cannot_say_a_503(
        self, own: OfOnesOwn, api: Api
    ) -> None:
        with pytest.raises(SignatureError) as unknown:
            api.verify(own.verifier, own.token(OTHER))
        own.vault.open = own.vault.reachable = False
        with pytest.raises(KeysUnavailableError) as unavailable:
            api.verify(own.verifier, own.token())

        assert (401, 503) == (unknown.value.reason.status, unavailable.value.reason.status)

    @each_api
    def test_a_source_that_cannot_be_warmed_says_so(self, own: OfOnesOwn, api: Api) -> None:
        own.vault.reachable = False

        with pytest.raises(KeysUnavailableError, match="the vault does not open"):
            api.warm(own.verifier)

    @each_api
    def test_a_token_that_would_be_refused_anyway_asks_no_source(self, own: OfOnesOwn, api: Api) -> None:
        with pytest.raises(Exception, match="expired"):
            api.verify(own.verifier, own.token(exp=1, iat=0))
        assert [] == own.vault.asked

    def test_only_key_caches_are_listed_as_such(self, own: OfOnesOwn, world: World) -> None:
        assert () == own.verifier.key_caches
        assert 1 == len(world.verifier().key_caches)


class TestTheKeysOfASource:
    @pytest.mark.parametrize(
        ("kid", "alg", "key", "why"),
        [
            ("", "RS256", rsa_key("key-1").public_key(), "no key id of 1 to 256 characters"),
            ("k" * 257, "RS256", rsa_key("key-1").public_key(), "no key id of 1 to 256 characters"),
            ("k", "RS256", rsa_key("weak", 1024).public_key(), "an RSA key of 1024 bits"),
            ("k", "RS256", rsa_key("odd", 2048, 3).public_key(), "an RSA exponent of '3'"),
            ("k", "RS256", ec_key("k").public_key(), "not a public key for RS256"),
            ("k", "ES256", rsa_key("key-1").public_key(), "not a public key for ES256"),
            ("k", "HS256", rsa_key("key-1").public_key(), "not a public key for HS256"),
            ("k", "none", rsa_key("key-1").public_key(), "not a public key for none"),
            ("k", "ES256", ec.generate_private_key(ec.SECP384R1()).public_key(), "not on the curve P-256"),
            ("k", "ES256", ed25519.Ed25519PrivateKey.generate().public_key(), "not a public key for ES256"),
            ("k", "ES256", ec_key("k"), "not a public key for ES256"),
        ],
        ids=lambda value: value if isinstance(value, str) and len(value) < 50 else "",
    )
    def test_a_key_that_must_not_verify_signatures_cannot_be_made(
        self, kid: str, alg: str, key: Any, why: str
    ) -> None:
        with pytest.raises(ConfigurationError, match="cannot be used: ") as caught:
            VerificationKey(kid, alg, key)
        assert why in str(caught.value)
