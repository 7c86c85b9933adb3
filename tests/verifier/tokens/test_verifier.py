from __future__ import annotations

import asyncio
import base64
import json
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import (
    GOOGLE,
    ConfigurationError,
    DoorwardError,
    Issuer,
    KeyCache,
    KeysUnavailableError,
    Principal,
    RefusedError,
    TokenError,
    Verifier,
)
from doorward.errors import ClaimError, Reason, SignatureError
from doorward.issuers.google import GCLOUD_CLIENT_ID
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.tokens import AUDIENCE, CALLER, MEMBER, SigningKey, b64, claims, header, signed, token
from support.world import World

Ask = Callable[[Verifier, "str | bytes"], Principal]

OWN = Issuer(
    name="own",
    iss_values=("https://issuer.example",),
    key_url="https://issuer.example/jwks",
    algorithms=("ES256",),
    audience_lists=True,
)


@pytest.fixture(params=["verify", "averify"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask a verifier in either of its two ways: whatever holds, holds for both."""
    if request.param == "verify":
        return lambda verifier, token: verifier.verify(token)
    return lambda verifier, token: asyncio.run(verifier.averify(token))


def refused(ask: Ask, verifier: Verifier, token: str | bytes) -> tuple[Reason, str | None]:
    with pytest.raises(RefusedError) as caught:
        ask(verifier, token)
    return caught.value.reason, caught.value.claim


# A good token.


def test_a_good_token_says_who_calls(ask: Ask, world: World) -> None:
    principal = ask(world.verifier(), world.token())

    assert MEMBER == principal.member
    assert claims(world.clock.now) == principal.claims


def test_the_keys_are_fetched_once(ask: Ask, world: World) -> None:
    verifier = world.verifier()

    for number in range(3):
        ask(verifier, world.token(sub=str(number + 1)))

    assert 1 == world.endpoint.fetches


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_either_algorithm_verifies_where_the_issuer_signs_with_it(ask: Ask, alg: str) -> None:
    world = World(key=SigningKey(f"key-{alg}", alg))
    issuer = replace(GOOGLE, algorithms=(alg,))

    assert MEMBER == ask(world.verifier(issuers=[issuer]), world.token()).member


def test_each_of_several_audiences_is_accepted(ask: Ask, world: World) -> None:
    verifier = world.verifier([AUDIENCE, "https://orders.example"])

    for aud in (AUDIENCE, "https://orders.example"):
        assert aud == ask(verifier, world.token(aud=aud)).claims["aud"]
    assert (Reason.WRONG_AUDIENCE, "aud") == refused(ask, verifier, world.token(aud="https://x.example"))


# One reason for each rule.


@pytest.mark.parametrize(
    ("changed", "reason", "claim"),
    [
        ({"iss": None}, Reason.CLAIM_MISSING, "iss"),
        ({"iss": "https://evil.example"}, Reason.WRONG_ISSUER, "iss"),
        ({"aud": None}, Reason.CLAIM_MISSING, "aud"),
        ({"aud": "https://other.example"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"aud": [AUDIENCE]}, Reason.CLAIM_INVALID, "aud"),
        ({"exp": None}, Reason.CLAIM_MISSING, "exp"),
        ({"exp": 1_789_999_000, "iat": 1_789_996_000}, Reason.EXPIRED, "exp"),
        ({"exp": 1_790_007_300}, Reason.LIFETIME_TOO_LONG, "exp"),
        ({"iat": None}, Reason.CLAIM_MISSING, "iat"),
        ({"iat": 1_790_000_031}, Reason.NOT_YET_VALID, "iat"),
        ({"nbf": 1_790_000_031}, Reason.NOT_YET_VALID, "nbf"),
        ({"exp": "1790003600"}, Reason.CLAIM_INVALID, "exp"),
        ({"sub": None}, Reason.CLAIM_MISSING, "sub"),
        ({"email": "a@b@c"}, Reason.CLAIM_INVALID, "email"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kid", ["key-1", "key-unknown"])
def test_a_broken_claim_rule_is_named_with_its_claim_whether_or_not_the_key_is_known(
    *, ask: Ask, world: World, changed: dict[str, Any], reason: Reason, claim: str, kid: str
) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    bad = signed(world.key, header(world.key, kid=kid), claims(world.clock.now, **changed))

    assert (reason, claim) == refused(ask, verifier, bad)
    assert 1 == world.endpoint.fetches


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"alg": "HS256"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": None}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"kid": None}, Reason.KID_MISSING),
        ({"crit": ["exp"]}, Reason.HEADER_NOT_ALLOWED),
        ({"kid": "key-2"}, Reason.UNKNOWN_KEY),
    ],
    ids=repr,
)
def test_a_broken_header_rule_is_named(
    ask: Ask, world: World, changed: dict[str, Any], reason: Reason
) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())

    bad = signed(world.key, header(world.key, **changed), claims(world.clock.now))

    assert (reason, None) == refused(ask, verifier, bad)


def test_the_signature_of_another_key_under_a_known_key_id_is_bad(ask: Ask, world: World) -> None:
    forged = token(SigningKey("key-1", name="of somebody else"), world.clock.now)

    assert (Reason.BAD_SIGNATURE, None) == refused(ask, world.verifier(), forged)


def test_a_signature_that_cloud_run_has_removed_is_told_from_a_bad_one(ask: Ask, world: World) -> None:
    signing_input, _, _ = world.token().rpartition(".")

    assert (Reason.SIGNATURE_REMOVED, None) == refused(
        ask, world.verifier(), f"{signing_input}.SIGNATURE_REMOVED_BY_GOOGLE"
    )
    assert 0 == world.endpoint.fetches


def test_the_payload_is_not_even_read_before_the_signature_held(ask: Ask, world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    head = b64(b'{"alg":"RS256","kid":"key-1"}')

    assert (Reason.BAD_SIGNATURE, None) == refused(
        ask, verifier, f"{head}.{b64(b'not json')}.{b64(b's' * 256)}"
    )


def test_a_payload_that_is_signed_and_no_json_is_malformed(ask: Ask, world: World) -> None:
    assert (Reason.MALFORMED, None) == refused(
        ask, world.verifier(), signed(world.key, header(world.key), b"not json")
    )


def test_a_header_is_refused_each_time_though_its_twin_is_remembered(ask: Ask, world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    bad = signed(world.key, header(world.key, b64=False), claims(world.clock.now))

    for _ in range(2):
        assert (Reason.HEADER_NOT_ALLOWED, None) == refused(ask, verifier, bad)


# Sizes.


def test_a_token_over_the_limit_is_refused_unread_by_its_length(ask: Ask, world: World) -> None:
    verifier = world.verifier()
    fitting, over = "." * (16 * 1024), "." * (16 * 1024 + 1)

    assert (Reason.MALFORMED, None) == refused(ask, verifier, fitting)
    assert (Reason.TOKEN_TOO_LARGE, None) == refused(ask, verifier, over)


def test_the_limit_is_a_setting_and_the_error_names_it(ask: Ask, world: World) -> None:
    good = world.token()

    assert MEMBER == ask(world.verifier(max_token_bytes=len(good)), good).member
    verifier = world.verifier(max_token_bytes=len(good) - 1)
    with pytest.raises(TokenError, match=str(len(good) - 1)) as caught:
        ask(verifier, good)
    assert Reason.TOKEN_TOO_LARGE == caught.value.reason


def test_a_large_token_is_taken_where_the_limit_allows_it(ask: Ask, world: World) -> None:
    big = world.token(groups="x" * 20_000)

    assert (Reason.TOKEN_TOO_LARGE, None) == refused(ask, world.verifier(), big)
    assert MEMBER == ask(world.verifier(max_token_bytes=40_000), big).member


# What may cause a fetch.


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1_789_990_000, "iat": 1_789_989_000},
        {"aud": "https://other.example"},
        {"aud": [AUDIENCE]},
        {"iss": "https://evil.example"},
        {"sub": None},
        {"iat": "now"},
    ],
    ids=repr,
)
def test_a_token_that_a_good_signature_would_not_save_causes_no_fetch(
    ask: Ask, world: World, changed: dict[str, Any]
) -> None:
    refused(ask, world.verifier(), world.token(**changed))

    assert 0 == world.endpoint.fetches


@pytest.mark.parametrize("bad", ["AAA=", "AB", "A A", "A+/A"])
def test_a_signature_that_cannot_be_one_causes_no_fetch(ask: Ask, world: World, bad: str) -> None:
    signing_input, _, _ = world.token().rpartition(".")

    assert (Reason.MALFORMED, None) == refused(ask, world.verifier(), f"{signing_input}.{bad}")
    assert 0 == world.endpoint.fetches


def test_an_unknown_key_is_asked_for_once_and_then_is_unknown(ask: Ask, world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    world.clock.move(1)
    other = token(SigningKey("key-2"), world.clock.now)

    for _ in range(3):
        assert (Reason.UNKNOWN_KEY, None) == refused(ask, verifier, other)

    assert 2 == world.endpoint.fetches


def test_a_new_key_is_found_as_soon_as_it_is_published(ask: Ask, world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    new = SigningKey("key-2")
    world.endpoint.keys = (world.key, new)
    world.clock.move(1)

    assert MEMBER == ask(verifier, token(new, world.clock.now)).member


def test_an_unreachable_endpoint_is_not_the_fault_of_the_token(ask: Ask, world: World) -> None:
    world.endpoint.down(retry_after=2)

    with pytest.raises(KeysUnavailableError) as caught:
        ask(world.verifier(), world.token())

    assert Reason.KEYS_UNAVAILABLE == caught.value.reason
    assert 2 == caught.value.retry_after
    assert not isinstance(caught.value, TokenError)


def test_a_fetch_function_that_breaks_makes_the_keys_unavailable(
    ask: Ask, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.endpoint.error = ZeroDivisionError("of the user's own")

    assert (Reason.KEYS_UNAVAILABLE, None) == refused(ask, world.verifier(), world.token())


# Programming errors and cancellation pass through.


@pytest.mark.parametrize("wrong", [None, 7, ["a.b.c"], bytearray(b"a.b.c")], ids=repr)
def test_what_is_no_token_at_all_is_the_mistake_of_the_caller(ask: Ask, world: World, wrong: Any) -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        ask(world.verifier(), wrong)


def test_a_cancelled_caller_is_cancelled_and_the_next_one_gets_the_keys(world: World) -> None:
    verifier = world.verifier()
    world.endpoint.gate.clear()

    async def cancel_one() -> Principal:
        waiting = asyncio.create_task(verifier.averify(world.token()))
        assert await asyncio.to_thread(world.endpoint.asked.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        world.endpoint.gate.set()
        return await verifier.averify(world.token())

    assert MEMBER == asyncio.run(cancel_one()).member
    assert 1 == world.endpoint.fetches


def test_the_warm_path_never_awaits(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())

    for good in (world.token(), world.token(sub="2")):
        coroutine = verifier.averify(good)
        with pytest.raises(StopIteration) as caught:
            coroutine.send(None)
        assert MEMBER == caught.value.value.member


# Configuration.


@pytest.mark.parametrize(
    ("audience", "changed", "says"),
    [
        ("", {}, "an audience is needed"),
        ([], {}, "an audience is needed"),
        ([AUDIENCE, ""], {}, "an audience is needed"),
        ([AUDIENCE, None], {}, "an audience is needed"),
        (b"https://x.example", {}, "an audience is needed"),
        (None, {}, "an audience is needed"),
        (AUDIENCE, {"leeway": -1}, "0 to 300 seconds"),
        (AUDIENCE, {"leeway": 301}, "0 to 300 seconds"),
        (AUDIENCE, {"leeway": float("nan")}, "0 to 300 seconds"),
        (AUDIENCE, {"leeway": float("inf")}, "0 to 300 seconds"),
        (AUDIENCE, {"max_token_bytes": 0}, "at least 1"),
        (AUDIENCE, {"token_cache_size": -1}, "at least 0"),
        (AUDIENCE, {"issuers": ()}, "at least one issuer"),
        (AUDIENCE, {"issuers": (GOOGLE, GOOGLE)}, "twice"),
        (AUDIENCE, {"issuers": (OWN, replace(OWN, name="again"))}, "twice"),
        (AUDIENCE, {"issuers": (replace(OWN, iss_values=("a", "a")),)}, "twice"),
        (AUDIENCE, {"issuers": GOOGLE}, "issuers"),
    ],
    ids=repr,
)
def test_a_mistake_in_the_configuration_is_refused_with_what_would_mend_it(
    audience: Any, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Verifier(audience, **changed)


def test_an_audience_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="audience"):
        Verifier()  # type: ignore[call-overload]


def test_a_configuration_error_is_a_value_error_of_doorward() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, DoorwardError)


def test_a_repr_shows_what_is_accepted(world: World) -> None:
    assert f"Verifier(audience={AUDIENCE}, issuers=[google])" == repr(world.verifier())


# Several issuers.


class Two:
    """Google with an RSA key, and an issuer of one's own with an EC key, each with an endpoint."""

    def __init__(self, own_kid: str = "own-1") -> None:
        self.clock = ManualClock()
        self.google = SigningKey("key-1")
        self.own = SigningKey(own_kid, "ES256")
        self.endpoints = {"google": KeyEndpoint(self.google), "own": KeyEndpoint(self.own)}
        self.verifier = Verifier(AUDIENCE, issuers=(GOOGLE, OWN), key_cache=self._cache, clock=self.clock)

    def _cache(self, issuer: Issuer) -> KeyCache:
        return KeyCache(
            issuer.key_url,
            issuer.algorithms,
            fetch=self.endpoints[issuer.name],
            clock=self.clock,
            monotonic=self.clock,
        )

    def of_own(self, **changed: Any) -> str:
        return token(self.own, self.clock.now, **{"iss": "https://issuer.example"} | changed)

    @property
    def fetches(self) -> tuple[int, int]:
        return self.endpoints["google"].fetches, self.endpoints["own"].fetches


@pytest.fixture
def two() -> Two:
    return Two()


def test_each_issuer_is_asked_for_its_own_keys_by_what_the_token_says_of_itself(ask: Ask, two: Two) -> None:
    assert "https://issuer.example" == ask(two.verifier, two.of_own()).issuer
    assert (0, 1) == two.fetches
    assert MEMBER == ask(two.verifier, token(two.google, two.clock.now)).member
    assert (1, 1) == two.fetches


def test_both_issuers_serve_once_their_keys_are_there(ask: Ask, two: Two) -> None:
    for number in range(1, 4):
        assert "https://issuer.example" == ask(two.verifier, two.of_own(sub=str(number))).issuer
        ask(two.verifier, token(two.google, two.clock.now, sub=str(number)))

    assert (1, 1) == two.fetches


def test_an_unknown_issuer_never_causes_a_fetch(ask: Ask, two: Two) -> None:
    for iss in ("https://evil.example", None, 7, ["https://issuer.example"], {"a": 1}, "x" * 1000):
        stranger = token(SigningKey("stranger"), two.clock.now, iss=iss)
        assert (Reason.WRONG_ISSUER, "iss") == refused(ask, two.verifier, stranger)

    assert (0, 0) == two.fetches


def test_an_issuer_nested_deeply_is_refused_as_any_unknown_one(ask: Ask, two: Two) -> None:
    deep = b'{"iss":' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}"
    stranger = signed(SigningKey("stranger"), header(SigningKey("stranger")), deep)

    assert (Reason.WRONG_ISSUER, "iss") == refused(ask, two.verifier, stranger)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_the_key_of_one_issuer_signs_for_no_other(ask: Ask, two: Two, warm: bool) -> None:  # noqa: FBT001 - a parameter of the test
    if warm:
        two.verifier.verify(two.of_own())
        two.verifier.verify(token(two.google, two.clock.now))
    as_google = token(two.own, two.clock.now)
    as_own = token(two.google, two.clock.now, iss="https://issuer.example")

    for forged in (as_google, as_own):
        reason, _ = refused(ask, two.verifier, forged)
        assert reason in (Reason.WRONG_ISSUER, Reason.ALGORITHM_NOT_ALLOWED, Reason.UNKNOWN_KEY)


def test_with_the_same_algorithm_too_the_key_of_one_issuer_signs_for_no_other(ask: Ask, two: Two) -> None:
    rsa = replace(OWN, algorithms=("RS256",))
    other = SigningKey("own-rsa")
    two.endpoints["own"].keys = (other,)
    verifier = Verifier(AUDIENCE, issuers=(GOOGLE, rsa), key_cache=two._cache, clock=two.clock)
    verifier.verify(token(other, two.clock.now, iss="https://issuer.example"))
    verifier.verify(token(two.google, two.clock.now))

    for forged in (
        token(other, two.clock.now),
        token(two.google, two.clock.now, iss="https://issuer.example"),
    ):
        two.clock.move(1)
        # Which of the two contradictory things is named depends on which is looked at first.
        assert refused(ask, verifier, forged)[0] in (Reason.WRONG_ISSUER, Reason.UNKNOWN_KEY)


@pytest.mark.parametrize("first", ["google", "own"])
def test_issuers_that_use_the_same_key_id_do_not_stand_in_the_way_of_each_other(ask: Ask, first: str) -> None:
    """The one whose keys are already there must not answer for the one whose keys were never fetched."""
    two = Two(own_kid="key-1")
    tokens = {"google": token(two.google, two.clock.now), "own": two.of_own()}

    for name in (first, *(tokens.keys() - {first})):
        assert tokens[name] and ask(two.verifier, tokens[name]).issuer  # noqa: PT018 - one look

    assert (1, 1) == two.fetches


def test_the_rules_of_one_issuer_are_not_those_of_another(ask: Ask, two: Two) -> None:
    assert (AUDIENCE,) == ask(two.verifier, two.of_own(aud=[AUDIENCE])).claims["aud"]
    assert (Reason.CLAIM_INVALID, "aud") == refused(
        ask, two.verifier, token(two.google, two.clock.now, aud=[AUDIENCE])
    )


def test_an_issuer_away_leaves_the_other_alone(ask: Ask, two: Two) -> None:
    two.endpoints["own"].down()

    assert (Reason.KEYS_UNAVAILABLE, None) == refused(ask, two.verifier, two.of_own())
    assert MEMBER == ask(two.verifier, token(two.google, two.clock.now)).member


def test_a_key_of_one_algorithm_serves_no_other_though_the_issuer_signs_with_both(ask: Ask) -> None:
    world = World()
    both = replace(GOOGLE, algorithms=("RS256", "ES256"))
    crossed = signed(world.key, header(world.key, alg="ES256"), claims(world.clock.now))

    assert (Reason.ALGORITHM_NOT_ALLOWED, None) == refused(ask, world.verifier(issuers=[both]), crossed)


# Open inputs.


warm_world = World()
warm = warm_world.verifier()
GOOD = warm_world.token()
warm.verify(GOOD)
ec_world = World(key=SigningKey("ec", "ES256"))
warm_ec = ec_world.verifier(issuers=[replace(GOOGLE, algorithms=("ES256",))])
GOOD_EC = ec_world.token()
warm_ec.verify(GOOD_EC)

pieces = st.sampled_from(
    [*GOOD.split("."), ".", "", "SIGNATURE_REMOVED_BY_GOOGLE", b64(b"{}"), "\ud800", "é", "="]
)
texts = st.text(max_size=60) | st.lists(pieces | st.text(max_size=4), max_size=7).map("".join)


@given(texts | texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=80))
@settings(deadline=None, max_examples=400)
def test_no_text_and_no_bytes_raise_anything_but_a_refusal(anything: str | bytes) -> None:
    try:
        principal = warm.verify(anything)
    except RefusedError as error:
        assert error.reason  # noqa: PT017 - nearly all draws are refused
    else:
        assert MEMBER == principal.member
        assert anything in (GOOD, GOOD.encode())


