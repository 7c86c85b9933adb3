from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, Issuer, explain_token
from doorward.audiences.audience import Audiences
from doorward.errors import ClaimError, Reason
from doorward.explain.token import Outcome
from doorward.issuers.claim_rule import refuse
from doorward.tokens import claims as claims_module
from doorward.tokens.claims import CLAIM_RULES, NamedRule, Rules, check_claims, refuse_early
from doorward.tokens.expectations import Expectations
from support.tokens import AUDIENCE, claims
from support.world import World

NOW = 1_790_000_000.0
LEEWAY = 30.0
LISTS = replace(GOOGLE, audience_lists=True)
OTHER = "https://other.example"


def check(
    issuer: Issuer = GOOGLE,
    now: float = NOW,
    leeway: float = LEEWAY,
    audiences: frozenset[str] = frozenset({AUDIENCE}),
    **changed: Any,
) -> float:
    return both(claims(NOW, **changed), Expectations(issuer, Audiences(audiences), leeway), now)


def both(made: dict[str, Any], expected: Expectations, now: float) -> float:
    """Check claims as every token is checked, with the quick look, and rule by rule, which must agree."""
    rules = Rules.of(expected)
    by_rules: ClaimError | None = None
    try:
        for rule in rules.all:
            rule(made, expected, now)
    except ClaimError as error:
        by_rules = error
    try:
        valid_from, expires_at = check_claims(made, expected, rules, now)
    except ClaimError as error:
        assert by_rules is not None, "the rules accept it"
        assert (by_rules.reason, by_rules.claim) == (error.reason, error.claim)  # noqa: PT017 - both are compared
        raise
    assert by_rules is None, f"the quick look accepts it, and yet: {by_rules}"
    assert max(made["iat"], made.get("nbf", 0)) - expected.leeway == valid_from <= now
    return expires_at


def quickly(made: dict[str, Any], expected: Expectations, now: float) -> float | None:
    """Return what the quick look gives; None where the rules have to be asked."""

    class NotQuickError(Exception):
        pass

    def asked(*_: object) -> None:
        raise NotQuickError

    try:
        return check_claims(made, expected, replace(Rules.of(expected), all=(asked,)), now)[1]
    except NotQuickError:
        return None


def refused(**wanted: Any) -> tuple[Reason, str | None]:
    with pytest.raises(ClaimError) as caught:
        check(**wanted)
    return caught.value.reason, caught.value.claim


def test_good_claims_hold_until_their_expiry_and_the_leeway() -> None:
    assert NOW + 3600 + LEEWAY == check()


# iss.


@pytest.mark.parametrize("iss", GOOGLE.iss_values)
def test_every_spelling_of_the_issuer_is_accepted(iss: str) -> None:
    assert NOW < check(iss=iss)


@pytest.mark.parametrize(
    "iss",
    [
        "https://accounts.google.com/",
        "https://accounts.google.co",
        "ttps://accounts.google.com",
        "google",
        "",
        "HTTPS://ACCOUNTS.GOOGLE.COM",
        "http://accounts.google.com",
        " accounts.google.com",
        "accounts.google.com\n",
        "https://accounts.google.com.evil.example",
        0,
        True,
        ("https://accounts.google.com",),
        MappingProxyType({"https://accounts.google.com": 1}),
    ],
    ids=repr,
)
def test_any_other_issuer_is_wrong(iss: object) -> None:
    assert (Reason.WRONG_ISSUER, "iss") == refused(iss=iss)


@given(st.integers(0, 27), st.integers(0, 27))
@settings(deadline=None, max_examples=100)
def test_no_proper_part_of_the_issuer_is_the_issuer(start: int, end: int) -> None:
    whole = GOOGLE.iss_values[0]
    part = whole[start:end]
    if part not in GOOGLE.iss_values:
        assert (Reason.WRONG_ISSUER, "iss") == refused(iss=part)


def test_a_missing_issuer_is_missing() -> None:
    assert (Reason.CLAIM_MISSING, "iss") == refused(iss=None)


