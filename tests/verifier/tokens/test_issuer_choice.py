"""Which of several issuers is asked for the key of a token, by the length of its payload.

Up to 1,024 characters the payload is read first and names the issuer. Up to 2,048 the keys at hand are tried
first, and the payload is read only before an endpoint is asked. Beyond that it is not read before its
signature was checked.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from doorward import GOOGLE, Issuer, KeyCache, Principal, Reason, Verifier
from doorward.errors import RefusedError
from doorward.keys.key import VerificationKey
from doorward.tokens import engine, jws
from doorward.tokens.accepted_issuer import check_signature
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.tokens import AUDIENCE, MEMBER, SigningKey, b64, claims, header, signed

Ask = Callable[[Verifier, str], Principal]
OWN_ISS = "https://issuer.example"
OWN = replace(
    GOOGLE,
    name="own",
    iss_values=(OWN_ISS,),
    key_url="https://issuer.example/keys",
    google_accounts=False,
)
READ_FIRST, READ_BEFORE_ASKING = 1024, 2048


@pytest.fixture(params=["verify", "averify"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "verify":
        return lambda verifier, made: verifier.verify(made)
    return lambda verifier, made: asyncio.run(verifier.averify(made))


class Two:
    """Google and an issuer of one's own, both with RSA keys, each with an endpoint that counts."""

    def __init__(self, own_kid: str = "own-1") -> None:
        self.clock = ManualClock()
        self.keys = {"google": SigningKey("key-1"), "own": SigningKey(own_kid, name="own")}
        self.endpoints = {name: KeyEndpoint(key) for name, key in self.keys.items()}
        self.verifier = Verifier(AUDIENCE, issuers=(GOOGLE, OWN), key_cache=self._cache, clock=self.clock)

    def _cache(self, issuer: Issuer) -> KeyCache:
        endpoint = self.endpoints[issuer.name]
        clock = self.clock
        return KeyCache(issuer.key_url, issuer.algorithms, fetch=endpoint, clock=clock, monotonic=clock)

    def warm(self, *names: str) -> None:
        for cache, name in zip(self.verifier.key_caches, ("google", "own"), strict=True):
            if name in names:
                cache.warm()

    def token(self, key: SigningKey, length: int, **changed: Any) -> str:
        """Make a token whose payload has so many characters, once it is encoded."""
        made = claims(self.clock.now, filler="", **changed)
        made["filler"] = "x" * (length * 3 // 4 - len(json.dumps(made)))
        while len(b64(json.dumps(made).encode())) < length:
            made["filler"] += "x"
        token = signed(key, header(key), made)
        assert length == len(token.split(".")[1])
        return token

    @property
    def fetches(self) -> tuple[int, int]:
        return self.endpoints["google"].fetches, self.endpoints["own"].fetches


@pytest.fixture
def two() -> Two:
    return Two()


def refused(ask: Ask, verifier: Verifier, token: str) -> Reason:
    with pytest.raises(RefusedError) as caught:
        ask(verifier, token)
    return caught.value.reason


between = pytest.mark.parametrize("length", [READ_FIRST + 2, 1500, READ_BEFORE_ASKING])
at_most = pytest.mark.parametrize("length", [READ_FIRST, READ_FIRST + 2, 1500, READ_BEFORE_ASKING])


@at_most
def test_from_cold_only_the_issuer_that_the_token_names_is_asked(ask: Ask, two: Two, length: int) -> None:
    assert OWN_ISS == ask(two.verifier, two.token(two.keys["own"], length, iss=OWN_ISS)).issuer
    assert (0, 1) == two.fetches
    assert MEMBER == ask(two.verifier, two.token(two.keys["google"], length)).member
    assert (1, 1) == two.fetches


@between
@pytest.mark.parametrize("warm", ["google", "own"])
def test_the_keys_at_hand_are_tried_and_the_other_issuer_is_asked_only_for_its_own(
    ask: Ask, two: Two, length: int, warm: str
) -> None:
    two.warm(warm)

    assert OWN_ISS == ask(two.verifier, two.token(two.keys["own"], length, iss=OWN_ISS)).issuer
    assert MEMBER == ask(two.verifier, two.token(two.keys["google"], length)).member
    assert (1, 1) == two.fetches


@at_most
def test_an_issuer_that_is_not_accepted_causes_no_fetch(ask: Ask, two: Two, length: int) -> None:
    made = two.token(SigningKey("other"), length, iss="https://other.example")

    assert Reason.WRONG_ISSUER == refused(ask, two.verifier, made)
    assert (0, 0) == two.fetches


@at_most
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "https://other.example"}, Reason.WRONG_AUDIENCE),
        ({"iat": 1, "exp": 3601}, Reason.EXPIRED),
        ({"sub": None}, Reason.CLAIM_MISSING),
    ],
    ids=["aud", "exp", "sub"],
)
def test_what_could_not_pass_with_a_good_signature_causes_no_fetch(
    ask: Ask, two: Two, length: int, changed: dict[str, Any], reason: Reason
) -> None:
    assert reason == refused(ask, two.verifier, two.token(two.keys["own"], length, iss=OWN_ISS, **changed))
    assert (0, 0) == two.fetches


@at_most
def test_an_issuer_that_is_named_and_has_refused_is_not_passed_over_for_another(
    ask: Ask, two: Two, length: int
) -> None:
    """A forgery under a known key id of one issuer must not have the endpoint of the other asked."""
    two.warm("own")
    forged = two.token(SigningKey("own-1", name="forger"), length, iss=OWN_ISS)

    assert Reason.BAD_SIGNATURE == refused(ask, two.verifier, forged)
    assert (0, 1) == two.fetches


