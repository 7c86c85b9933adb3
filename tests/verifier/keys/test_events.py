"""What a key cache reports to its listener: every event once, in order, with its data; and what is logged."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from doorward import ConfigurationError, FetchError, KeyCache, KeysUnavailableError
from doorward.errors import SignatureError
from doorward.keys.events import (
    FetchesHang,
    FetchFinished,
    FetchStarted,
    KeyEvent,
    SetRefused,
    SnapshotTaken,
    StaleUsed,
    StateChanged,
    UnknownKid,
    WaitRefused,
    log_event,
)
from doorward.keys.state import KeyState
from support.clock import ManualClock
from support.simulator import SimulatedEndpoint, background, join_fetches
from support.tokens import SigningKey, jwks

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")
URL = "https://keys.example/certs"
STALE_AFTER = 3_600.0
DEAD_AFTER = STALE_AFTER + 86_400.0

EMPTY, FRESH, AGEING, STALE, DEAD = KeyState
ATTACK = "attack-" * 30


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(KEY) as endpoint:
        yield endpoint


@pytest.fixture
def cache(endpoint: SimulatedEndpoint) -> KeyCache:
    return endpoint.cache()


@pytest.fixture
def warm(endpoint: SimulatedEndpoint, cache: KeyCache) -> KeyCache:
    """A cache that holds keys; what it has reported until then is dropped."""
    cache.warm()
    join_fetches()
    endpoint.events.clear()
    return cache


def good(
    url: str, trigger: str, outcome: str, *kids: str, seconds: float = 0.0, refused: tuple[str, ...] = ()
) -> FetchFinished:
    return FetchFinished(url, trigger, outcome, seconds, kids, refused, None)


def in_any_order(*events: KeyEvent) -> Counter[KeyEvent]:
    """Compare what a reader reports and what the thread of a fetch reports: neither waits for the other."""
    return Counter(events)


def miss(cache: KeyCache, kid: str = "unknown") -> None:
    with pytest.raises(SignatureError):
        cache.get(kid)


def failing(cache: KeyCache) -> None:
    with pytest.raises(KeysUnavailableError):
        cache.refresh()
    join_fetches()


class TestFetches:
    def test_the_first_fetch_is_reported_from_its_start_to_the_state_it_leads_to(
        self, endpoint: SimulatedEndpoint, cache: KeyCache
    ) -> None:
        cache.get(KEY.kid)
        join_fetches()

        assert in_any_order(
            FetchStarted(cache.url, "cold"),
            good(cache.url, "cold", "changed", "key-1"),
            StateChanged(cache.url, EMPTY, FRESH),
        ) == in_any_order(*endpoint.events)

    def test_a_fetch_is_reported_with_the_time_it_took(
        self, endpoint: SimulatedEndpoint, cache: KeyCache
    ) -> None:
        gate = endpoint.hang()
        asking = background(cache.warm)
        endpoint.await_fetch()
        assert [FetchStarted(cache.url, "cold")] == endpoint.events
        endpoint.pass_time(2.5)
        gate.set()
        asking.result(10)

        assert [2.5] == [event.seconds for event in endpoint.events_of(FetchFinished)]

    def test_a_refresh_ahead_that_finds_the_same_set_is_reported_as_not_modified(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.pass_time(STALE_AFTER - 1)
        warm.get(KEY.kid)
        join_fetches()

        assert [
            StateChanged(warm.url, FRESH, AGEING),
            FetchStarted(warm.url, "refresh"),
            good(warm.url, "refresh", "not_modified", "key-1"),
            StateChanged(warm.url, AGEING, FRESH),
        ] == endpoint.events

    def test_the_same_keys_in_another_order_are_reported_as_unchanged(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        endpoint.rotate(KEY, OTHER)
        cache = endpoint.cache()
        cache.warm()
        endpoint.rotate(OTHER, KEY)
        cache.refresh()
        join_fetches()

        assert good(cache.url, "asked", "unchanged", "key-1", "key-2") == endpoint.events[-1]

    def test_a_rotation_is_reported_as_changed_with_the_key_ids_of_now(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.rotate(OTHER, SigningKey("key-3"))
        warm.refresh()
        join_fetches()

        assert [
            FetchStarted(warm.url, "asked"),
            good(warm.url, "asked", "changed", "key-2", "key-3"),
        ] == endpoint.events

    def test_a_fetch_for_an_unknown_key_id_is_reported_as_such(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.rotate(KEY, OTHER)
        warm.get(OTHER.kid)
        join_fetches()

        assert [
            FetchStarted(warm.url, "unknown_kid"),
            good(warm.url, "unknown_kid", "changed", "key-1", "key-2"),
        ] == endpoint.events

    def test_keys_that_are_not_used_are_reported_with_the_reason_and_a_short_key_id(
        self, endpoint: SimulatedEndpoint, cache: KeyCache
    ) -> None:
        endpoint.rotate(KEY, OTHER.jwk(use="enc"), OTHER.jwk(kid="long-key-id-" * 20, kty="odd"))
        cache.warm()
        (event,) = endpoint.events_of(FetchFinished)

        assert (
            "'key-2': meant for use 'enc', not for signatures",
            "'long-key-id-long'…: key type 'odd', where the issuer signs with RS256",
        ) == event.refused
        assert ("key-1",) == event.kids

    def test_a_fetch_that_fails_is_reported_with_the_keys_that_stay(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.fail()
        failing(warm)
        started, finished = endpoint.events

        assert FetchStarted(warm.url, "asked") == started
        assert isinstance(finished, FetchFinished)
        assert finished.error is not None
        assert "status" == finished.error.stage
        without = dataclasses.replace(finished, error=None)
        assert FetchFinished(warm.url, "asked", "failed", 0.0, ("key-1",), (), None) == without

    def test_a_first_fetch_that_fails_changes_no_state(
        self, endpoint: SimulatedEndpoint, cache: KeyCache
    ) -> None:
        endpoint.fail()
        with pytest.raises(KeysUnavailableError):
            cache.get(KEY.kid)
        join_fetches()

        assert [FetchStarted, FetchFinished] == [type(event) for event in endpoint.events]
        assert () == endpoint.events_of(FetchFinished)[0].kids

    def test_a_fetch_that_raises_what_it_must_not_is_reported_as_failed(
        self, endpoint: SimulatedEndpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> object:
            raise LookupError

        cache = endpoint.cache(fetch=broken)
        failing(cache)
        (event,) = endpoint.events_of(FetchFinished)

        assert ("failed", "read: the fetch raised LookupError") == (event.outcome, str(event.error))

    def test_a_fetch_that_is_given_up_is_reported_as_failed_and_what_it_brings_later_is_not(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        """So that every start has an end, and a count of the ends is that of `KeyCache.health`."""
        endpoint.await_fetch()
        gate = endpoint.hang()
        first = background(warm.refresh)
        endpoint.await_fetch()
        endpoint.heal()
        endpoint.pass_time(30)
        warm.refresh()
        gate.set()
        join_fetches()
        first.result(10)
        fetches = warm.health()["fetches"]

        assert {"changed": 1, "unchanged": 0, "not_modified": 1, "failed": 1} == fetches
        assert ["failed", "not_modified"] == [event.outcome for event in endpoint.events_of(FetchFinished)]

    @pytest.mark.parametrize(
        ("behaviour", "stage"),
        [
            ("private", "content"), ("symmetric", "content"), ("page", "content"), ("cut_json", "content"),
            ("empty_set", "content"), ("unusable_set", "content"), ("duplicate_member", "content"),
            ("oversized", "size"), ("bomb", "size"),
        ],
    )  # fmt: skip
    def test_an_answer_that_is_refused_whole_is_reported_besides(
        self, endpoint: SimulatedEndpoint, warm: KeyCache, behaviour: str, stage: str
    ) -> None:
        getattr(endpoint, behaviour)()
        failing(warm)
        _, finished, refused = endpoint.events

        assert isinstance(finished, FetchFinished)
        assert isinstance(refused, SetRefused)
        assert refused.error is finished.error
        assert (warm.url, stage) == (refused.url, refused.error.stage)

    @pytest.mark.parametrize("behaviour", ["fail", "throttle", "redirect", "truncate"])
    def test_an_answer_that_did_not_come_is_no_refused_set(
        self, endpoint: SimulatedEndpoint, warm: KeyCache, behaviour: str
    ) -> None:
        getattr(endpoint, behaviour)()
        failing(warm)

        assert [FetchStarted, FetchFinished] == [type(event) for event in endpoint.events]


class TestStates:
    def test_a_cache_whose_endpoint_goes_away_is_seen_in_every_state_once(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.fail()
        for passed in (1.0, STALE_AFTER - 2, 0.5, 0.5, 86_000.0, 400.0, 10.0):
            endpoint.pass_time(passed)
            warm.keys(endpoint.wall.now)
            join_fetches()
        endpoint.heal()
        endpoint.pass_time(600)
        warm.get(KEY.kid)
        join_fetches()

        assert [(FRESH, AGEING), (AGEING, STALE), (STALE, DEAD), (DEAD, FRESH)] == [
            (event.before, event.after) for event in endpoint.events_of(StateChanged)
        ]

    def test_a_state_that_no_read_saw_is_left_out(self, endpoint: SimulatedEndpoint, warm: KeyCache) -> None:
        """Timers do not run between the requests of a frozen instance."""
        endpoint.fail()
        endpoint.pass_time(DEAD_AFTER)
        warm.keys(endpoint.wall.now)
        join_fetches()

        assert [StateChanged(warm.url, FRESH, DEAD)] == endpoint.events_of(StateChanged)

    def test_a_look_at_the_state_reports_nothing(self, endpoint: SimulatedEndpoint, warm: KeyCache) -> None:
        endpoint.pass_time(DEAD_AFTER)
        assert (DEAD, "dead") == (warm.state, warm.health()["state"])

        assert [] == endpoint.events

    def test_a_read_of_fresh_keys_reports_nothing(self, endpoint: SimulatedEndpoint, warm: KeyCache) -> None:
        warm.get(KEY.kid)
        warm.keys(endpoint.wall.now)

        assert [] == endpoint.events

    def test_a_seed_is_seen_as_stale_when_it_is_first_used(
        self, endpoint: SimulatedEndpoint, cache: KeyCache
    ) -> None:
        endpoint.fail()
        cache.seed(jwks(KEY))
        assert [] == endpoint.events
        cache.get(KEY.kid)
        join_fetches()

        assert [StateChanged(cache.url, EMPTY, STALE)] == endpoint.events_of(StateChanged)


class TestStaleUses:
    def test_each_use_of_stale_keys_is_reported_with_their_age(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.fail()
        for passed in (STALE_AFTER, 100.0, 0.0):
            endpoint.pass_time(passed)
            warm.get(KEY.kid)
            join_fetches()

        assert [
            StaleUsed(warm.url, STALE_AFTER),
            StaleUsed(warm.url, STALE_AFTER + 100),
            StaleUsed(warm.url, STALE_AFTER + 100),
        ] == endpoint.events_of(StaleUsed)
        assert 3 == warm.health()["stale_uses"]

    @pytest.mark.parametrize("age", [0.0, STALE_AFTER - 1, DEAD_AFTER], ids=["fresh", "ageing", "dead"])
    def test_keys_that_are_not_stale_are_not_reported_as_used(
        self, endpoint: SimulatedEndpoint, warm: KeyCache, age: float
    ) -> None:
        endpoint.fail()
        endpoint.pass_time(age)
        warm.keys(endpoint.wall.now)
        join_fetches()

        assert [] == endpoint.events_of(StaleUsed)


class TestUnknownKids:
    def test_a_key_id_that_the_endpoint_was_asked_for_is_absent(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        miss(warm)
        join_fetches()

        assert in_any_order(
            FetchStarted(warm.url, "unknown_kid"),
            good(warm.url, "unknown_kid", "not_modified", "key-1"),
            UnknownKid(warm.url, "absent"),
        ) == in_any_order(*endpoint.events)

    def test_a_key_id_that_was_asked_for_a_moment_ago_is_reported_as_remembered(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        miss(warm)
        endpoint.events.clear()
        miss(warm)

        assert [UnknownKid(warm.url, "remembered")] == endpoint.events

    def test_a_key_id_beyond_the_budget_is_not_asked_for(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        for index in range(5):
            miss(warm, f"unknown-{index}")

        assert ["absent"] * 3 + ["no_budget"] * 2 == [
            event.outcome for event in endpoint.events_of(UnknownKid)
        ]

    def test_a_key_id_on_a_cold_cache_is_absent_from_its_first_answer(
        self, endpoint: SimulatedEndpoint, cache: KeyCache
    ) -> None:
        miss(cache)

        assert [UnknownKid(cache.url, "absent")] == endpoint.events_of(UnknownKid)

    def test_what_could_not_be_found_out_is_no_unknown_key_id(
        self, endpoint: SimulatedEndpoint, warm: KeyCache
    ) -> None:
        endpoint.fail()
        with pytest.raises(KeysUnavailableError):
            warm.get("unknown")

        assert [] == endpoint.events_of(UnknownKid)

    def test_no_event_repeats_what_a_caller_has_sent(
        self, endpoint: SimulatedEndpoint, warm: KeyCache, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "doorward")
        for index in range(5):
            miss(warm, f"{index}{ATTACK}")
        miss(warm, f"0{ATTACK}")
        join_fetches()
        for event in endpoint.events:
            log_event(event)

        assert {"absent", "remembered", "no_budget"} == {
            event.outcome for event in endpoint.events_of(UnknownKid)
        }
        reported = "".join(map(repr, endpoint.events)) + caplog.text
        assert "UnknownKid" in reported
        assert ATTACK[:16] not in reported


class TestListeners:
    def test_a_listener_that_fails_disturbs_nothing_and_is_logged_each_time(
        self, endpoint: SimulatedEndpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        reported: list[str] = []

        def listener(event: KeyEvent) -> None:
            reported.append(type(event).__name__)
            raise LookupError("a fault of the listener's own")

        cache = endpoint.cache(listener=listener)
        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()
        miss(cache)
        endpoint.fail()
        endpoint.pass_time(STALE_AFTER)
        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()
        expected = [f"the listener failed on {name}" for name in reported]

        assert {"FetchStarted", "FetchFinished", "StateChanged", "UnknownKid", "StaleUsed"} == set(reported)
        assert sorted(expected) == sorted(record.getMessage() for record in caplog.records)
        assert {logging.ERROR} == {record.levelno for record in caplog.records}

    def test_an_interrupt_in_a_listener_passes(self, endpoint: SimulatedEndpoint) -> None:
        def listener(event: KeyEvent) -> None:
            if isinstance(event, UnknownKid):
                raise KeyboardInterrupt

        cache = endpoint.cache(listener=listener)
        cache.warm()
        with pytest.raises(KeyboardInterrupt):
            cache.get("unknown")

    def test_a_listener_may_ask_the_cache(self, endpoint: SimulatedEndpoint) -> None:
        """No lock is held while it is called."""
        seen: list[KeyState] = []
        caches: list[KeyCache] = []

        def listener(event: KeyEvent) -> None:
            seen.append(caches[0].state)
            if isinstance(event, UnknownKid):
                assert KEY.kid == caches[0].get(KEY.kid).kid

        caches.append(endpoint.cache(listener=listener))
        caches[0].warm()
        miss(caches[0])
        join_fetches()

        assert 6 == len(seen)
        assert {EMPTY, FRESH} >= set(seen)
        assert FRESH is seen[-1]

    def test_an_event_cannot_be_changed(self) -> None:
        event = UnknownKid(URL, "absent")
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.outcome = "present"  # type: ignore[misc]  # that is the point

    def test_the_log_is_the_listener_by_default(
        self, endpoint: SimulatedEndpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "doorward")
        clock = ManualClock()
        cache = KeyCache(endpoint.url, clock=clock, monotonic=clock)
        cache.warm()
        join_fetches()

        assert [f"keys of {cache.url}: 'key-1'", f"the keys of {cache.url} are fresh"] == [
            record.getMessage() for record in caplog.records
        ]


ERROR = FetchError("connect", "connection refused")


class TestLog:
    @pytest.mark.parametrize(
        ("event", "level", "text"),
        [
            (
                FetchFinished(URL, "refresh", "failed", 0.1, ("a",), (), ERROR),
                logging.WARNING,
                f"the fetch (refresh) from {URL} failed, the keys held before are kept: {ERROR}",
            ),
            (
                FetchFinished(URL, "cold", "failed", 0.1, (), (), ERROR),
                logging.WARNING,
                f"the fetch (cold) from {URL} failed, no keys are held: {ERROR}",
            ),
            (good(URL, "cold", "changed", "a", "b"), logging.INFO, f"keys of {URL}: 'a', 'b'"),
            (SetRefused(URL, ERROR), logging.ERROR, f"the key set of {URL} was refused whole: {ERROR}"),
            (
                FetchesHang(URL, 2),
                logging.ERROR,
                f"fetches from {URL} that were given up and have not ended: 2",
            ),
            (
                SnapshotTaken(URL, "cold", 60.0, ("a", "b")),
                logging.INFO,
                f"keys of {URL} were taken from another process: 'a', 'b'",
            ),
            (StateChanged(URL, EMPTY, FRESH), logging.INFO, f"the keys of {URL} are fresh"),
            (StateChanged(URL, FRESH, AGEING), logging.INFO, f"the keys of {URL} are ageing"),
            (StateChanged(URL, AGEING, STALE), logging.WARNING, f"the keys of {URL} are stale"),
            (StateChanged(URL, STALE, DEAD), logging.WARNING, f"the keys of {URL} are dead"),
            (StateChanged(URL, DEAD, FRESH), logging.INFO, f"the keys of {URL} are fresh"),
        ],
        ids=lambda value: type(value).__name__ if not isinstance(value, int | str) else "",
    )
    def test_what_an_operator_wants_to_read_is_logged(
        self, event: KeyEvent, level: int, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "doorward")
        log_event(event)

        assert [("doorward.keys", level, text)] == caplog.record_tuples

    @pytest.mark.parametrize(
        "event",
        [
            FetchStarted(URL, "cold"),
            good(URL, "refresh", "not_modified", "a"),
            good(URL, "refresh", "unchanged", "a", refused=("'b': odd",)),
            StaleUsed(URL, 4_000.0),
            UnknownKid(URL, "absent"),
            WaitRefused(URL),
        ],
        ids=lambda event: type(event).__name__,
    )
    def test_what_comes_often_is_logged_for_debugging_only(
        self, event: KeyEvent, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "doorward")
        log_event(event)

        assert [("doorward.keys", logging.DEBUG, str(event))] == caplog.record_tuples

    def test_each_key_that_is_not_used_is_a_warning_when_the_set_is_new(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "doorward")
        log_event(good(URL, "cold", "changed", "a", refused=("'b': odd", "'c': old")))

        assert [
            (logging.INFO, f"keys of {URL}: 'a'"),
            (logging.WARNING, f"a key of {URL} is not used: 'b': odd"),
            (logging.WARNING, f"a key of {URL} is not used: 'c': old"),
        ] == [(record.levelno, record.getMessage()) for record in caplog.records]

    def test_a_key_id_cannot_write_lines_of_its_own(
        self, endpoint: SimulatedEndpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "doorward")
        endpoint.rotate(KEY.jwk(kid="a\nERROR all is lost"), OTHER.jwk(kid="b\r\n", use="enc"))
        endpoint.cache(listener=log_event).warm()
        join_fetches()

        assert "all is lost" in caplog.text
        assert [] == [record for record in caplog.records if set("\r\n") & set(record.getMessage())]

    def test_a_refused_set_is_a_warning_and_an_error(
        self, endpoint: SimulatedEndpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        endpoint.private()
        failing(endpoint.cache(listener=log_event))

        assert [logging.WARNING, logging.ERROR] == [record.levelno for record in caplog.records]


def test_the_query_of_a_key_url_is_sent_and_shown_nowhere(
    endpoint: SimulatedEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "AIzaSecret"
    heard: list[KeyEvent] = []

    def listener(event: KeyEvent) -> None:
        heard.append(event)
        log_event(event)

    cache = KeyCache(
        f"{endpoint.url}?key={secret}",
        listener=listener,
        clock=endpoint.wall,
        monotonic=endpoint.monotonic,
        miss_burst=1,
    )
    shown: list[object] = []
    endpoint.fail()
    for call in (cache.warm, lambda: cache.get("key-9"), cache.refresh):
        with pytest.raises(KeysUnavailableError) as refusal:
            call()
        shown += [refusal.value, refusal.value.__dict__]
    endpoint.heal()
    cache.refresh()
    for kid in ("key-8", "key-9"):
        miss(cache, kid)
    shown += [cache, cache.url, cache.health(), heard, *(record.getMessage() for record in caplog.records)]
    assert secret in endpoint.requests[0].target
    assert 10 < len(shown)
    assert secret not in repr(shown)


@pytest.mark.parametrize(
    "url", ["http://keys.example/?key=AIza", "https://keys.example/ ?key=AIza", "?key=AIza"]
)
def test_the_query_of_a_key_url_that_is_refused_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        KeyCache(url)
    assert "AIza" not in str(refusal.value)


def test_a_flood_of_unknown_key_ids_is_logged_in_part(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "doorward")
    for _ in range(500):
        log_event(UnknownKid("https://keys.example/certs", "no_budget"))

    assert 21 == len(caplog.records)