def test_an_issuer_nested_deeply_is_wrong_and_nothing_worse() -> None:
    """A claim that a JSON reader still takes must not be too deep for the sentence that refuses it."""
    iss: object = "x"
    for _ in range(600):
        iss = MappingProxyType({"a": iss})

    assert (Reason.WRONG_ISSUER, "iss") == refused(iss=iss)


# aud.


def test_each_of_several_audiences_is_accepted() -> None:
    both = frozenset({AUDIENCE, OTHER})

    assert check(audiences=both) == check(audiences=both, aud=OTHER)


@pytest.mark.parametrize(
    "aud",
    ["", AUDIENCE + "/", AUDIENCE[:-1], AUDIENCE.upper(), f" {AUDIENCE}", f"{AUDIENCE},{OTHER}", OTHER],
    ids=repr,
)
def test_any_other_audience_is_wrong(aud: str) -> None:
    assert (Reason.WRONG_AUDIENCE, "aud") == refused(aud=aud)


@pytest.mark.parametrize(
    "aud", [(AUDIENCE,), (), (AUDIENCE, OTHER), 1, True, MappingProxyType({AUDIENCE: 1})], ids=repr
)
def test_google_names_one_audience_as_a_string(aud: object) -> None:
    assert (Reason.CLAIM_INVALID, "aud") == refused(aud=aud)


def test_a_missing_audience_is_missing() -> None:
    assert (Reason.CLAIM_MISSING, "aud") == refused(aud=None)


@pytest.mark.parametrize("aud", [AUDIENCE, (AUDIENCE,), (OTHER, AUDIENCE)], ids=["string", "one", "two"])
def test_an_issuer_may_be_allowed_lists_of_audiences(aud: object) -> None:
    assert NOW < check(LISTS, aud=aud)


@pytest.mark.parametrize("aud", [(), (OTHER,), (AUDIENCE + "/",)], ids=["empty", "other", "longer"])
def test_a_list_without_an_accepted_audience_is_wrong(aud: object) -> None:
    assert (Reason.WRONG_AUDIENCE, "aud") == refused(issuer=LISTS, aud=aud)


@pytest.mark.parametrize("aud", [(AUDIENCE, 1), (None, AUDIENCE), ((AUDIENCE,),), 7], ids=repr)
def test_a_list_with_what_is_not_a_string_is_invalid(aud: object) -> None:
    assert (Reason.CLAIM_INVALID, "aud") == refused(issuer=LISTS, aud=aud)


