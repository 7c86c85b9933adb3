"""The explanation of a token: every check, what was expected and seen, and what to do about it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Reason, Verifier
from doorward.explain.token import Check, Outcome, TokenExplanation, explain_token
from support.tokens import AUDIENCE, MEMBER, SigningKey, claims, header, signed, token
from support.world import World

STAGES = ["form", "header", "algorithm", "key", "signature"]
RULES = ["issuer", "audience", "expiry", "start", "lifetime", "subject", "e-mail"]


def failed(explanation: TokenExplanation) -> dict[str, Check]:
    return {check.name: check for check in explanation.checks if Outcome.FAILED == check.outcome}


def with_header(world: World, **changed: Any) -> str:
    return signed(world.key, header(world.key, **changed), claims(world.clock.now))


def stripped(made: str) -> str:
    return made.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"


def test_of_a_good_token_every_check_is_listed_in_order(world: World) -> None:
    explanation = explain_token(world.verifier(), world.token())

    assert STAGES + RULES == [check.name for check in explanation.checks]
    assert {Outcome.PASSED} == {check.outcome for check in explanation.checks}
    assert explanation.principal is not None
    assert (MEMBER, None) == (explanation.principal.member, explanation.error)


def test_what_was_expected_and_what_was_seen_stand_side_by_side(world: World) -> None:
    explanation = explain_token(world.verifier(), world.token(aud="https://other.example"))

    (check,) = failed(explanation).values()
    assert ("audience", AUDIENCE, Reason.WRONG_AUDIENCE) == (check.name, check.expected, check.reason)
    assert "https://other.example" in check.seen
    assert "the URL of the service" in check.advice


def test_who_has_three_claims_to_mend_learns_of_all_three(world: World) -> None:
    now = int(world.clock.now)
    made = world.token(aud="https://other.example", iat=now - 9000, exp=now - 5400, sub=None)

    explanation = explain_token(world.verifier(), made)

    assert {"audience", "expiry", "subject"} == set(failed(explanation))
    assert explanation.error is not None
    assert Reason.WRONG_AUDIENCE == explanation.error.reason


@pytest.mark.parametrize(
    ("make", "stage", "reason"),
    [
        (lambda _: "not a token", "form", Reason.MALFORMED),
        (lambda _: "a.b", "form", Reason.MALFORMED),
        (lambda _: "x" * 20_000, "form", Reason.TOKEN_TOO_LARGE),
        (lambda w: with_header(w, crit=["x"]), "header", Reason.HEADER_NOT_ALLOWED),
        (lambda w: with_header(w, kid=None), "header", Reason.KID_MISSING),
        (lambda w: with_header(w, alg="HS256"), "algorithm", Reason.ALGORITHM_NOT_ALLOWED),
        (lambda w: token(SigningKey("stranger"), w.clock.now), "key", Reason.UNKNOWN_KEY),
        (lambda w: token(SigningKey("key-1", name="other"), w.clock.now), "signature", Reason.BAD_SIGNATURE),
        (lambda w: stripped(w.token()), "signature", Reason.SIGNATURE_REMOVED),
    ],
    ids=["text", "two", "large", "crit", "kid", "alg", "key", "forged", "removed"],
)
def test_each_stage_that_fails_is_named_and_what_follows_was_not_reached(
    world: World, make: Any, stage: str, reason: Reason
) -> None:
    explanation = explain_token(world.verifier(), make(world))

    check = failed(explanation)[stage]
    assert (reason, reason.advice) == (check.reason, check.advice)
    after = STAGES[STAGES.index(stage) + 1 :]
    assert {Outcome.NOT_REACHED} >= {one.outcome for one in explanation.checks if one.name in after}


def test_keys_that_cannot_be_fetched_leave_it_open_whether_the_token_is_good(world: World) -> None:
    world.endpoint.down()

    explanation = explain_token(world.verifier(), world.token())

    assert Reason.KEYS_UNAVAILABLE == failed(explanation)["key"].reason
    assert "Whether the token is good is not known" in failed(explanation)["key"].advice


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "aud": st.sampled_from([AUDIENCE, "x", None, [AUDIENCE]]),
        "iss": st.sampled_from(["accounts.google.com", "x", None]),
        "exp": st.sampled_from([0, 1_790_000_100, 1_790_003_600, "x", None, 10**12]),
        "iat": st.sampled_from([0, 1_790_000_000, 1_790_009_999, None]),
        "sub": st.sampled_from(["1", "", None]),
        "email": st.sampled_from(["a@b", "a@b@c", None]),
        "nbf": st.sampled_from([0, 10**10]),
    },
)
EVERY = World()
BY: Verifier = EVERY.verifier()


@given(CHANGES)
@settings(deadline=None, max_examples=200)
def test_the_account_and_the_verifier_never_disagree(changed: dict[str, Any]) -> None:
    explanation = explain_token(BY, EVERY.token(**changed))

    assert (explanation.principal is None) == bool(failed(explanation))
    if explanation.error is not None:
        assert explanation.error.reason in {check.reason for check in explanation.checks}


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
@settings(deadline=None, max_examples=200)
def test_whatever_comes_is_explained(anything: str | bytes) -> None:
    assert failed(explain_token(BY, anything))


def test_the_token_is_nowhere_in_its_account(world: World) -> None:
    for made in (world.token(), world.token(aud="x"), world.token()[:-9], "eyJ" + "A" * 300):
        text = repr(explain_token(world.verifier(), made))
        for start in range(0, len(made) - 17, 7):
            assert not re.search(re.escape(made[start : start + 17]), text)
