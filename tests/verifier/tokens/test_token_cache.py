from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, KeyCache, KeysUnavailableError, Principal, TokenError, Verifier
from doorward.errors import ClaimError, Reason, SignatureError
from doorward.keys.key import VerificationKey
from doorward.keys.state import KeyState
from doorward.tokens import engine as engine_module
from doorward.tokens.accepted_issuer import check_signature
from doorward.tokens.engine import _digests_of
from doorward.tokens.jws import Header, Token
from doorward.tokens.principal import ANONYMOUS
from doorward.tokens.token_cache import TokenCache, VerifiedToken
from doorward.tokens.verifier import engine_of
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.tokens import AUDIENCE, SigningKey, b64, claims, header, signed
from support.world import World


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count the signatures that are computed, by what they are over."""
    inputs: list[bytes] = []

    def counting(token: Token, header: Header, key: VerificationKey) -> None:
        inputs.append(token.signed)
        check_signature(token, header, key)

    monkeypatch.setattr(engine_module, "check_signature", counting)
    return inputs


# The digests.


@given(st.binary(max_size=300), st.booleans())
@settings(deadline=None)
def test_hashed_once_over_a_token_has_the_digests_that_it_has_hashed_apart(raw: bytes, dot: bool) -> None:  # noqa: FBT001 - drawn
    token = raw.replace(b"!", b".") + b".end" * dot

    assert (sha256(token).digest(), sha256(token.rpartition(b".")[0]).digest()) == _digests_of(token)


# The store itself.


@pytest.fixture
def entry(world: World) -> VerifiedToken:
    cache = world.cache(GOOGLE)
    return VerifiedToken(ANONYMOUS, world.clock.now, world.clock.now + 3600, cache, cache.get("key-1"))


def test_what_was_added_is_found(world: World, entry: VerifiedToken) -> None:
    tokens = TokenCache(8)
    tokens.add(b"a", entry)

    assert entry is tokens.find(b"a", world.clock.now)
    assert tokens.find(b"b", world.clock.now) is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 64])
def test_the_store_never_holds_more_than_its_size(size: int, entry: VerifiedToken) -> None:
    tokens = TokenCache(size)

    held = []
    for number in range(10 * size):
        tokens.add(b"%d" % number, entry)
        held.append(len(tokens))

    assert size >= max(held)


def test_what_is_in_use_stays_while_the_rest_is_forgotten(world: World, entry: VerifiedToken) -> None:
    tokens = TokenCache(8)
    tokens.add(b"used", entry)

    for number in range(100):
        tokens.add(b"%d" % number, entry)
        assert entry is tokens.find(b"used", world.clock.now)

    assert tokens.find(b"0", world.clock.now) is None


@pytest.mark.parametrize("others", [0, 4], ids=["in the young half", "in the old half"])
def test_an_expired_entry_is_not_found_and_is_dropped(
    world: World, entry: VerifiedToken, others: int
) -> None:
    tokens = TokenCache(8)
    tokens.add(b"a", entry)
    for number in range(others):
        tokens.add(b"%d" % number, entry)
    before = len(tokens)

    assert tokens.find(b"a", entry.expires_at) is None

    assert before - 1 == len(tokens)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=80), st.integers(2, 9))
@settings(deadline=None, max_examples=100)
def test_the_store_is_bounded_and_never_gives_the_entry_of_another(
    steps: list[tuple[bool, int]], size: int
) -> None:
    clock = ManualClock()
    cache = KeyCache(GOOGLE.key_url, fetch=KeyEndpoint(SigningKey("key-1")), clock=clock, monotonic=clock)
    key = cache.get("key-1")
    entries = {n: VerifiedToken(ANONYMOUS, clock.now, clock.now + 60, cache, key) for n in range(13)}
    tokens = TokenCache(size)

    for adds, number in steps:
        if adds:
            tokens.add(b"%d" % number, entries[number])
        assert tokens.find(b"%d" % number, clock.now) in (None, entries[number])
        assert len(tokens) <= size


def test_a_digest_is_32_bytes_over_the_exact_bytes() -> None:
    assert 32 == len(sha256(b"x" * 10_000).digest())
    assert sha256(b"a.b.c").digest() != sha256(b"a.b.c ").digest()


# Behind a verifier.


def test_a_token_seen_before_costs_no_signature(world: World, counted: list[bytes]) -> None:
    verifier, token = world.verifier(), world.token()

    first, second = verifier.verify(token), verifier.verify(token)

    assert 1 == len(counted)
    assert first is second


def test_text_and_bytes_of_one_token_are_one_entry(world: World, counted: list[bytes]) -> None:
    verifier, token = world.verifier(), world.token()

    assert verifier.verify(token) is verifier.verify(token.encode())
    assert 1 == len(counted)


def test_with_nothing_remembered_each_signature_is_computed(world: World, counted: list[bytes]) -> None:
    verifier, token = world.verifier(token_cache_size=0), world.token()

    for _ in range(3):
        verifier.verify(token)

    assert 3 == len(counted)


def test_a_token_cache_under_ten_times_its_size_stays_within_it(world: World, counted: list[bytes]) -> None:
    verifier = world.verifier(token_cache_size=8)
    tokens = [world.token(sub=str(number)) for number in range(80)]

    for token in tokens:
        verifier.verify(token)

    cached = engine_of(verifier)._token_cache
    assert cached is not None
    assert 0 < len(cached) <= 8
    verifier.verify(tokens[0])
    assert 81 == len(counted)


def test_an_entry_dies_with_its_token(world: World, counted: list[bytes]) -> None:
    verifier, token = world.verifier(leeway=30), world.token()
    verifier.verify(token)
    world.clock.move(3600 + 29.9)
    verifier.verify(token)
    assert 1 == len(counted)

    world.clock.move(0.1)

    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    assert (Reason.EXPIRED, "exp") == (caught.value.reason, caught.value.claim)


def refresh(world: World, verifier: Verifier) -> None:
    """Let the keys age, and ask for them again."""
    (cache,) = verifier.key_caches
    world.clock.move(3601)
    cache.refresh()


def long_lived(world: World) -> tuple[Verifier, str]:
    issuer = replace(GOOGLE, max_lifetime=86_400)
    return world.verifier(issuers=[issuer]), world.token(exp=int(world.clock.now) + 86_400)


def test_an_entry_outlives_a_refresh_that_publishes_its_key_again(world: World, counted: list[bytes]) -> None:
    verifier, token = long_lived(world)
    verifier.verify(token)
    world.endpoint.keys = (world.key, SigningKey("key-2"))

    refresh(world, verifier)
    verifier.verify(token)

    assert 1 == len(counted)


def test_an_entry_dies_with_its_key(world: World) -> None:
    verifier, token = long_lived(world)
    verifier.verify(token)
    world.endpoint.keys = (SigningKey("key-2"),)

    refresh(world, verifier)

    with pytest.raises(SignatureError) as caught:
        verifier.verify(token)
    assert Reason.UNKNOWN_KEY == caught.value.reason


def test_an_entry_dies_when_another_key_takes_over_the_key_id(world: World) -> None:
    verifier, token = long_lived(world)
    verifier.verify(token)
    world.endpoint.keys = (SigningKey("key-1", name="another"),)

    refresh(world, verifier)

    with pytest.raises(SignatureError) as caught:
        verifier.verify(token)
    assert Reason.BAD_SIGNATURE == caught.value.reason


def test_an_entry_is_of_no_use_once_its_keys_are_too_old(world: World) -> None:
    issuer = replace(GOOGLE, max_lifetime=86_400)
    verifier = world.verifier(issuers=[issuer], key_cache=lambda one: world.cache(one, max_stale=0))
    token = world.token(exp=int(world.clock.now) + 86_400)
    verifier.verify(token)
    world.endpoint.down()

    world.clock.move(3601)

    (cache,) = verifier.key_caches
    assert KeyState.DEAD == cache.state
    with pytest.raises(KeysUnavailableError) as caught:
        verifier.verify(token)
    assert Reason.KEYS_UNAVAILABLE == caught.value.reason


def test_a_refused_token_is_not_remembered(world: World, counted: list[bytes]) -> None:
    verifier = world.verifier()
    signing_input, _, _ = world.token().rpartition(".")
    forged = f"{signing_input}.{'A' * 342}"

    for _ in range(2):
        with pytest.raises(SignatureError) as caught:
            verifier.verify(forged)
        assert Reason.BAD_SIGNATURE == caught.value.reason

    assert 2 == len(counted)
    cached = engine_of(verifier)._token_cache
    assert cached is not None
    assert 0 == len(cached)


def test_a_token_refused_by_its_claims_is_not_remembered(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.token())

    for _ in range(2):
        with pytest.raises(TokenError) as caught:
            verifier.verify(world.token(aud="https://other.example"))
        assert (Reason.WRONG_AUDIENCE, "aud") == (caught.value.reason, caught.value.claim)

    cached = engine_of(verifier)._token_cache
    assert cached is not None
    assert 1 == len(cached)


def reachable(root: object) -> Iterator[object]:
    """Walk all that hangs on an object, but for classes, modules and functions."""
    skipped = (type, type(gc), type(reachable), KeyCache, rsa.RSAPublicKey)
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        here = waiting.pop()
        if id(here) in seen or isinstance(here, skipped):
            continue
        seen.add(id(here))
        yield here
        waiting.extend(gc.get_referents(here))


def test_the_memo_keeps_no_token(world: World) -> None:
    verifier = world.verifier()
    token = world.token()
    verifier.verify(token)
    assert engine_of(verifier)._token_cache is not None
    _, payload, signature = token.split(".")

    held = list(reachable(engine_of(verifier)._token_cache))

    texts = [one for one in held if isinstance(one, str)]
    raw = [bytes(one) for one in held if isinstance(one, bytes | bytearray)]
    assert any("caller@" in text for text in texts), "the walk does not reach the principal"
    assert sha256(token.encode()).digest() in raw
    for secret in (token, payload, signature, signature[:17], payload[:17]):
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in text for text in raw)


def test_the_memo_of_one_verifier_is_not_that_of_another(world: World) -> None:
    """A shared key cache, but other audiences: what one has verified says nothing to the other."""
    cache = world.cache(GOOGLE)
    one = world.verifier(key_cache=lambda _: cache)
    other = world.verifier("https://other.example", key_cache=lambda _: cache)
    token = world.token()
    one.verify(token)

    with pytest.raises(TokenError) as caught:
        other.verify(token)

    assert (Reason.WRONG_AUDIENCE, "aud") == (caught.value.reason, caught.value.claim)


def test_a_tampered_twin_of_a_remembered_token_is_refused(world: World) -> None:
    verifier, token = world.verifier(), world.token()
    verifier.verify(token)
    signing_input, _, signature = token.rpartition(".")
    for twin in (
        f"{signing_input}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}",
        f"{signing_input}.{'A' * len(signature)}",
        f"{signing_input}.{b64(b'short')}",
    ):
        with pytest.raises(SignatureError) as caught:
            verifier.verify(twin)
        assert Reason.BAD_SIGNATURE == caught.value.reason


world_of_many = World()
verifier_of_many = world_of_many.verifier()


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=12),
    st.sampled_from(["sub", "name", "nonce"]),
)
@settings(deadline=None, max_examples=30)
def test_near_identical_tokens_never_get_the_principal_of_each_other(numbers: list[int], name: str) -> None:
    for number in numbers:
        token = world_of_many.token(**{name: f"{number:03}"})
        for _ in range(2):
            assert f"{number:03}" == verifier_of_many.verify(token).claims[name]


def test_tokens_that_share_their_first_characters_are_two(world: World) -> None:
    verifier = world.verifier()
    head = header(world.key)
    made: dict[str, Any] = claims(world.clock.now)
    one = signed(world.key, head, made)
    other = signed(
        world.key, head, made | {"sub": "2", "email": "other@doorward-test.iam.gserviceaccount.com"}
    )
    assert one[:60] == other[:60]

    members = [verifier.verify(token).member for token in (one, other, one, other)]

    assert members[0] != members[1]
    assert members[:2] == members[2:]


def test_one_remembered_principal_serves_everybody_and_cannot_be_changed(world: World) -> None:
    verifier, token = world.verifier(), world.token()
    first: Principal = verifier.verify(token)

    with pytest.raises(AttributeError):
        first.member = "user:root@example.com"  # type: ignore[misc]
    with pytest.raises(TypeError):
        first.claims["email"] = "root@example.com"  # type: ignore[index]

    assert "serviceAccount:caller@doorward-test.iam.gserviceaccount.com" == verifier.verify(token).member


def test_a_verifier_of_another_audience_does_not_share_a_decision_by_its_settings(world: World) -> None:
    strict, loose = world.verifier(leeway=0), world.verifier([AUDIENCE, "https://other.example"], leeway=300)
    token = world.token()
    strict.verify(token)
    loose.verify(token)
    world.clock.move(3600)

    assert loose.verify(token).subject
    with pytest.raises(TokenError) as caught:
        strict.verify(token)
    assert (Reason.EXPIRED, "exp") == (caught.value.reason, caught.value.claim)


def test_the_headers_that_are_kept_are_bounded(world: World) -> None:
    verifier = world.verifier()

    for number in range(130):
        verifier.verify(signed(world.key, header(world.key, n=number), claims(world.clock.now)))

    assert 0 < len(engine_of(verifier)._headers) <= 64


def test_no_header_is_kept_that_no_good_signature_vouched_for(world: World) -> None:
    verifier = world.verifier()

    for number in range(5):
        with pytest.raises(SignatureError) as caught:
            verifier.verify(
                signed(
                    SigningKey("key-1", name="attacker"), header(world.key, n=number), claims(world.clock.now)
                )
            )
        assert Reason.BAD_SIGNATURE == caught.value.reason

    assert {} == engine_of(verifier)._headers


@pytest.mark.parametrize("times", [{}, {"nbf": 0}, {"iat": -600, "exp": 3000, "nbf": 0}], ids=repr)
def test_a_cached_token_is_not_admitted_by_a_clock_that_was_set_back(
    world: World, times: dict[str, int]
) -> None:
    verifier, now = world.verifier(), int(world.clock.now)
    made = world.token(**{name: now + offset for name, offset in times.items()})
    verifier.verify(made)

    world.clock.now -= 300

    with pytest.raises(ClaimError) as fresh:
        world.verifier().verify(made)
    with pytest.raises(ClaimError) as cached:
        verifier.verify(made)
    assert Reason.NOT_YET_VALID == fresh.value.reason == cached.value.reason
