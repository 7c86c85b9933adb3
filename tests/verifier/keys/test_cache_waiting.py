"""How many requests may wait for keys at once, for how long, and what becomes of the rest."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from doorward import ConfigurationError, Door, InvokerPolicy, KeyCache, KeysUnavailableError, Reason
from doorward.door.refusal import Refusal
from doorward.errors import SignatureError
from doorward.keys.caching.misses import refusal_of
from doorward.keys.events import FetchesHang, UnknownKid, WaitRefused
from doorward.keys.fetch import FetchResponse
from doorward.keys.state import KeyState
from support.simulator import (
    APIS,
    PATIENCE,
    Api,
    SimulatedEndpoint,
    background,
    join_all_but_one,
    join_fetches,
    watch_readers,
)
from support.tokens import SigningKey, jwks

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")

in_threads = APIS[0]
in_loops = pytest.mark.parametrize("api", APIS[1:], ids=str)


def warm(endpoint: SimulatedEndpoint, **settings: object) -> KeyCache:
    cache = endpoint.cache(miss_patience=PATIENCE, **settings)
    cache.warm()
    endpoint.await_fetch()
    endpoint.events.clear()
    return cache


class TestUnknownKeyIds:
    def test_four_threads_may_wait_and_the_next_is_refused_at_once(
        self, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = warm(endpoint)
        await_reader = watch_readers(monkeypatch)
        gate = endpoint.hang()
        readers = [background(cache.get, f"invented-{index}") for index in range(4)]
        for _ in readers:
            await_reader()
        for _ in range(20):
            with pytest.raises(SignatureError) as refusal:
                cache.get("invented-4")
            assert Reason.KEY_NOT_FETCHED is refusal.value.reason
        assert "key-1" == cache.get("key-1").kid
        assert ["no_seat"] * 20 == [event.outcome for event in endpoint.events_of(UnknownKid)]
        gate.set()
        for reader in readers:
            assert isinstance(reader.exception(PATIENCE), SignatureError)
        assert 0 == cache._miss_seats[True].taken

    def test_one_invented_id_in_many_requests_takes_no_more_seats(
        self, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = warm(endpoint, max_waiting=2)
        await_reader = watch_readers(monkeypatch)
        gate = endpoint.hang()
        readers = [background(cache.get, "invented") for _ in range(2)]
        for _ in readers:
            await_reader()
        with pytest.raises(SignatureError):
            cache.get("invented")
        gate.set()
        for reader in readers:
            assert isinstance(reader.exception(PATIENCE), SignatureError)

    @in_loops
    def test_tasks_hold_no_thread_and_may_wait_in_greater_numbers(
        self, endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = warm(endpoint, max_waiting=1, max_waiting_cold=12)
        await_reader = watch_readers(monkeypatch)
        endpoint.rotate(KEY, OTHER)
        gate = endpoint.hang()
        readers = [background(api.get, cache, "key-2") for _ in range(12)]
        for _ in readers:
            await_reader()
        with pytest.raises(SignatureError):
            api.get(cache, "key-2")
        gate.set()
        assert ["key-2"] * 12 == [reader.result(PATIENCE).kid for reader in readers]

    def test_a_fetch_that_takes_longer_than_anyone_waits_is_not_waited_for(
        self, endpoint: SimulatedEndpoint, api: Api
    ) -> None:
        cache = warm(endpoint)
        endpoint.hang()
        endpoint.pass_time(3_599)
        cache.get("key-1")
        endpoint.await_fetch()
        endpoint.pass_time(PATIENCE)
        with pytest.raises(KeysUnavailableError):
            api.get(cache, "key-2")

    def test_a_seat_is_left_by_a_request_that_waited_in_vain(
        self, endpoint: SimulatedEndpoint, api: Api
    ) -> None:
        cache = endpoint.cache(miss_patience=0.01, max_waiting=1, max_waiting_cold=1)
        cache.warm()
        endpoint.hang()
        for kid in ("key-2", "key-3"):
            with pytest.raises(KeysUnavailableError):
                api.get(cache, kid)

    def test_a_door_refuses_the_rest_with_401_and_says_why(
        self, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = warm(endpoint, max_waiting=1)
        door = Door(endpoint.verifier(cache), InvokerPolicy.all_authenticated_users())
        await_reader = watch_readers(monkeypatch)
        gate = endpoint.hang()
        first = background(cache.get, "invented")
        await_reader()
        refused = door.admit([(b"authorization", f"Bearer {endpoint.token(OTHER)}".encode())])
        gate.set()
        assert isinstance(refused, Refusal)
        assert (401, Reason.KEY_NOT_FETCHED) == (refused.status, refused.reason)
        assert isinstance(first.exception(PATIENCE), SignatureError)

    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [
            ("absent", Reason.UNKNOWN_KEY),
            ("remembered", Reason.UNKNOWN_KEY),
            ("no_budget", Reason.KEY_NOT_FETCHED),
            ("no_seat", Reason.KEY_NOT_FETCHED),
        ],
    )
    def test_each_outcome_has_its_reason(self, outcome: str, reason: Reason) -> None:
        error = refusal_of(outcome, "x" * 100)
        assert reason is error.reason
        assert "x" * 17 not in str(error)


class TestWithoutKeys:
    def test_as_many_as_may_wait_do_and_the_rest_is_answered_with_503_at_once(
        self, endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = endpoint.cache(max_waiting_cold=3)
        await_reader = watch_readers(monkeypatch)
        gate = endpoint.hang()
        readers = [background(cache.get, "key-1") for _ in range(3)]
        for _ in readers:
            await_reader()
        with pytest.raises(KeysUnavailableError) as refusal:
            api.get(cache, "key-1")
        assert 1.0 == refusal.value.retry_after
        assert 1 == len(endpoint.events_of(WaitRefused))
        gate.set()
        assert ["key-1"] * 3 == [reader.result(PATIENCE).kid for reader in readers]
        assert 0 == cache._cold_seats.taken

    def test_what_comes_before_the_endpoint_is_asked_uses_no_patience_up(
        self, endpoint: SimulatedEndpoint, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such as the import of httpx, where 64 workers start at once on two processors."""
        let_go = threading.Event()

        class Slow:
            def prepare(self) -> None:
                assert let_go.wait(PATIENCE)

            def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
                return endpoint.fetch(url, headers)

        cache = endpoint.cache(fetch=Slow(), patience=PATIENCE)
        preparing = threading.Event()
        monkeypatch.setattr(cache, "_waited_patiently", _noting(cache, preparing))
        reader = background(api.get, cache, "key-1")
        assert preparing.wait(PATIENCE)
        assert not reader.done()
        let_go.set()
        assert "key-1" == reader.result(PATIENCE).kid

    def test_a_preparation_that_raises_is_a_failed_fetch(self, endpoint: SimulatedEndpoint, api: Api) -> None:
        class Broken:
            def prepare(self) -> None:
                raise ImportError("no httpx")

            def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
                return FetchResponse(jwks(KEY))

        cache = endpoint.cache(fetch=Broken())
        with pytest.raises(KeysUnavailableError, match="the fetch raised ImportError"):
            api.get(cache, "key-1")