segments = st.dictionaries(
    st.sampled_from(["alg", "kid", "iss", "aud", "exp", "iat", "nbf", "sub", "email", "crit", "x"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(["RS256", "key-1", AUDIENCE, 1_790_000_000, "https://accounts.google.com"]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=8,
)


@given(segments, segments)
@settings(deadline=None, max_examples=200)
def test_no_header_and_no_claims_raise_anything_but_a_refusal(
    head: dict[str, Any], body: dict[str, Any]
) -> None:
    for made in (signed(warm_world.key, head, body), signed(warm_world.key, header(warm_world.key), body)):
        with pytest.raises(TokenError):
            warm.verify(made)


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
@given(data=st.data())
@settings(deadline=None, max_examples=250)
def test_a_good_token_with_one_byte_changed_is_never_accepted(alg: str, data: st.DataObject) -> None:
    good, verifier = (GOOD, warm) if alg == "RS256" else (GOOD_EC, warm_ec)
    position = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good.encode())
    changed[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != changed[position]))

    with pytest.raises(TokenError):
        verifier.verify(bytes(changed))


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_a_good_token_with_a_byte_more_or_less_is_never_accepted(alg: str, data: st.DataObject) -> None:
    good, verifier = (GOOD, warm) if alg == "RS256" else (GOOD_EC, warm_ec)
    position = data.draw(st.integers(0, len(good)))
    extra = data.draw(st.sampled_from([b"A", b"=", b".", b" ", b"\n", b"\0", b""]))
    raw = good.encode()
    changed = raw[:position] + extra + raw[position + (not extra) :]

    if changed != raw:
        with pytest.raises(TokenError):
            verifier.verify(changed)


# PyJWT as the second opinion.


class _StrictPyJWT:
    """PyJWT with every check that it has, at the time of the test's clock."""

    def __init__(self, key: SigningKey) -> None:
        self._key = jwt.PyJWK(key.jwk(), algorithm="RS256")

    def __call__(self, made: str, now: float) -> dict[str, Any]:
        decoded: dict[str, Any] = jwt.decode(
            made,
            self._key,
            algorithms=["RS256"],
            audience=AUDIENCE,
            issuer=list(GOOGLE.iss_values),
            leeway=30,
            # Times by hand: PyJWT has no clock that could be given.
            options={
                "require": ["exp", "iat", "iss", "aud", "sub"],
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        assert int(decoded["exp"]) + 30 > now
        assert int(decoded["iat"]) <= now + 30
        assert int(decoded.get("nbf", 0)) <= now + 30
        return decoded


oracle = _StrictPyJWT(warm_world.key)
changes = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.sampled_from(
            [*GOOGLE.iss_values, "https://accounts.google.com/", ["accounts.google.com"], None]
        ),
        "aud": st.sampled_from([AUDIENCE, AUDIENCE + "/", [AUDIENCE], [], "", None, 7]),
        "exp": st.integers(1_789_999_960, 1_790_003_700)
        | st.sampled_from(["1790003600", None, True, 10**400]),
        "iat": st.integers(1_789_999_900, 1_790_000_100) | st.sampled_from(["1790000000", None, 1.5]),
        "nbf": st.integers(1_789_999_960, 1_790_000_040) | st.sampled_from(["0", True]),
        "sub": st.sampled_from(["", "1", 1, None, "s" * 256]),
        "email": st.sampled_from(["x@example.com", "x", 7, None]),
        "jti": st.sampled_from(["1", "other"]),
        "extra": st.none() | st.booleans() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    },
)


@given(changes)
@settings(deadline=None, max_examples=300)
def test_whatever_is_accepted_here_pyjwt_accepts_and_reads_in_the_same_way(changed: dict[str, Any]) -> None:
    made = warm_world.token(**changed)
    try:
        principal = warm.verify(made)
    except TokenError:
        return

    decoded = oracle(made, warm_world.clock.now)
    assert decoded.keys() == principal.claims.keys()
    assert decoded["sub"] == principal.subject
    assert decoded["iss"] == principal.claims["iss"]


def test_the_second_opinion_does_accept_a_good_token_and_refuses_a_bad_one() -> None:
    assert claims(warm_world.clock.now) == oracle(GOOD, warm_world.clock.now)
    with pytest.raises(jwt.InvalidSignatureError):
        oracle(
            token(SigningKey("key-1", name="of somebody else"), warm_world.clock.now), warm_world.clock.now
        )


# What an error shows.


def bad_tokens(world: World) -> list[str]:
    good = world.token()
    head, payload, signature = good.split(".")
    long_alg = signed(world.key, header(world.key, alg=good), claims(world.clock.now))
    long_kid = signed(world.key, header(world.key, kid=good[:250]), claims(world.clock.now))
    return [
        f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{head}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE",
        f"{head}.{payload}",
        f"{head}.{payload}.{signature}.{signature}",
        f"{head}.{payload}.{signature}=",
        f"{head}.{payload}.{signature}\u00e9",
        f"{payload}.{head}.{signature}",
        good * 40,
        world.token(exp=int(world.clock.now) - 1000),
        world.token(aud="https://other.example"),
        long_alg,
        long_kid,
    ]


@pytest.mark.parametrize("number", range(12))
def test_no_error_shows_more_than_16_characters_of_a_token(ask: Ask, world: World, number: int) -> None:
    bad = bad_tokens(world)[number]
    with pytest.raises(RefusedError) as caught:
        ask(world.verifier(), bad)

    error = caught.value
    shown = "\n".join(
        [str(error), repr(error), error.message, "".join(traceback.format_exception_only(error))]
    )
    whole = bad + "".join(
        base64.urlsafe_b64decode(part + "===").decode("latin1")
        for part in bad.split(".")[:1]
        if part.isascii()
    )
    for start in range(len(whole) - 16):
        piece = whole[start : start + 17]
        # What Google puts in the place of a signature is no secret, and is the name of a reason.
        assert "SIGNATURE_REMOVE" in piece or piece not in shown


# What an unverified token may cost.


def test_an_expired_token_is_refused_without_a_signature(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    head, payload, _ = world.token(exp=int(world.clock.now) - 31, iat=int(world.clock.now) - 3631).split(".")

    with pytest.raises(ClaimError, match="expired 31 s ago; the signature was not checked") as caught:
        verifier.verify(f"{head}.{payload}.AAAA")

    assert Reason.EXPIRED == caught.value.reason


def test_a_forged_token_whose_expiry_cannot_be_seen_is_refused_for_its_signature(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    now = int(world.clock.now)

    for exp in (now - 29, now + 3600, True, "1", None, now - 31.5, 10**30, -1):
        forged = ".".join([*world.token(exp=exp).split(".")[:2], "AAAA"])
        with pytest.raises(SignatureError) as caught:
            verifier.verify(forged)
        assert Reason.BAD_SIGNATURE == caught.value.reason


@pytest.mark.parametrize(
    "nested",
    [
        {"a": {"exp": 1}},
        {"a": [{"exp": 1000000000}]},
        {"a": '"exp":1000000000'},
        {"a": ["x"] * 40 + [{"exp": 1000000000}]},
    ],
    ids=["object", "array", "string", "many"],
)
def test_an_expiry_that_is_not_the_tokens_own_does_not_expire_it(
    world: World, nested: dict[str, Any]
) -> None:
    made = signed(world.key, header(world.key), {**nested, **claims(world.clock.now)})
    compact = json.dumps({**nested, **claims(world.clock.now)}, separators=(",", ":")).encode()
    verifier = world.verifier()

    assert CALLER == verifier.verify(made).email
    assert CALLER == verifier.verify(signed(world.key, header(world.key), compact)).email


def test_a_token_for_another_is_refused_without_a_signature(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())

    for aud in ("https://other.example", f"{AUDIENCE}/x"):
        head, payload, _ = world.token(aud=aud).split(".")
        with pytest.raises(ClaimError, match="the signature was not checked") as caught:
            verifier.verify(f"{head}.{payload}.AAAA")
        assert Reason.WRONG_AUDIENCE == caught.value.reason


def test_what_is_spelled_with_an_escape_is_read_only_once_its_signature_has_held(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())

    for aud in (f'"{AUDIENCE}"', f'x"{AUDIENCE}"y'):
        made = world.token(aud=aud)
        with pytest.raises(SignatureError):
            verifier.verify(f"{made.rpartition('.')[0]}.AAAA")
        with pytest.raises(ClaimError, match="expected") as caught:
            verifier.verify(made)
        assert Reason.WRONG_AUDIENCE == caught.value.reason
        assert "signature was not checked" not in str(caught.value)


def test_under_a_header_that_nobody_has_signed_the_signature_comes_first(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())
    _, payload, signature = world.token(aud="https://other.example").split(".")
    head = b64(json.dumps({**header(world.key), "more": 1}).encode())

    with pytest.raises(SignatureError) as caught:
        verifier.verify(f"{head}.{payload}.{signature}")

    assert Reason.BAD_SIGNATURE == caught.value.reason


def test_a_header_is_known_once_a_signature_under_it_has_held_whatever_the_claims(world: World) -> None:
    verifier = world.verifier()
    verifier.key_caches[0].warm()
    other = world.token(aud="https://other.example")
    for made, seen in ((other, True), (f"{other.rpartition('.')[0]}.AAAA", False)):
        with pytest.raises(ClaimError) as caught:
            verifier.verify(made)
        assert seen is ("signature was not checked" not in str(caught.value))


def test_a_token_that_gcloud_made_for_a_user_is_not_taken_for_anybody_elses(world: World) -> None:
    verifier = world.verifier(accept_gcloud_tokens=True)
    made = world.token(aud=GCLOUD_CLIENT_ID, email="ada@example.com")

    for _ in range(2):
        assert "user:ada@example.com" == verifier.verify(made).member
        made = world.token(aud=GCLOUD_CLIENT_ID, email="ada@example.com", azp="2")
    with pytest.raises(ClaimError, match="signature was not checked"):
        verifier.verify(".".join([*world.token(aud="https://other.example").split(".")[:2], "AAAA"]))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"aud": "https://other.example"}, Reason.WRONG_AUDIENCE), ({"exp": 1, "iat": 0}, Reason.EXPIRED)],
    ids=["aud", "exp"],
)
def test_with_several_issuers_too_no_signature_is_checked_of_what_says_it_will_not_do(
    ask: Ask, two: Two, changed: dict[str, object], reason: Reason
) -> None:
    ask(two.verifier, two.of_own())
    forged = ".".join([*two.of_own(**changed).split(".")[:2], "AAAA"])

    with pytest.raises(ClaimError, match="signature was not checked") as caught:
        ask(two.verifier, forged)

    assert reason == caught.value.reason