@between
def test_with_the_keys_of_both_a_forgery_has_only_the_issuer_that_it_names_asked(
    ask: Ask, two: Two, length: int
) -> None:
    two.warm("google", "own")
    forged = two.token(SigningKey("key-1", name="forger"), length, iss=OWN_ISS)

    assert Reason.BAD_SIGNATURE == refused(ask, two.verifier, forged)
    assert (1, 2) == two.fetches  # the named one was asked whether it has such a key by now


@between
def test_a_signature_that_does_not_hold_is_checked_once(
    ask: Ask, two: Two, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.warm("own")
    checked: list[str] = []

    def check(token: jws.Token, head: jws.Header, key: VerificationKey) -> None:
        checked.append(key.kid)
        check_signature(token, head, key)

    monkeypatch.setattr(engine, "check_signature", check)
    forged = two.token(SigningKey("own-1", name="forger"), length, iss=OWN_ISS)

    assert Reason.BAD_SIGNATURE == refused(ask, two.verifier, forged)
    assert ["own-1"] == checked


@between
def test_where_every_issuer_has_the_key_id_the_payload_is_not_read(ask: Ask, length: int) -> None:
    two = Two(own_kid="key-1")
    two.warm("google", "own")
    forged = two.token(SigningKey("key-1", name="forger"), length, iss="https://other.example")

    assert Reason.BAD_SIGNATURE == refused(ask, two.verifier, forged)
    assert (1, 1) == two.fetches


@between
def test_the_key_of_one_issuer_does_not_sign_for_the_other(ask: Ask, two: Two, length: int) -> None:
    two.warm("google", "own")

    made = two.token(two.keys["google"], length, iss=OWN_ISS)

    assert Reason.WRONG_ISSUER == refused(ask, two.verifier, made)
    assert (1, 1) == two.fetches


@between
def test_an_issuer_away_is_503_for_its_own_tokens_only(ask: Ask, two: Two, length: int) -> None:
    two.warm("google")
    two.endpoints["own"].down()

    own = two.token(two.keys["own"], length, iss=OWN_ISS)

    assert Reason.KEYS_UNAVAILABLE == refused(ask, two.verifier, own)
    assert MEMBER == ask(two.verifier, two.token(two.keys["google"], length)).member


@pytest.mark.parametrize("length", [READ_BEFORE_ASKING + 2, 3000])
def test_beyond_that_the_payload_is_not_read_and_every_issuer_without_the_key_is_asked(
    ask: Ask, two: Two, length: int
) -> None:
    assert OWN_ISS == ask(two.verifier, two.token(two.keys["own"], length, iss=OWN_ISS)).issuer
    assert (1, 1) == two.fetches

    assert Reason.UNKNOWN_KEY == refused(
        ask, two.verifier, two.token(SigningKey("other"), length, iss="https://other.example")
    )


@between
def test_what_holds_escapes_is_not_read_either(ask: Ask, two: Two, length: int) -> None:
    made = two.token(two.keys["own"], length, iss=OWN_ISS, note='"')

    assert OWN_ISS == ask(two.verifier, made).issuer
    assert (1, 1) == two.fetches


# How much is read of what is not signed.


def unsigned(payload: bytes) -> jws.Token:
    return jws.split(f"e30.{b64(payload)}.AAAA")


def filled(length: int) -> bytes:
    """Give an object whose encoded form has so many characters."""
    made = b'{"a":"' + b"x" * (length * 3 // 4 - 8) + b'"}'
    assert length == len(base64.urlsafe_b64encode(made).rstrip(b"="))
    return made


def test_a_payload_is_read_unsigned_up_to_its_bound_and_not_one_character_further() -> None:
    assert {"a": "x" * 1528} == unsigned(filled(2048)).read_unverified_claims()
    assert unsigned(filled(2050)).read_unverified_claims() is None
    assert {"a": "x" * 760} == unsigned(filled(1024)).read_unverified_claims(jws.BRIEF)
    assert unsigned(filled(1026)).read_unverified_claims(jws.BRIEF) is None


def test_a_payload_over_the_bound_is_not_even_decoded() -> None:
    over = jws.split(f"e30.{'!' * 2049}.AAAA")

    assert over.read_unverified_claims() is None
    with pytest.raises(RefusedError):
        jws.split(f"e30.{'!' * 2048}.AAAA").read_unverified_claims()


def test_a_payload_of_many_values_is_not_read_unsigned() -> None:
    def of(count: int) -> bytes:
        return json.dumps({str(number): number for number in range(count)}).encode()

    few = unsigned(of(24)).read_unverified_claims()
    assert few is not None
    assert 24 == len(few)
    assert unsigned(of(25)).read_unverified_claims() is None


def test_a_payload_with_escapes_is_not_read_unsigned() -> None:
    assert {"a": "b"} == unsigned(b'{"a":"b"}').read_unverified_claims()
    assert unsigned(b'{"a":"\\u0062"}').read_unverified_claims() is None


@pytest.mark.parametrize(("length", "looked_at"), [(1024, True), (1026, False)])
def test_under_a_known_header_a_short_payload_is_looked_at_before_its_signature(
    ask: Ask,
    two: Two,
    length: int,
    looked_at: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    verifier = Verifier(AUDIENCE, key_cache=two._cache, clock=two.clock)
    ask(verifier, two.token(two.keys["google"], 600))
    other = two.token(two.keys["google"], length, aud="https://other.example")
    forged = f"{other.rpartition('.')[0]}.AAAA"

    assert (Reason.WRONG_AUDIENCE if looked_at else Reason.BAD_SIGNATURE) == refused(ask, verifier, forged)
    assert Reason.WRONG_AUDIENCE == refused(ask, verifier, other)
