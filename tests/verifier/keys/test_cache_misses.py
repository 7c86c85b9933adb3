"""Key ids that the key cache does not hold: when it asks for them, how often, and what it keeps of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Door, InvokerPolicy, KeyCache, KeysUnavailableError, Reason, TokenError, Verifier
from doorward.door.refusal import Refusal
from doorward.errors import SignatureError
from doorward.keys.events import FetchStarted, UnknownKid
from doorward.keys.state import KeyState
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.simulator import PATIENCE, Api, SimulatedEndpoint, background, join_fetches, watch_readers
from support.tokens import CALLER, SigningKey, claims, header, signed, token

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")
THIRD = SigningKey("key-3")


@pytest.fixture
def cache(endpoint: SimulatedEndpoint) -> KeyCache:
    """Hold fresh keys; the fetch that brought them does not count any more."""
    cache = endpoint.cache()
    cache.warm()
    endpoint.await_fetch()
    endpoint.requests.clear()
    endpoint.events.clear()
    return cache


def unknown(api: Api, cache: KeyCache, kid: str, reason: Reason = Reason.UNKNOWN_KEY) -> None:
    with pytest.raises(SignatureError) as refusal:
        api.get(cache, kid)
    assert (reason, 401) == (refusal.value.reason, refusal.value.reason.status)


def outcomes(endpoint: SimulatedEndpoint) -> list[str]:
    return [event.outcome for event in endpoint.events_of(UnknownKid)]


# Asking.


def test_an_unknown_key_id_is_asked_for_past_every_http_cache(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    endpoint.rotate(KEY, OTHER)
    assert "key-2" == api.get(cache, "key-2").kid
    (request,) = endpoint.requests
    assert "no-cache" == request.headers["cache-control"]
    assert [FetchStarted(endpoint.url, "unknown_kid")] == endpoint.events_of(FetchStarted)


def test_a_key_id_that_the_endpoint_does_not_have_is_unknown(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    unknown(api, cache, "key-9")
    assert (1, ["absent"]) == (endpoint.fetches, outcomes(endpoint))


def test_a_request_that_came_after_a_fetch_began_asks_once_more(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    gate = endpoint.hang()
    refreshing = background(cache.refresh)
    endpoint.await_fetch()
    await_reader()
    endpoint.rotate(OTHER)  # too late for the answer that is on its way
    endpoint.heal()
    reader = background(api.get, cache, "key-2")
    await_reader()
    gate.set()
    assert "key-2" == reader.result(PATIENCE).kid
    refreshing.result(PATIENCE)
    assert ["asked", "unknown_kid"] == [event.trigger for event in endpoint.events_of(FetchStarted)]


def test_a_request_that_came_after_a_fetch_began_is_content_if_that_brings_its_key(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    endpoint.rotate(OTHER)
    gate = endpoint.hang()
    refreshing = background(cache.refresh)
    endpoint.await_fetch()
    await_reader()
    reader = background(api.get, cache, "key-2")
    await_reader()
    gate.set()
    assert "key-2" == reader.result(PATIENCE).kid
    refreshing.result(PATIENCE)
    assert 1 == endpoint.fetches


def test_a_key_that_came_between_the_look_and_the_lock_is_not_asked_for_again(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = cache.keys

    def look_and_lose(wall: float) -> object:
        found = look(wall)
        monkeypatch.undo()
        cache.refresh()
        return found

    endpoint.rotate(KEY, OTHER)
    monkeypatch.setattr(cache, "keys", look_and_lose)
    assert "key-2" == api.get(cache, "key-2").kid
    assert 1 == endpoint.fetches


def test_requests_for_a_new_key_share_one_fetch(
    endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = endpoint.cache(max_waiting=10)
    cache.warm()
    endpoint.requests.clear()
    await_reader = watch_readers(monkeypatch)
    endpoint.rotate(OTHER)
    gate = endpoint.hang()
    readers = [background(api.get, cache, "key-2") for _ in range(10)]
    for _ in readers:
        await_reader()
    gate.set()
    assert ["key-2"] * 10 == [reader.result(PATIENCE).kid for reader in readers]
    assert 1 == endpoint.fetches


def test_a_fetch_that_failed_leaves_open_whether_the_key_exists(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    endpoint.throttle(30)
    for kid in ("key-2", "key-2", "key-3"):  # the later ones while the endpoint is left alone
        with pytest.raises(KeysUnavailableError) as refusal:
            api.get(cache, kid)
        assert (Reason.KEYS_UNAVAILABLE, 30.0) == (refusal.value.reason, refusal.value.retry_after)
    assert (1, []) == (endpoint.fetches, outcomes(endpoint))
    assert "key-1" == api.get(cache, "key-1").kid


def test_a_budget_spent_on_failures_leaves_open_whether_the_key_exists(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    endpoint.throttle(1)
    for _ in range(4):
        with pytest.raises(KeysUnavailableError):
            api.get(cache, "key-2")
        endpoint.pass_time(1.001)
    assert 3 == endpoint.fetches


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_request_for_an_unknown_key_waits_no_longer_than_its_patience(
    endpoint: SimulatedEndpoint, api: Api, fault: str
) -> None:
    cache = endpoint.cache(miss_patience=0.02)
    cache.warm()
    getattr(endpoint, fault)()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-2")
    assert "key-1" == api.get(cache, "key-1").kid
    assert cache.refreshing


def test_the_patience_for_unknown_keys_is_not_the_one_for_a_cold_start(
    endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    cache = endpoint.cache(miss_patience=0.001)
    gate = endpoint.hang()
    reader = background(api.get, cache, "key-1")
    endpoint.await_fetch()
    await_reader()
    gate.set()
    assert "key-1" == reader.result(PATIENCE).kid


# Remembering.


def test_an_absent_key_id_is_known_for_a_minute(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    unknown(api, cache, "key-9")
    endpoint.pass_time(59.9)
    unknown(api, cache, "key-9")
    assert (1, ["absent", "remembered"]) == (endpoint.fetches, outcomes(endpoint))
    endpoint.pass_time(0.2)
    unknown(api, cache, "key-9")
    assert (2, ["absent", "remembered", "absent"]) == (endpoint.fetches, outcomes(endpoint))


def test_a_key_id_known_as_absent_spends_no_budget(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    for _ in range(10):
        unknown(api, cache, "key-9")
    endpoint.rotate(OTHER)
    assert "key-2" == api.get(cache, "key-2").kid


def test_a_key_id_known_as_absent_waits_for_no_fetch(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    unknown(api, cache, "key-9")
    gate = endpoint.hang()
    refreshing = background(cache.refresh)
    endpoint.await_fetch()
    endpoint.await_fetch()
    unknown(api, cache, "key-9")
    assert not refreshing.done()
    gate.set()
    refreshing.result(PATIENCE)


def test_a_key_id_known_as_absent_stays_so_while_the_endpoint_is_away(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    unknown(api, cache, "key-9")
    endpoint.fail()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-8")
    unknown(api, cache, "key-9")


def test_a_new_generation_makes_all_that_was_absent_forgotten(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    unknown(api, cache, "key-3")
    endpoint.rotate(KEY, OTHER)
    api.refresh(cache)
    endpoint.rotate(KEY, OTHER, THIRD)
    assert "key-3" == api.get(cache, "key-3").kid


def test_an_answer_that_changes_nothing_keeps_what_is_known_as_absent(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    unknown(api, cache, "key-9")
    api.refresh(cache)
    unknown(api, cache, "key-9")
    assert (2, ["absent", "remembered"]) == (endpoint.fetches, outcomes(endpoint))


def test_a_key_that_comes_back_is_found_although_it_was_absent(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    endpoint.rotate(OTHER)
    api.refresh(cache)
    unknown(api, cache, "key-1")
    endpoint.roll_back()
    api.refresh(cache)
    assert "key-1" == api.get(cache, "key-1").kid


def test_a_key_id_that_two_keys_share_is_unknown(endpoint: SimulatedEndpoint, api: Api) -> None:
    endpoint.rotate(KEY, OTHER, SigningKey("key-2", name="key-2 too"))
    cache = endpoint.cache()
    assert "key-1" == api.get(cache, "key-1").kid
    unknown(api, cache, "key-2")


# The budget.


def held(**changed: Any) -> tuple[KeyCache, KeyEndpoint, ManualClock]:
    """Make a cache that holds keys, over an endpoint without a network."""
    clock, remote = ManualClock(), KeyEndpoint(KEY)
    cache = KeyCache(
        "https://keys.example/certs",
        fetch=remote,
        clock=clock,
        monotonic=clock,
        rng=random.Random(1),
        **changed,
    )
    cache.warm()
    remote.requests.clear()
    return cache, remote, clock


def flood(cache: KeyCache, count: int, between: Callable[[int], None]) -> None:
    for index in range(count):
        with pytest.raises(SignatureError):
            cache.get(f"bogus-{index}")
        between(index)


def test_1000_bogus_key_ids_at_once_cause_as_many_fetches_as_the_burst() -> None:
    cache, remote, _ = held()
    flood(cache, 1_000, lambda _: None)
    assert 3 == remote.fetches


@pytest.mark.parametrize(("interval", "burst"), [(10.0, 3), (5.0, 1), (60.0, 10)])
def test_a_flood_of_bogus_key_ids_is_answered_within_the_budget_and_known_keys_go_on(
    interval: float, burst: int
) -> None:
    cache, remote, clock = held(miss_interval=interval, miss_burst=burst)

    def between(_: int) -> None:
        clock.move(0.1)
        assert "key-1" == cache.get("key-1").kid

    flood(cache, 1_000, between)
    assert burst + 100 / interval - 1 <= remote.fetches <= burst + 100 / interval
    assert KeyState.FRESH is cache.state


def test_without_budget_a_key_id_is_refused_at_once_with_a_reason_of_its_own(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    for kid in ("bogus-1", "bogus-2", "bogus-3"):
        unknown(api, cache, kid)
    unknown(api, cache, "bogus-4", Reason.KEY_NOT_FETCHED)
    assert ["absent", "absent", "absent", "no_budget"] == outcomes(endpoint)


def test_what_was_not_asked_for_is_not_known_as_absent(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    for kid in ("bogus-1", "bogus-2", "bogus-3"):
        unknown(api, cache, kid)
    unknown(api, cache, "key-2", Reason.KEY_NOT_FETCHED)
    endpoint.rotate(KEY, OTHER)
    endpoint.pass_time(10)
    assert "key-2" == api.get(cache, "key-2").kid


def test_a_flood_does_not_keep_the_refresh_from_its_time() -> None:
    cache, remote, clock = held()
    flood(cache, 10, lambda _: None)
    clock.move(3_599)
    cache.get("key-1")
    join_fetches()
    assert (4, KeyState.FRESH, 0.0) == (remote.fetches, cache.state, cache.age)


def test_a_rotation_during_a_flood_is_seen_within_ten_seconds() -> None:
    cache, remote, clock = held()
    for index in range(250):
        with pytest.raises(SignatureError):
            cache.get(f"bogus-{index}")
        clock.move(0.1)
    remote.keys = (OTHER,)
    rotated = clock.now
    for index in range(250, 1_000):
        with pytest.raises(SignatureError):
            cache.get(f"bogus-{index}")
        try:
            assert "key-2" == cache.get("key-2").kid
            break
        except SignatureError:
            clock.move(0.1)
    assert "key-2" == cache.get("key-2").kid
    assert clock.now - rotated <= 10.001


def test_what_is_kept_of_made_up_key_ids_is_bounded() -> None:
    cache, remote, _ = held(miss_burst=1_100)
    flood(cache, 1_100, lambda _: None)
    assert (1_100, 1_024) == (remote.fetches, len(cache._misses._absent))


@settings(deadline=None, max_examples=50)
@given(kid=st.text(max_size=300))
def test_no_key_id_raises_anything_but_that_it_is_unknown(kid: str) -> None:
    cache = held()[0]
    with pytest.raises(SignatureError):
        cache.get(kid)


# What is refused without asking.


def _expired(now: float) -> str:
    return token(OTHER, now - 7_200)


def _other_audience(now: float) -> str:
    return token(OTHER, now, aud="https://payments.example")


def _other_issuer(now: float) -> str:
    return token(OTHER, now, iss="https://issuer.example")


def _not_yet(now: float) -> str:
    return token(OTHER, now + 7_200)


def _too_long(now: float) -> str:
    return token(OTHER, now, exp=int(now) + 90_000)


def _subject_of_another_type(now: float) -> str:
    return token(OTHER, now, sub=7)


def _no_kid(now: float) -> str:
    return signed(OTHER, header(OTHER, kid=None), claims(now))


def _other_algorithm(now: float) -> str:
    return signed(OTHER, header(OTHER, alg="ES256"), claims(now))


def _no_json(now: float) -> str:
    return signed(OTHER, header(OTHER), b"no JSON")


def _garbled_signature(now: float) -> str:
    return token(OTHER, now)[:-3] + "!?="


def _removed_signature(now: float) -> str:
    return token(OTHER, now).rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"


HOPELESS = [
    _expired,
    _other_audience,
    _other_issuer,
    _not_yet,
    _too_long,
    _subject_of_another_type,
    _no_kid,
    _other_algorithm,
    _no_json,
    _garbled_signature,
    _removed_signature,
]


@pytest.mark.parametrize("make", HOPELESS, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_token_that_is_refused_anyway_causes_no_fetch(
    endpoint: SimulatedEndpoint, make: Callable[[float], str], *, warm: bool
) -> None:
    cache = endpoint.cache()
    if warm:
        cache.warm()
    before = endpoint.fetches
    verifier: Verifier = endpoint.verifier(cache)
    with pytest.raises(TokenError):
        verifier.verify(make(endpoint.wall.now))
    assert (before, False) == (endpoint.fetches, cache.refreshing)


def test_a_good_token_under_a_new_key_is_verified(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    endpoint.rotate(KEY, OTHER)
    assert CALLER == api.verify(endpoint.verifier(cache), endpoint.token(OTHER)).email


def test_the_door_answers_401_to_an_unknown_key_and_503_while_that_cannot_be_known(
    endpoint: SimulatedEndpoint, cache: KeyCache, api: Api
) -> None:
    door = Door(endpoint.verifier(cache), InvokerPolicy.all_authenticated_users())
    answers = []
    for fault, key in ((endpoint.heal, OTHER), (endpoint.fail, THIRD)):
        fault()
        answers.append(api.admit(door, [(b"authorization", f"Bearer {endpoint.token(key)}".encode())]))
    assert [(401, Reason.UNKNOWN_KEY), (503, Reason.KEYS_UNAVAILABLE)] == [
        (answer.status, answer.reason) for answer in answers if isinstance(answer, Refusal)
    ]