# exp, iat, nbf.


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_a_token_says_when_it_was_issued_and_when_it_expires(name: str) -> None:
    assert (Reason.CLAIM_MISSING, name) == refused(**{name: None})


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    [
        "1790000000",
        "1_790_000_000",
        True,
        False,
        (1_790_000_000,),
        MappingProxyType({}),
        -1,
        -0.5,
        10**400,
        -(10**400),
        253_402_300_800,
        1e300,
        math.inf,
        -math.inf,
        math.nan,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_time_is_a_real_number_within_range(name: str, value: object) -> None:
    assert (Reason.CLAIM_INVALID, name) == refused(**{name: value})


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_a_time_that_is_null_is_invalid(name: str) -> None:
    null: dict[str, Any] = claims(NOW) | {name: None}
    with pytest.raises(ClaimError) as caught:
        both(null, Expectations(GOOGLE, Audiences(AUDIENCE), LEEWAY), NOW)

    assert (Reason.CLAIM_INVALID, name) == (caught.value.reason, caught.value.claim)


def test_a_time_may_have_a_fraction() -> None:
    assert NOW + 3600.5 + LEEWAY == check(exp=NOW + 3600.5, iat=NOW + 0.5)


@pytest.mark.parametrize("late", [LEEWAY, LEEWAY + 1, 1e6])
def test_a_token_is_expired_from_its_expiry_and_the_leeway_on(late: float) -> None:
    assert (Reason.EXPIRED, "exp") == refused(now=NOW + 3600 + late)


def test_a_token_holds_up_to_its_expiry_and_the_leeway() -> None:
    assert NOW + 3600 + LEEWAY == check(now=NOW + 3600 + LEEWAY - 0.01)


def test_without_leeway_a_token_is_expired_at_its_expiry() -> None:
    assert NOW + 3600 == check(leeway=0.0, now=NOW + 3599.9)
    assert (Reason.EXPIRED, "exp") == refused(leeway=0.0, now=NOW + 3600)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_is_not_yet_valid_beyond_the_leeway(name: str) -> None:
    edge: dict[str, Any] = {name: NOW + LEEWAY}

    assert NOW < check(**edge)
    assert (Reason.NOT_YET_VALID, name) == refused(**{name: NOW + LEEWAY + 0.5})


def test_the_lifetime_is_bounded_by_that_of_the_issuer_and_the_leeway() -> None:
    assert NOW < check(exp=NOW + 3600 + LEEWAY)
    assert (Reason.LIFETIME_TOO_LONG, "exp") == refused(exp=NOW + 3601 + LEEWAY)


def test_another_issuer_may_issue_for_a_day() -> None:
    issuer = replace(GOOGLE, max_lifetime=86_400.0)

    assert NOW < check(issuer, exp=NOW + 86_400)
    assert (Reason.LIFETIME_TOO_LONG, "exp") == refused(issuer=issuer, exp=NOW + 86_500)


@pytest.mark.parametrize("exp", [NOW, NOW - 10])
def test_a_token_that_expires_before_it_is_issued_is_invalid(exp: float) -> None:
    assert (Reason.CLAIM_INVALID, "exp") == refused(exp=exp)


# sub and email.


def test_a_token_names_its_subject() -> None:
    assert (Reason.CLAIM_MISSING, "sub") == refused(sub=None)


@pytest.mark.parametrize("sub", ["", "s" * 256, 1122, True, ("1",)], ids=lambda sub: repr(sub)[:12])
def test_a_subject_is_a_string_of_at_most_255_characters(sub: object) -> None:
    assert (Reason.CLAIM_INVALID, "sub") == refused(sub=sub)


def test_a_subject_of_255_characters_is_taken() -> None:
    assert NOW < check(sub="s" * 255)


def test_a_token_without_an_email_is_good() -> None:
    assert NOW < check(email=None, email_verified=None)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "no-at",
        "a@b@c",
        "caller@doorward-test.iam.gserviceaccount.com@evil.com",
        "a b@c.com",
        "a@c.com\n",
        "a@c\x00.com",
        "a\u200b@c.com",
        "a\u202e@c.com",
        "\ta@c.com",
        7,
        True,
        ("a@c.com",),
        MappingProxyType({}),
    ],
    ids=repr,
)
def test_an_email_is_one_plain_address(email: object) -> None:
    assert (Reason.CLAIM_INVALID, "email") == refused(email=email)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
names = st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "sub", "email", "email_verified"])


@given(st.dictionaries(names, json_values), st.booleans())
@settings(deadline=None, max_examples=300)
def test_no_claims_raise_anything_but_a_claim_error(changed: dict[str, Any], lists: bool) -> None:  # noqa: FBT001 - drawn
    try:
        expected = Expectations(LISTS if lists else GOOGLE, Audiences(AUDIENCE), LEEWAY)
        expires_at = both(claims(NOW) | changed, expected, NOW)
    except ClaimError as error:
        assert error.claim is not None  # noqa: PT017 - some draws are good
    else:
        assert NOW < expires_at <= NOW + 3600 + 3 * LEEWAY


# The quick look.


def test_the_ordinary_token_passes_the_quick_look() -> None:
    expected = Expectations(GOOGLE, Audiences(AUDIENCE), LEEWAY)

    assert NOW + 3600 + LEEWAY == quickly(claims(NOW), expected, NOW)
    assert NOW + 3600 + LEEWAY == quickly(claims(NOW, email=None), expected, NOW)
    assert quickly(claims(NOW, nbf=int(NOW)), expected, NOW) is None


