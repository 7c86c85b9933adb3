"""The issuer in memory: its tokens, its keys, and the verifiers that believe it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi import FastAPI

from doorward import (
    GOOGLE,
    IAP,
    ConfigurationError,
    Issuer,
    KeysUnavailableError,
    Reason,
    TokenError,
    Verifier,
    firebase,
)
from doorward.issuers.chat import chat_project_number
from doorward.issuers.self_signed import service_account_issuer
from doorward.keys.fixed import NO_KEYS
from doorward_integrations.testing import MemoryIssuer, principal
from support.clock import ManualClock
from support.tokens import AUDIENCE, CALLER, MEMBER

OURS = Issuer(
    name="ours", iss_values=("https://id.example",), key_url="https://id.example/keys", algorithms=("ES256",)
)
PROJECT = firebase("my-project-1a2b3")


@pytest.fixture
def verifier(clock: ManualClock) -> Verifier:
    return Verifier(AUDIENCE, clock=clock)


@pytest.fixture
def issuer(doorward_issuer: MemoryIssuer, verifier: Verifier) -> MemoryIssuer:
    return doorward_issuer.stand_in_for(verifier)


def refused(verifier: Verifier, token: str) -> Reason:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value.reason


class TestTokens:
    def test_a_service_account(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        found = verifier.verify(issuer.token_for(CALLER))
        assert (MEMBER, found.subject) == (found.member, found.claims["azp"])

    def test_a_user_with_further_claims(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        found = verifier.verify(issuer.token_for("ann@example.com", hd="example.com"))
        assert ("user:ann@example.com", "example.com") == (found.member, found.hosted_domain)

    def test_a_claim_can_be_removed(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        assert verifier.verify(issuer.token_for(CALLER, email_verified=None)).member is None

    def test_a_principal_comes_back_as_it_was_made(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        who = principal("ann@example.com", hd="example.com", nested={"a": [1, {"b": None}]})
        found = verifier.verify(issuer.token_for(who))
        assert who == found
        assert {*who.claims} | {"aud", "exp", "iat"} == {*found.claims}

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            ("expired", Reason.EXPIRED),
            ("not_yet_valid", Reason.NOT_YET_VALID),
            ("wrong_audience", Reason.WRONG_AUDIENCE),
            ("wrong_issuer", Reason.WRONG_ISSUER),
            ("wrong_key", Reason.BAD_SIGNATURE),
        ],
    )
    def test_a_bad_one_is_refused_for_its_reason(
        self, issuer: MemoryIssuer, verifier: Verifier, make: str, reason: Reason
    ) -> None:
        assert reason is refused(verifier, getattr(issuer, make)(CALLER))

    def test_header_parameters_can_be_changed(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        assert Reason.KID_MISSING is refused(verifier, issuer.token_for(CALLER, header={"kid": None}))

    def test_any_bytes_can_be_signed(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        key = issuer.key()
        token = issuer.sign({"alg": key.alg, "kid": key.kid}, b'{"a": 1, "a": 2}')
        assert Reason.MALFORMED is refused(verifier, token)

    def test_without_a_verifier_an_audience_is_needed(self, doorward_issuer: MemoryIssuer) -> None:
        with pytest.raises(ConfigurationError, match="no audience is known"):
            doorward_issuer.token_for(CALLER)
        assert 2 == doorward_issuer.token_for(CALLER, AUDIENCE).count(".")

    def test_the_clock_can_be_given(self) -> None:
        clock = ManualClock(1_000_000_000)
        verifier = Verifier(AUDIENCE, clock=clock)
        with MemoryIssuer(clock=clock) as issuer:
            token = issuer.token_for(CALLER, AUDIENCE)
            issuer.stand_in_for(verifier)
            assert 1_000_000_000 == verifier.verify(token).claims["iat"]


@pytest.mark.parametrize(
    ("given", "member"),
    [
        (GOOGLE, "user:ann@example.com"),
        (IAP, "user:ann@example.com"),
        (PROJECT, None),
        (OURS, None),
        (chat_project_number(1234), "serviceAccount:chat@system.gserviceaccount.com"),
        (service_account_issuer(CALLER), MEMBER),
    ],
    ids=lambda one: one.name if isinstance(one, Issuer) else "",
)
def test_a_token_has_the_shape_of_every_preset(
    doorward_issuer: MemoryIssuer, clock: ManualClock, given: Issuer, member: str | None
) -> None:
    audience = None if given.audiences else AUDIENCE
    verifier = Verifier(audience, issuers=[given], clock=clock)
    doorward_issuer.stand_in_for(verifier)
    found = verifier.verify(doorward_issuer.token_for("ann@example.com"))
    assert member == found.member
    assert Reason.EXPIRED is refused(verifier, doorward_issuer.expired("ann@example.com"))


class TestSeveralIssuers:
    def test_each_has_tokens_and_keys_of_its_own(
        self, doorward_issuer: MemoryIssuer, clock: ManualClock
    ) -> None:
        verifier = Verifier(AUDIENCE, issuers=[GOOGLE, OURS], clock=clock)
        doorward_issuer.stand_in_for(verifier)
        ours = principal("ann@example.com", issuer=OURS)

        assert MEMBER == verifier.verify(doorward_issuer.token_for(CALLER)).member
        assert "https://id.example" == verifier.verify(doorward_issuer.token_for(ours)).issuer
        assert (
            "https://id.example"
            == verifier.verify(doorward_issuer.token_for("a@b.example", issuer=OURS)).issuer
        )
        assert Reason.ALGORITHM_NOT_ALLOWED is refused(
            verifier, doorward_issuer.token_for(CALLER, iss="https://id.example")
        )

    def test_a_caller_of_another_issuer_is_explained(self, issuer: MemoryIssuer) -> None:
        with pytest.raises(ConfigurationError, match="accepts tokens of google"):
            issuer.token_for(principal("ann@example.com", issuer=OURS))


class TestKeys:
    def test_a_rotation_keeps_the_key_before_it(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        first = issuer.token_for(CALLER)
        issuer.rotate()
        second = issuer.token_for(CALLER)
        assert MEMBER == verifier.verify(first).member == verifier.verify(second).member
        issuer.rotate()
        assert Reason.UNKNOWN_KEY is refused(verifier, first)
        assert MEMBER == verifier.verify(second).member

    def test_a_withdrawn_key_is_gone_at_once_also_for_tokens_seen_before(
        self, issuer: MemoryIssuer, verifier: Verifier
    ) -> None:
        token = issuer.token_for(CALLER)
        verifier.verify(token)
        issuer.rotate(withdraw=True)
        assert Reason.UNKNOWN_KEY is refused(verifier, token)

    def test_a_broken_endpoint_is_no_bad_token(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        token = issuer.token_for(CALLER)
        verifier.verify(token)
        with issuer.break_endpoint(), pytest.raises(KeysUnavailableError, match="is broken"):
            verifier.verify(token)
        assert MEMBER == verifier.verify(token).member

    def test_it_can_stay_broken(self, issuer: MemoryIssuer, verifier: Verifier) -> None:
        issuer.break_endpoint()
        with pytest.raises(KeysUnavailableError):
            verifier.warm()
        issuer.mend_endpoint()
        verifier.warm()

    def test_the_key_set_holds_what_is_published(self, issuer: MemoryIssuer) -> None:
        first = issuer.key().kid
        issuer.rotate()
        assert [issuer.key().kid, first] == [key["kid"] for key in issuer.jwks()["keys"]]


class TestTrust:
    def test_it_ends_with_the_issuer_also_for_tokens_seen_before(self, clock: ManualClock) -> None:
        verifier = Verifier(AUDIENCE, clock=clock, key_cache=lambda _: NO_KEYS)
        with MemoryIssuer() as issuer:
            issuer.stand_in_for(verifier)
            token = issuer.token_for(CALLER)
            assert MEMBER == verifier.verify(token).member
        assert Reason.UNKNOWN_KEY is refused(verifier, token)

    def test_any_number_of_verifiers_however_they_were_made(self, issuer: MemoryIssuer, app: FastAPI) -> None:
        other = Verifier("https://other.example")
        issuer.stand_in_for(other, app)
        now = other.verify(issuer.token_for(CALLER, "https://other.example", **fresh()))
        assert MEMBER == now.member

    def test_two_issuers_can_be_believed_at_once(self, clock: ManualClock, verifier: Verifier) -> None:
        with MemoryIssuer(keys="a") as one, MemoryIssuer(keys="b") as other:
            one.stand_in_for(verifier)
            other.stand_in_for(verifier)
            assert MEMBER == verifier.verify(one.token_for(CALLER)).member
            assert MEMBER == verifier.verify(other.token_for(CALLER)).member

    def test_standing_in_twice_ends_once_for_all(self, verifier: Verifier) -> None:
        before = verifier._engine.issuers[0].key_source
        with MemoryIssuer() as issuer:
            issuer.stand_in_for(verifier).stand_in_for(verifier)
            assert before is not verifier._engine.issuers[0].key_source
        assert before is verifier._engine.issuers[0].key_source

    def test_the_variable_of_the_emulator_is_not_needed(
        self, monkeypatch: pytest.MonkeyPatch, doorward_issuer: MemoryIssuer, clock: ManualClock
    ) -> None:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", "127.0.0.1:9")
        verifier = Verifier(AUDIENCE, clock=clock)
        doorward_issuer.stand_in_for(verifier)
        assert MEMBER == verifier.verify(doorward_issuer.token_for(CALLER)).member

    def test_a_target_without_a_door_is_explained(self, doorward_issuer: MemoryIssuer) -> None:
        with pytest.raises(ConfigurationError, match="no door is found in object"):
            doorward_issuer.stand_in_for(object())


def fresh() -> dict[str, Any]:
    return {"iat": int(time.time()), "exp": int(time.time()) + 60}