def test_an_audience_is_found_however_its_json_is_spelled(world: World) -> None:
    verifier = world.verifier()
    plain = json.dumps(claims(world.clock.now))

    for text in (
        plain.replace("/", "\\/"),
        plain.replace("h", "\\u0068"),
        plain.replace(", ", ","),
        plain.replace(": ", " :  "),
    ):
        assert json.loads(plain) == json.loads(text)
        assert CALLER == verifier.verify(signed(world.key, header(world.key), text.encode())).email


@pytest.mark.parametrize("ensure_ascii", [False, True], ids=["plain", "escaped"])
@pytest.mark.parametrize("audience", ["https://läden.example/鍵", '"quoted"', "back\\slash"])
def test_an_audience_of_any_characters_is_found(world: World, audience: str, ensure_ascii: bool) -> None:  # noqa: FBT001 - a parameter of the test
    verifier = world.verifier(audience)
    for number in range(2):  # the second one under a header that is known by then
        made = claims(world.clock.now, aud=audience, azp=str(number))
        text = json.dumps(made, ensure_ascii=ensure_ascii).encode()
        assert CALLER == verifier.verify(signed(world.key, header(world.key), text)).email


def test_audiences_that_cannot_be_listed_are_left_to_the_rules(world: World) -> None:
    many = [f"https://{number}.example" for number in range(9)]
    given: tuple[Any, ...] = ([*many, AUDIENCE], [AUDIENCE, Anything()])
    for audience in given:
        verifier = world.verifier(audience)
        assert CALLER == verifier.verify(world.token()).email
        with pytest.raises(SignatureError):
            verifier.verify(".".join([*world.token(aud="https://other.example").split(".")[:2], "AAAA"]))
    assert CALLER == world.verifier(Anything()).verify(world.token(aud="x")).email


