"""What a key cache makes of an endpoint, a process or a plug-in that fails: it keeps what it has."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import Door, InvokerPolicy, KeyCache, KeysUnavailableError
from doorward.door.refusal import Refusal
from doorward.errors import SignatureError
from doorward.keys.events import FetchFinished, FetchStarted, KeyEvent, SetRefused
from doorward.keys.fetch import FetchResponse
from doorward.keys.state import KeyState
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.simulator import PATIENCE, Api, SimulatedEndpoint, background, join_fetches, watch_readers
from support.tokens import CALLER, SigningKey

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")
THIRD = SigningKey("key-3")

# What goes wrong, and where the fetch says it failed.
FAULTS = {
    "fail": "status",
    "throttle": "status",
    "redirect": "status",
    "hang": "deadline",
    "drip": "deadline",
    "truncate": "read",
    "bomb": "size",
    "oversized": "size",
    "page": "content",
    "cut_json": "content",
    "private": "content",
    "symmetric": "content",
    "empty_set": "content",
    "empty_body": "content",
    "unusable_set": "content",
    "duplicate_member": "content",
}
each_fault = pytest.mark.parametrize("fault", FAULTS)


def suffer(endpoint: SimulatedEndpoint, fault: str) -> None:
    """Let it go wrong, with no more patience than that needs."""
    if FAULTS[fault] == "deadline":
        endpoint.deadline = 0.1
    getattr(endpoint, fault)()


def without_network(**changed: Any) -> tuple[KeyCache, KeyEndpoint, ManualClock]:
    clock, remote = ManualClock(), KeyEndpoint(KEY)
    made: dict[str, Any] = {"fetch": remote, "clock": clock, "monotonic": clock, **changed}
    return KeyCache("https://keys.example/certs", **made), remote, clock


# Whatever the endpoint does.


@each_fault
def test_a_failed_fetch_changes_nothing_that_is_held(endpoint: SimulatedEndpoint, fault: str) -> None:
    cache = endpoint.cache()
    key = cache.get("key-1")
    endpoint.pass_time(100)
    endpoint.rotate(KEY, OTHER)
    suffer(endpoint, fault)
    with pytest.raises(KeysUnavailableError):
        cache.refresh()
    assert cache.get("key-1") is key
    assert (100.0, 1, ["key-1"]) == (cache.age, cache.generation, cache.health()["kids"])


@each_fault
def test_a_failed_fetch_is_reported_with_the_stage_it_failed_in(
    endpoint: SimulatedEndpoint, fault: str
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.events.clear()
    suffer(endpoint, fault)
    with pytest.raises(KeysUnavailableError):
        cache.refresh()
    (finished,) = endpoint.events_of(FetchFinished)
    assert finished.error is not None
    assert ("failed", FAULTS[fault], ("key-1",)) == (finished.outcome, finished.error.stage, finished.kids)
    refused_whole = [SetRefused(endpoint.url, finished.error)]
    assert (refused_whole if FAULTS[fault] in ("content", "size") else []) == endpoint.events_of(SetRefused)
    assert str(finished.error) == cache.health()["last_error"]


@each_fault
def test_a_cold_read_of_a_failing_endpoint_finds_the_keys_unavailable(
    endpoint: SimulatedEndpoint, fault: str
) -> None:
    cache = endpoint.cache()
    suffer(endpoint, fault)
    with pytest.raises(KeysUnavailableError):
        cache.get("key-1")
    assert (KeyState.EMPTY, 1) == (cache.state, endpoint.fetches)


@each_fault
def test_an_endpoint_that_is_well_again_is_believed_again(endpoint: SimulatedEndpoint, fault: str) -> None:
    cache = endpoint.cache()
    suffer(endpoint, fault)
    with pytest.raises(KeysUnavailableError):
        cache.warm()
    endpoint.heal()
    endpoint.deadline = PATIENCE
    endpoint.pass_time(300)
    cache.get("key-1")
    assert (KeyState.FRESH, False, None) == (cache.state, cache.cooling_down, cache.health()["last_error"])


def test_keys_under_another_content_type_are_keys(endpoint: SimulatedEndpoint, api: Api) -> None:
    endpoint.mislabel()
    assert "key-1" == api.get(endpoint.cache(), "key-1").kid


def test_the_door_answers_503_with_the_time_that_the_endpoint_asked_for(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    door = Door(endpoint.verifier(endpoint.cache()), InvokerPolicy.all_authenticated_users())
    endpoint.throttle(2)
    refusal = api.admit(door, [(b"authorization", f"Bearer {endpoint.token(KEY)}".encode())])
    assert isinstance(refusal, Refusal)
    assert (503, "2") == (refusal.status, dict(refusal.headers)[b"retry-after"].decode())


# Backing off.


@settings(deadline=None, max_examples=30)
@given(seed=st.integers())
def test_each_failure_in_a_row_may_double_the_wait_between_a_second_and_five_minutes(seed: int) -> None:
    cache, remote, _ = without_network(rng=random.Random(seed))
    remote.down()
    for failures in range(1, 12):
        with pytest.raises(KeysUnavailableError):
            cache.refresh()
        retry_in = cache._updater.backoff.left(cache._monotonic())
        assert 1.0 <= retry_in <= min(300.0, 2.0**failures) + 1e-6
        assert failures == cache.health()["failures"]


def test_the_wait_is_spread_over_its_whole_range() -> None:
    left = []
    for seed in range(40):
        cache, remote, clock = without_network(rng=random.Random(seed))
        remote.down()
        for _ in range(10):
            with pytest.raises(KeysUnavailableError):
                cache.refresh()
        left.append(cache._updater.backoff.left(clock.now))
    assert min(left) < 75.0
    assert max(left) > 225.0


@pytest.mark.parametrize(
    ("asked_for", "wait"), [(0, 1.0), (1, 1.0), (120, 120.0), (300, 300.0), (86_400, 300.0)], ids=str
)
def test_what_the_endpoint_asks_for_is_honoured_between_a_second_and_five_minutes(
    endpoint: SimulatedEndpoint, asked_for: float, wait: float
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.throttle(asked_for)
    with pytest.raises(KeysUnavailableError) as refusal:
        cache.refresh()
    assert pytest.approx(wait) == refusal.value.retry_after
    assert pytest.approx(wait) == cache.health()["retry_in"]


def test_nothing_but_a_refresh_asks_before_the_wait_is_over(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.throttle(120)
    with pytest.raises(KeysUnavailableError):
        api.refresh(cache)
    endpoint.pass_time(119)
    with pytest.raises(KeysUnavailableError) as refusal:
        api.get(cache, "key-2")
    assert 2 == endpoint.fetches
    assert pytest.approx(1.0) == refusal.value.retry_after
    with pytest.raises(KeysUnavailableError):
        api.refresh(cache)
    assert 3 == endpoint.fetches


def test_a_success_ends_the_wait_and_forgets_the_failures(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    endpoint.throttle(120)
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            api.refresh(cache)
    assert (3, True) == (cache.health()["failures"], cache.cooling_down)
    endpoint.heal()
    api.refresh(cache)
    assert (0, False, 0.0) == (cache.health()["failures"], cache.cooling_down, cache.health()["retry_in"])


def test_there_is_never_more_than_one_fetch_at_a_time(
    endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_reader = watch_readers(monkeypatch)
    cache = endpoint.cache()
    cache.warm()
    await_reader()
    endpoint.pass_time(3_600)
    gate = endpoint.hang()
    cache.keys(endpoint.wall.now)
    asked: list[Callable[[], object]] = [
        lambda: api.refresh(cache),
        lambda: api.get(cache, "key-2"),
        lambda: api.get(cache, "key-3"),
    ]
    readers = [background(ask) for ask in asked]
    for _ in readers:
        await_reader()
        cache.keys(endpoint.wall.now)
    endpoint.rotate(KEY, OTHER, THIRD)
    endpoint.heal()
    gate.set()
    for reader in readers:
        reader.result(PATIENCE)
    join_fetches()
    turns = [type(event) for event in endpoint.events if isinstance(event, FetchStarted | FetchFinished)]
    assert [FetchStarted, FetchFinished] * (len(turns) // 2) == turns
    assert 3 <= len(turns) // 2 <= 5


# Keys that go.


def test_a_key_that_a_good_answer_does_not_hold_is_gone_at_once(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.rotate(OTHER)
    api.refresh(cache)
    keys = cache.keys(endpoint.wall.now)
    assert keys is not None
    assert ["key-2"] == list(keys)
    with pytest.raises(SignatureError):
        api.get(cache, "key-1")


def test_a_cached_token_dies_with_its_key(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    verifier, one = endpoint.verifier(cache), endpoint.token(KEY)
    assert CALLER == api.verify(verifier, one).email
    endpoint.rotate(OTHER)
    api.refresh(cache)
    with pytest.raises(SignatureError):
        api.verify(verifier, one)


def test_a_cached_token_dies_with_a_key_replaced_under_the_same_id(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    verifier, one = endpoint.verifier(cache), endpoint.token(KEY)
    assert CALLER == api.verify(verifier, one).email
    endpoint.rotate(SigningKey("key-1", name="another key-1"))
    api.refresh(cache)
    with pytest.raises(SignatureError):
        api.verify(verifier, one)


def test_a_cached_token_outlives_the_coming_of_another_key(endpoint: SimulatedEndpoint, api: Api) -> None:
    cache = endpoint.cache()
    verifier, one = endpoint.verifier(cache), endpoint.token(KEY)
    principal = api.verify(verifier, one)
    endpoint.rotate(KEY, OTHER)
    api.refresh(cache)
    assert api.verify(verifier, one) is principal


def test_a_key_set_that_is_rolled_back_brings_the_old_keys_back(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    verifier, one = endpoint.verifier(cache), endpoint.token(KEY)
    api.verify(verifier, one)
    endpoint.rotate(OTHER)
    api.refresh(cache)
    endpoint.roll_back()
    api.refresh(cache)
    assert CALLER == api.verify(verifier, one).email
    assert 3 == cache.generation


# A process that has no threads left.


@pytest.fixture
def no_threads(endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Start no thread of the cache's own while the test wants it so."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "doorward-keys":
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield patch


def test_a_cold_read_without_a_thread_finds_the_keys_unavailable(
    endpoint: SimulatedEndpoint, api: Api, no_threads: pytest.MonkeyPatch
) -> None:
    cache = endpoint.cache()
    for ask in (lambda: api.get(cache, "key-1"), lambda: api.warm(cache), lambda: api.refresh(cache)):
        with pytest.raises(KeysUnavailableError):
            ask()
    assert (False, True, 0) == (cache.refreshing, cache.cooling_down, endpoint.fetches)
    health = cache.health()
    assert ("thread: no thread could be started", 2) == (health["last_error"], health["failures"])


def test_a_cache_recovers_when_there_are_threads_again(
    endpoint: SimulatedEndpoint, api: Api, no_threads: pytest.MonkeyPatch
) -> None:
    cache = endpoint.cache()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    no_threads.undo()
    endpoint.pass_time(2)
    assert "key-1" == api.get(cache, "key-1").kid


@pytest.mark.parametrize("age", [3_599.0, 3_600.0], ids=["ageing", "stale"])
def test_a_known_key_is_given_although_no_thread_is_to_be_had(
    endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.pass_time(age)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert "key-1" == api.get(cache, "key-1").kid
        with pytest.raises(KeysUnavailableError):
            api.get(cache, "key-2")
    assert 1 == endpoint.fetches


# Plug-ins that misbehave.

STRANGE: Mapping[str, BaseException] = {
    "ValueError": ValueError("a fetch of one's own"),
    "OSError": OSError("a fetch of one's own"),
    "RecursionError": RecursionError(),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
}


@pytest.mark.parametrize("error", STRANGE.values(), ids=STRANGE)
def test_a_fetch_may_raise_anything(api: Api, caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    def fetch(_url: str, _headers: Mapping[str, str], /) -> FetchResponse:
        raise error

    events: list[KeyEvent] = []
    cache, _, _ = without_network(fetch=fetch, listener=events.append)
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    assert f"read: the fetch raised {type(error).__name__}" == cache.health()["last_error"]
    assert not cache.refreshing
    assert not any(isinstance(event, SetRefused) for event in events)
    assert [logging.ERROR] == [record.levelno for record in caplog.records if record.name == "doorward.keys"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        FetchResponse(b"{}", None),  # type: ignore[arg-type]  # what a fetch of one's own may get wrong
        FetchResponse("{}"),  # type: ignore[arg-type]  # as above
        FetchResponse(b'{"keys": []}', {"cache-control": 7}),  # type: ignore[dict-item]  # as above
    ],
    ids=["none", "headers", "text", "header"],
)
def test_a_fetch_may_answer_anything(api: Api, answer: Any) -> None:
    cache = without_network()[0]
    cache.warm()
    cache._client._fetch = lambda _url, _headers: answer  # type: ignore[misc]  # it is final to all but a test
    with pytest.raises(KeysUnavailableError):
        api.refresh(cache)
    assert "key-1" == api.get(cache, "key-1").kid


def test_headers_that_cannot_be_read_cost_one_fetch_and_not_one_after_another(api: Api) -> None:
    _, remote, clock = without_network()

    def fetch(url: str, headers: Mapping[str, str], /) -> FetchResponse:
        answer = remote(url, headers)
        return FetchResponse(answer.body, None)  # type: ignore[arg-type]  # what a fetch of one's own may get wrong

    cache = KeyCache("https://keys.example/certs", fetch=fetch, clock=clock, monotonic=clock)
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    assert 1 == remote.fetches


def test_a_304_without_a_condition_is_a_failure(api: Api) -> None:
    cache, _, _ = without_network(fetch=lambda _url, _headers: FetchResponse(None))
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    assert KeyState.EMPTY is cache.state


def test_a_listener_that_raises_is_logged_and_harms_nothing(
    endpoint: SimulatedEndpoint, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(event: KeyEvent) -> None:
        raise ValueError("a listener of one's own")

    cache = endpoint.cache(listener=listener)
    assert "key-1" == api.get(cache, "key-1").kid
    with pytest.raises(SignatureError):
        api.get(cache, "key-9")
    endpoint.pass_time(3_600)
    assert "key-1" == api.get(cache, "key-1").kid
    join_fetches()
    assert KeyState.FRESH is cache.state
    assert {"the listener failed on FetchStarted", "the listener failed on StaleUsed"} <= {
        record.getMessage() for record in caplog.records
    }


def test_a_listener_may_look_at_the_cache_that_calls_it(endpoint: SimulatedEndpoint, api: Api) -> None:
    seen: list[object] = []

    def listener(event: KeyEvent) -> None:
        seen.append(cache.health()["state"])

    cache: KeyCache = endpoint.cache(listener=listener)
    api.get(cache, "key-1")
    join_fetches()
    assert ("fresh", 3) == (seen[-1], len(seen))


# Fetches that do not end.


def test_a_fetch_is_given_up_after_thirty_seconds_and_another_begins(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache(patience=0.02)
    endpoint.hang()
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    endpoint.await_fetch()
    endpoint.pass_time(29.9)
    with pytest.raises(KeysUnavailableError):
        api.get(cache, "key-1")
    assert (True, 1) == (cache.refreshing, endpoint.fetches)
    endpoint.pass_time(0.2)
    assert not cache.refreshing
    endpoint.heal()
    cache._patience = PATIENCE  # type: ignore[misc]  # it is final to all but a test
    assert "key-1" == api.get(cache, "key-1").kid
    assert 2 == endpoint.fetches


def test_a_fetch_that_was_given_up_counts_as_failed(endpoint: SimulatedEndpoint) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.pass_time(3_600)
    endpoint.await_fetch()
    endpoint.hang()
    cache.keys(endpoint.wall.now)
    endpoint.await_fetch()
    endpoint.pass_time(31)
    cache.keys(endpoint.wall.now)
    health = cache.health()
    assert (1, "deadline: given up after 30 s without an answer") == (
        health["failures"],
        health["last_error"],
    )


def test_what_a_fetch_that_was_given_up_brings_in_the_end_is_ignored(
    endpoint: SimulatedEndpoint, api: Api
) -> None:
    cache = endpoint.cache()
    cache.warm()
    endpoint.await_fetch()
    endpoint.pass_time(3_600)
    gate = endpoint.hang()
    cache.keys(endpoint.wall.now)
    endpoint.await_fetch()
    endpoint.pass_time(31)
    endpoint.rotate(OTHER)
    endpoint.heal()
    assert "key-2" == api.get(cache, "key-2").kid
    gate.set()
    join_fetches()
    assert (2, ["key-2"], False) == (cache.generation, cache.health()["kids"], cache.cooling_down)
    # The one that was given up is reported by the reader who found it, the others by their own threads.
    assert ["changed", "changed", "failed"] == sorted(
        event.outcome for event in endpoint.events_of(FetchFinished)
    )