@given(
    st.dictionaries(
        st.sampled_from(["exp", "iat", "nbf"]),
        st.sampled_from([-3630, -3600, -30, -1, 0, 1, 30, 31, 3600, 3630, 3631, 10**400, 0.5])
        | st.floats(-4000, 4000),
    ),
    st.sampled_from([0.0, 1.0, 30.0]),
)
@settings(deadline=None, max_examples=500)
def test_the_quick_look_accepts_no_time_that_a_rule_refuses(times: dict[str, Any], leeway: float) -> None:
    made = claims(NOW) | {name: int(NOW) + offset for name, offset in times.items()}

    with contextlib.suppress(ClaimError):
        both(made, Expectations(GOOGLE, Audiences(AUDIENCE), leeway), NOW)


def test_a_rule_of_the_issuers_own_is_never_passed_over() -> None:
    def never(claims: Mapping[str, object], _leeway: float, _now: float) -> None:
        refuse(Reason.CLAIM_INVALID, "own", f"never: {claims['sub']}")

    assert (Reason.CLAIM_INVALID, "own") == refused(issuer=replace(GOOGLE, extra_rules=(never,)))


def test_a_rule_of_the_issuers_own_cannot_change_the_claims() -> None:
    def forger(claims: Mapping[str, object], _leeway: float, _now: float) -> None:
        claims["email"] = "root@example.com"  # type: ignore[index]

    with pytest.raises(TypeError, match="does not support item assignment"):
        check(issuer=replace(GOOGLE, extra_rules=(forger,)))


@pytest.mark.parametrize("exp", [0, 1, NOW - 31, NOW - 30, 10**400, -1, True, "1", None, NOW - 40.5, NOW])
def test_only_what_is_surely_expired_is_refused_before_its_signature_is_checked(exp: Any) -> None:
    made = claims(NOW, exp=int(exp) if isinstance(exp, float) and exp.is_integer() else exp)
    expected = Expectations(GOOGLE, Audiences(AUDIENCE), LEEWAY)
    if type(made.get("exp")) is int and 0 <= made["exp"] <= NOW - LEEWAY:
        with pytest.raises(ClaimError) as caught:
            refuse_early(made, expected, NOW)
        assert (Reason.EXPIRED, "exp") == (caught.value.reason, caught.value.claim)
    else:
        refuse_early(made, expected, NOW)


# One place for a rule.


def test_a_rule_is_added_in_one_place_and_applied_on_every_path_and_explained(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(claims: Mapping[str, object], _expected: Expectations, _now: float) -> None:
        if claims.get("sub") == "odd":
            refuse(Reason.CLAIM_INVALID, "sub", "an odd subject")

    rule = NamedRule("no odd subject", odd, lambda _: "any other subject", ("sub",))
    monkeypatch.setattr(claims_module, "CLAIM_RULES", (*CLAIM_RULES, rule))
    own = Issuer(name="own", iss_values=("https://own.example",), key_url="https://own.example/jwks")
    several = world.verifier(issuers=[GOOGLE, own])
    cold, warm = world.verifier(), world.verifier()
    warm.verify(world.token())

    for verifier, more in (
        (cold, {}),
        (warm, {}),
        (several, {}),
        (warm, {"pad": "x" * 3000}),
        (several, {"pad": "x" * 3000}),
    ):
        with pytest.raises(ClaimError, match="an odd subject"):
            verifier.verify(world.token(sub="odd", **more))
        verifier.verify(world.token(**more))
    explained = {check.name: check for check in explain_token(warm, world.token(sub="odd")).checks}
    assert ("any other subject", Reason.CLAIM_INVALID) == (
        explained["no odd subject"].expected,
        explained["no odd subject"].reason,
    )
    passed = {check.name: check for check in explain_token(warm, world.token()).checks}
    assert (Outcome.PASSED, "sub '11223") == (
        passed["no odd subject"].outcome,
        passed["no odd subject"].seen[:10],
    )


def test_the_quick_look_repeats_every_rule_that_says_so_and_no_other() -> None:
    assert [rule.name for rule in CLAIM_RULES] == [rule.name for rule in CLAIM_RULES if rule.in_quick_look]
    assert () == Rules.of(Expectations(GOOGLE, Audiences(AUDIENCE), LEEWAY)).beyond_quick_look