def _noting(cache: KeyCache, preparing: threading.Event) -> object:
    waited = cache._waited_patiently

    async def noting(flight: object, waits: object) -> bool:
        preparing.set()
        return await waited(flight, waits)  # type: ignore[arg-type]  # as it was given

    return noting


class TestRecovery:
    @pytest.mark.parametrize("asked_for", [None, 20.0, 300.0])
    def test_while_nothing_is_held_a_pause_lasts_seconds(
        self, endpoint: SimulatedEndpoint, api: Api, asked_for: float | None
    ) -> None:
        cache = endpoint.cache()
        endpoint.fail() if asked_for is None else endpoint.throttle(asked_for)
        outage = 0.0
        while outage < 60.0:
            with pytest.raises(KeysUnavailableError) as refusal:
                api.get(cache, "key-1")
            assert 0.0 < refusal.value.retry_after <= 5.0
            endpoint.pass_time(refusal.value.retry_after)
            outage += refusal.value.retry_after
        endpoint.heal()
        assert "key-1" == api.get(cache, "key-1").kid

    def test_processes_do_not_come_back_together_after_a_long_retry_after(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        endpoint.throttle(300)
        pauses = set()
        for _ in range(8):
            cache = endpoint.cache(rng=None)
            with pytest.raises(KeysUnavailableError) as refusal:
                cache.warm()
            pauses.add(refusal.value.retry_after)
        assert 8 == len(pauses)
        assert 2.5 <= min(pauses)

    def test_a_pause_that_began_with_keys_is_short_once_they_are_dead(
        self, endpoint: SimulatedEndpoint, api: Api
    ) -> None:
        cache = endpoint.cache(max_stale=0)
        cache.warm()
        endpoint.pass_time(3_599)
        endpoint.throttle(300)
        cache.get("key-1")
        join_fetches()
        assert 300.0 == pytest.approx(cache.health()["retry_in"])
        endpoint.heal()
        endpoint.pass_time(5)
        assert KeyState.DEAD is cache.state
        assert "key-1" == api.get(cache, "key-1").kid


class TestFetchesThatNeverEnd:
    def test_three_threads_may_hang_and_then_none_is_started(
        self, endpoint: SimulatedEndpoint, api: Api
    ) -> None:
        let_go = threading.Event()
        asked: list[str] = []

        def never(url: str, headers: Mapping[str, str], /) -> FetchResponse:
            asked.append(url)
            assert let_go.wait(PATIENCE)
            return FetchResponse(jwks(KEY))

        cache = endpoint.cache(fetch=never, patience=0.01)
        for _ in range(100):
            with pytest.raises(KeysUnavailableError):
                api.get(cache, "key-1")
            endpoint.pass_time(200)
        assert (3, 3) == (cache.health()["hanging"], cache._updater.flights.started)
        assert "3 fetches never ended" in str(cache.health()["last_error"])
        let_go.set()
        join_fetches()
        assert [1, 2, 3] == [event.hanging for event in endpoint.events_of(FetchesHang)]
        assert (0, 3) == (cache.health()["hanging"], len(asked))
        endpoint.pass_time(10)
        cache._patience = PATIENCE  # type: ignore[misc]  # it is final to all but a test
        assert "key-1" == api.get(cache, "key-1").kid

    def test_known_keys_are_used_meanwhile(self, endpoint: SimulatedEndpoint, api: Api) -> None:
        cache = endpoint.cache()
        cache.warm()
        endpoint.hang()
        for _ in range(20):
            endpoint.pass_time(3_599)
            assert "key-1" == api.get(cache, "key-1").kid
        assert cache.health()["hanging"] <= 3

    def test_a_listener_that_never_returns_holds_up_one_thread_and_no_fetch(
        self, endpoint: SimulatedEndpoint, api: Api
    ) -> None:
        let_go = threading.Event()

        def listener(_: object) -> None:
            assert let_go.wait(PATIENCE)

        cache = endpoint.cache(listener=listener)
        in_background = [background(cache.refresh).result(PATIENCE) for _ in range(10)]
        assert [None] * 10 == in_background
        join_all_but_one()
        let_go.set()
        join_fetches()


@pytest.mark.parametrize("setting", ["max_waiting", "max_waiting_cold"])
def test_at_least_one_request_may_wait(endpoint: SimulatedEndpoint, setting: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting}"):
        endpoint.cache(**{setting: 0})