class Recorder:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def accepts(self, aud: str, /) -> bool:
        self.asked.append(aud)
        return aud == AUDIENCE

    def __str__(self) -> str:
        return "recorder"


@pytest.mark.parametrize("several", [False, True], ids=["one issuer", "two issuers"])
def test_an_audience_that_is_not_text_is_not_asked_about_what_nobody_has_signed(
    two: Two,
    several: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    recorder = Recorder()
    issuers = (GOOGLE, OWN) if several else (GOOGLE,)
    verifier = Verifier(recorder, issuers=issuers, key_cache=two._cache, clock=two.clock)
    verifier.key_caches[0].warm()
    verifier.verify(token(two.google, two.clock.now))
    assert {AUDIENCE} == set(recorder.asked)

    recorder.asked.clear()
    for changed in ({"aud": "https://other.example"}, {"x": {"exp": 1}, "aud": "https://other.example"}):
        made = token(two.google, two.clock.now, **changed)
        with pytest.raises(SignatureError):
            verifier.verify(f"{made.rpartition('.')[0]}.AAAA")

    assert [] == recorder.asked


class Anything:
    def accepts(self, aud: str, /) -> bool:
        return bool(aud)

    def __str__(self) -> str:
        return "anything"


def test_a_token_of_any_length_is_verified_as_a_short_one(world: World) -> None:
    verifier = world.verifier()

    for length in (0, 600, 700, 1500, 3000, 11_000):
        made = world.token(filler="x" * length)
        assert CALLER == verifier.verify(made).email
        assert verifier.verify(made) is verifier.verify(made)
        with pytest.raises(SignatureError):
            verifier.verify(made[:-4] + ("AAAA" if made[-4:] != "AAAA" else "BBBA"))


def test_a_signature_longer_than_any_is_not_even_decoded(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())

    with pytest.raises(SignatureError, match="longer than that of any accepted key"):
        verifier.verify(".".join([*world.token().split(".")[:2], "!" * 1367]))


# Several issuers, and a payload that is too much to read before its signature is checked.


def test_a_long_token_is_told_by_the_key_that_made_it(ask: Ask, two: Two) -> None:
    long = {"filler": "x" * 3000}

    assert "https://issuer.example" == ask(two.verifier, two.of_own(**long)).issuer
    assert MEMBER == ask(two.verifier, token(two.google, two.clock.now, **long)).member
    for number in range(3):
        assert "https://issuer.example" == ask(two.verifier, two.of_own(**long, sub=str(number))).issuer
        assert MEMBER == ask(two.verifier, token(two.google, two.clock.now, **long, azp=str(number))).member


def test_a_long_token_of_one_issuer_that_names_the_other_is_refused(ask: Ask, two: Two) -> None:
    ask(two.verifier, two.of_own())
    ask(two.verifier, token(two.google, two.clock.now))
    long = {"filler": "x" * 3000}

    as_google = token(two.own, two.clock.now, **long)
    as_own = token(two.google, two.clock.now, iss="https://issuer.example", **long)

    assert (Reason.WRONG_ISSUER, "iss") == refused(ask, two.verifier, as_google)
    assert (Reason.WRONG_ISSUER, "iss") == refused(ask, two.verifier, as_own)


def test_a_long_token_of_nobody_is_of_an_unknown_key(ask: Ask, two: Two) -> None:
    ask(two.verifier, two.of_own())
    ask(two.verifier, token(two.google, two.clock.now))

    stranger = token(SigningKey("stranger"), two.clock.now, filler="x" * 3000)
    forged = token(SigningKey(two.own.kid, "ES256", name="stranger"), two.clock.now, filler="x" * 3000)

    assert (Reason.UNKNOWN_KEY, None) == refused(ask, two.verifier, stranger)
    assert (Reason.BAD_SIGNATURE, None) == refused(ask, two.verifier, forged)


def test_a_long_token_is_not_refused_while_one_issuer_cannot_be_asked(ask: Ask, two: Two) -> None:
    ask(two.verifier, two.of_own())
    two.endpoints["google"].down()

    with pytest.raises(KeysUnavailableError):
        ask(two.verifier, token(SigningKey("stranger"), two.clock.now, filler="x" * 3000))
