"""The metrics of doors and key caches, as the SDK of OpenTelemetry collects them."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from doorward import Door, InvokerPolicy, KeyCache, KeysUnavailableError, PlainRequest
from doorward.door.events import Decided
from doorward.errors import SignatureError
from doorward.keys.events import FetchStarted, KeyEvent, StaleUsed, StateChanged, UnknownKid, WaitRefused
from doorward.keys.state import KeyState
from doorward.policy.watching.events import LookFinished, PolicyEvent
from doorward_integrations.opentelemetry import DoorMetrics, KeyMetrics, PolicyMetrics
from support.forks import forked, forking, held_elsewhere
from support.simulator import SimulatedEndpoint, background, join_fetches
from support.tokens import MEMBER, SigningKey
from support.watching import WatchedFile
from support.world import World

KEY = SigningKey("key-1")
SOFT = 3_600.0
PREFIX = "doorward.keys."
DECISIONS = "doorward.door.decisions"
OTHERS = (DECISIONS, "doorward.policy.")


class Collector:
    """An SDK that keeps what it collects in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.meter = self.provider.get_meter("tests")

    def collect(self) -> dict[str, Any]:
        """Give every metric that has points, by name without its prefix."""
        data = self.reader.get_metrics_data()
        found = data.resource_metrics if data is not None else []
        metrics = [metric for one in found for scope in one.scope_metrics for metric in scope.metrics]
        assert all(metric.name.startswith((PREFIX, *OTHERS)) for metric in metrics)
        return {metric.name.removeprefix(PREFIX): metric for metric in metrics}

    def points(self, name: str) -> list[Any]:
        metric = self.collect().get(name)
        return [] if metric is None else list(metric.data.data_points)

    def values(self, name: str, *attributes: str) -> dict[tuple[Any, ...], float]:
        """Give the values of a metric by some of its attributes."""
        found: dict[tuple[Any, ...], float] = {}
        for point in self.points(name):
            assert isinstance(point, NumberDataPoint)
            named = point.attributes or {}
            found[tuple(named.get(one) for one in attributes)] = point.value
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.provider.shutdown()


@pytest.fixture
def metrics(collector: Collector) -> KeyMetrics:
    return KeyMetrics(collector.meter)


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(KEY) as endpoint:
        yield endpoint


@pytest.fixture
def cache(endpoint: SimulatedEndpoint, metrics: KeyMetrics) -> KeyCache:
    return endpoint.cache(listener=metrics)


def miss(cache: KeyCache, kid: str) -> None:
    with pytest.raises(SignatureError):
        cache.get(kid)


class TestPolicies:
    def test_looks_are_counted_by_outcome_and_by_where_they_failed(
        self, collector: Collector, tmp_path: Path
    ) -> None:
        watched = WatchedFile(tmp_path / "policy.json", listener=PolicyMetrics(collector.meter, then=None))
        for members in (["allUsers"], []):
            watched.write(*members)
            watched.pass_time(5.0)
            watched.look()
        watched.pass_time(5.0)
        watched.look()
        watched.path.unlink()
        watched.pass_time(5.0)
        watched.look()

        path = str(watched.path)
        assert {
            (path, "changed", None): 2,
            (path, "unchanged", None): 1,
            (path, "failed", "read"): 1,
        } == collector.values("doorward.policy.looks", "file.path", "doorward.outcome", "error.type")
        assert {(path, "fresh", "stale"): 1} == collector.values(
            "doorward.policy.state_changes", "file.path", "doorward.before", "doorward.after"
        )

    def test_the_age_and_the_state_of_an_observed_policy_are_reported(
        self, collector: Collector, tmp_path: Path
    ) -> None:
        metrics = PolicyMetrics(collector.meter)
        watched = WatchedFile(tmp_path / "policy.json", listener=metrics)
        metrics.observe(watched.policy)
        watched.path.unlink()
        watched.pass_time(3_600.0)
        assert not watched.decide().granted

        assert {(str(watched.path),): 3_600.0} == collector.values("doorward.policy.age", "file.path")
        states = collector.values("doorward.policy.state", "doorward.state")
        assert {("empty",): 0, ("fresh",): 0, ("ageing",): 0, ("stale",): 0, ("dead",): 1} == states

    def test_an_event_is_passed_on(self, collector: Collector, tmp_path: Path) -> None:
        events: list[PolicyEvent] = []
        metrics = PolicyMetrics(collector.meter, then=events.append)
        watched = WatchedFile(tmp_path / "policy.json", listener=metrics)
        watched.pass_time(5.0)
        watched.look()

        assert [LookFinished] == [type(event) for event in events]


class TestCounters:
    def test_fetches_are_counted_by_outcome_and_trigger(
        self, endpoint: SimulatedEndpoint, collector: Collector, cache: KeyCache
    ) -> None:
        cache.warm()
        cache.refresh()
        cache.refresh()
        miss(cache, "unknown")
        join_fetches()

        assert {
            ("changed", "cold"): 1,
            ("not_modified", "asked"): 2,
            ("not_modified", "unknown_kid"): 1,
        } == collector.values("fetches", "doorward.outcome", "doorward.trigger")

    def test_fetches_that_fail_are_counted_by_where_they_failed(
        self, endpoint: SimulatedEndpoint, collector: Collector, cache: KeyCache
    ) -> None:
        for behave in (endpoint.fail, endpoint.private, endpoint.private):
            behave()
            with pytest.raises(KeysUnavailableError):
                cache.refresh()
        join_fetches()

        assert {("failed", "status"): 1, ("failed", "content"): 2} == collector.values(
            "fetches", "doorward.outcome", "error.type"
        )
        assert {("content",): 2} == collector.values("refused_sets", "error.type")

    def test_uses_of_stale_keys_are_counted(
        self, endpoint: SimulatedEndpoint, collector: Collector, cache: KeyCache
    ) -> None:
        cache.warm()
        endpoint.fail()
        endpoint.pass_time(SOFT)
        for _ in range(3):
            cache.get(KEY.kid)
        join_fetches()

        assert {(): 3} == collector.values("stale_uses")

    def test_unknown_key_ids_are_counted_by_outcome_and_not_by_their_names(
        self, collector: Collector, cache: KeyCache
    ) -> None:
        cache.warm()
        for index in range(5):
            miss(cache, f"unknown-{index}")
        miss(cache, "unknown-0")
        join_fetches()

        assert {("absent",): 3, ("no_budget",): 2, ("remembered",): 1} == collector.values(
            "unknown_kids", "doorward.outcome"
        )
        assert "unknown-0" not in str(collector.collect())

    def test_changes_of_the_state_are_counted_by_both_states(
        self, endpoint: SimulatedEndpoint, collector: Collector, cache: KeyCache
    ) -> None:
        cache.warm()
        join_fetches()
        for _ in range(2):
            endpoint.pass_time(SOFT)
            cache.get(KEY.kid)
            join_fetches()

        assert {("empty", "fresh"): 1, ("fresh", "stale"): 2, ("stale", "fresh"): 2} == collector.values(
            "state_changes", "doorward.before", "doorward.after"
        )

    def test_keys_of_another_process_are_counted_by_why_they_were_needed(
        self, endpoint: SimulatedEndpoint, collector: Collector, metrics: KeyMetrics, tmp_path: Path
    ) -> None:
        caches = [endpoint.cache(listener=metrics, snapshot=tmp_path / "keys.json") for _ in range(2)]
        for cache in caches:
            cache.get(KEY.kid)
            join_fetches()

        assert {("cold",): 1} == collector.values("snapshots_taken", "doorward.trigger")
        assert {("changed",): 1} == collector.values("fetches", "doorward.outcome")

    def test_requests_that_did_not_wait_are_counted(self, collector: Collector, metrics: KeyMetrics) -> None:
        for _ in range(3):
            metrics(WaitRefused("https://keys.example/certs"))

        assert {(): 3} == collector.values("refused_waits")

    def test_a_fetch_that_has_only_started_is_not_counted(
        self, collector: Collector, metrics: KeyMetrics
    ) -> None:
        metrics(FetchStarted("https://keys.example/certs", "cold"))

        assert {} == collector.collect()


class TestDuration:
    def test_the_time_that_fetches_take_is_measured_in_seconds(
        self, endpoint: SimulatedEndpoint, collector: Collector, cache: KeyCache
    ) -> None:
        gate = endpoint.hang()
        asking = background(cache.warm)
        endpoint.await_fetch()
        endpoint.pass_time(2.0)
        gate.set()
        asking.result(10)
        join_fetches()
        (point,) = collector.points("fetch.duration")

        assert isinstance(point, HistogramDataPoint)
        assert (1, 2.0, "changed") == (point.count, point.sum, (point.attributes or {})["doorward.outcome"])
        assert "s" == collector.collect()["fetch.duration"].unit

    def test_the_buckets_are_those_of_seconds(
        self, endpoint: SimulatedEndpoint, collector: Collector, cache: KeyCache
    ) -> None:
        cache.warm()
        join_fetches()
        (point,) = collector.points("fetch.duration")

        assert (0.005, 0.01) == tuple(point.explicit_bounds[:2])
        assert 10.0 == point.explicit_bounds[-1]


class TestAttributes:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://www.googleapis.com/oauth2/v3/certs", ("www.googleapis.com", 443, "/oauth2/v3/certs")),
            ("https://keys.example:8443/certs?key=made-up-secret", ("keys.example", 8443, "/certs")),
            ("http://localhost/certs", ("localhost", 80, "/certs")),
            ("http://[::1]:8099/certs", ("::1", 8099, "/certs")),
        ],
    )
    def test_an_endpoint_is_named_as_the_conventions_do_and_without_its_query(
        self, collector: Collector, metrics: KeyMetrics, url: str, expected: tuple[str, int, str]
    ) -> None:
        metrics(StaleUsed(url, 4_000.0))
        (point,) = collector.points("stale_uses")

        names = ("server.address", "server.port", "url.path")
        assert dict(zip(names, expected, strict=True)) == dict(point.attributes)

    def test_two_caches_may_share_one_listener(self, collector: Collector, metrics: KeyMetrics) -> None:
        metrics(StaleUsed("https://keys.example/a", 4_000.0))
        metrics(StaleUsed("https://keys.example/b", 4_000.0))
        metrics(StaleUsed("https://keys.example/b", 4_000.0))

        assert {("/a",): 1, ("/b",): 2} == collector.values("stale_uses", "url.path")


def current(collector: Collector) -> str:
    """Return the one state that is reported as 1, where all are reported."""
    states = collector.values("state", "doorward.state")
    assert {(state.value,) for state in KeyState} == set(states)
    assert [0, 0, 0, 0, 1] == sorted(states.values())
    (name,) = [str(name) for (name,), value in states.items() if value]
    return name


class TestGauges:
    def test_the_age_of_a_cache_is_reported_at_each_collection(
        self, endpoint: SimulatedEndpoint, collector: Collector, metrics: KeyMetrics, cache: KeyCache
    ) -> None:
        metrics.observe(cache)
        assert {} == collector.values("age")
        cache.warm()
        assert {("127.0.0.1", "/certs"): 0.0} == collector.values("age", "server.address", "url.path")
        endpoint.pass_time(90.0)
        assert {("/certs",): 90.0} == collector.values("age", "url.path")

    def test_the_state_of_a_cache_is_one_among_all(
        self, endpoint: SimulatedEndpoint, collector: Collector, metrics: KeyMetrics, cache: KeyCache
    ) -> None:
        metrics.observe(cache)
        seen = [current(collector)]
        cache.warm()
        join_fetches()
        for passed in (0.0, SOFT - 1, 1.0, 90_000.0):
            endpoint.pass_time(passed)
            seen.append(current(collector))

        assert ["empty", "fresh", "ageing", "stale", "dead"] == seen

    def test_fetches_that_hang_can_be_seen(
        self, endpoint: SimulatedEndpoint, collector: Collector, metrics: KeyMetrics, cache: KeyCache
    ) -> None:
        metrics.observe(cache)
        cache.warm()
        gate = endpoint.hang()
        seen = []
        for _ in range(3):
            endpoint.pass_time(3_600.0)
            cache.get(KEY.kid)
            seen.append(collector.values("hanging")[()])
        gate.set()
        join_fetches()

        assert [0, 1, 2] == seen
        assert {(): 0} == collector.values("hanging")

    def test_a_cache_that_was_not_observed_is_not_reported(
        self, collector: Collector, cache: KeyCache
    ) -> None:
        cache.warm()
        join_fetches()

        assert not {"age", "state"} & set(collector.collect())

    def test_a_cache_observed_twice_is_reported_once(
        self, collector: Collector, metrics: KeyMetrics, cache: KeyCache
    ) -> None:
        metrics.observe(cache)
        metrics.observe(cache)

        assert len(KeyState) == len(collector.points("state"))

    def test_a_cache_that_was_dropped_is_not_kept_alive(
        self, endpoint: SimulatedEndpoint, collector: Collector, metrics: KeyMetrics
    ) -> None:
        cache = endpoint.cache(listener=metrics)
        metrics.observe(cache)
        cache.warm()
        join_fetches()
        assert 1 == len(collector.points("age"))
        dropped = weakref.ref(cache)
        del cache
        gc.collect()

        assert dropped() is None
        assert not {"age", "state"} & set(collector.collect())


class TestPassingOn:
    EVENT = UnknownKid("https://keys.example/certs", "absent")

    def test_events_are_logged_by_default(
        self, metrics: KeyMetrics, caplog: pytest.LogCaptureFixture
    ) -> None:
        metrics(StateChanged("https://keys.example/certs", KeyState.FRESH, KeyState.STALE))

        expected = "the keys of https://keys.example/certs are stale"
        assert [("doorward.keys", logging.WARNING, expected)] == caplog.record_tuples

    def test_events_go_on_to_another_listener(self, collector: Collector) -> None:
        received: list[KeyEvent] = []
        KeyMetrics(collector.meter, then=received.append)(self.EVENT)

        assert [self.EVENT] == received
        assert {(): 1} == collector.values("unknown_kids")

    def test_events_may_end_here(self, collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "doorward")
        KeyMetrics(collector.meter, then=None)(self.EVENT)

        assert [] == caplog.records
        assert {(): 1} == collector.values("unknown_kids")

    def test_what_the_next_listener_raises_is_counted_all_the_same(
        self, endpoint: SimulatedEndpoint, collector: Collector, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_: KeyEvent) -> None:
            raise LookupError

        cache = endpoint.cache(listener=KeyMetrics(collector.meter, then=broken))
        assert KEY.kid == cache.get(KEY.kid).kid
        join_fetches()

        assert {("changed",): 1} == collector.values("fetches", "doorward.outcome")
        assert "the listener failed on FetchFinished" in caplog.text


class TestWithoutTheSdk:
    def test_without_a_provider_nothing_is_measured_and_nothing_breaks(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        metrics = KeyMetrics()
        cache = endpoint.cache(listener=metrics)
        metrics.observe(cache)

        assert KEY.kid == cache.get(KEY.kid).kid

    def test_a_meter_that_does_nothing_will_do(self, endpoint: SimulatedEndpoint) -> None:
        metrics = KeyMetrics(NoOpMeter("tests"))
        cache = endpoint.cache(listener=metrics)
        metrics.observe(cache)

        assert KEY.kid == cache.get(KEY.kid).kid

    @forking
    def test_a_child_observes_while_another_thread_of_its_parent_does(
        self, endpoint: SimulatedEndpoint
    ) -> None:
        metrics = KeyMetrics(NoOpMeter("tests"))
        metrics.observe(endpoint.cache())

        def child() -> object:
            metrics.observe(cache := endpoint.cache())
            return cache in set(metrics._caches)

        with held_elsewhere(metrics._caches._lock):
            assert forked(child)

    def test_a_missing_package_is_named_with_its_extra(self, tmp_path: Path) -> None:
        last = imported("sys.modules['opentelemetry'] = None", tmp_path)

        expected = "doorward.extras.MissingExtraError: metrics and spans need opentelemetry-api: "
        assert f"{expected}pip install 'doorward[otel]'" == last

    def test_another_package_that_is_missing_is_not_mistaken_for_it(self, tmp_path: Path) -> None:
        package = tmp_path / "opentelemetry"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "metrics.py").write_text("import a_package_that_is_not_there")

        expected = "ModuleNotFoundError: No module named 'a_package_that_is_not_there'"
        assert expected == imported("pass", tmp_path)

    def test_only_the_api_is_imported(self, tmp_path: Path) -> None:
        assert "False" == imported("pass", tmp_path, "print('opentelemetry.sdk' in sys.modules)")


def imported(before: str, path: Path, after: str = "") -> str:
    """Import the module in a process that looks into that folder first; give the last line it writes."""
    code = f"import sys\n{before}\nimport doorward_integrations.opentelemetry\n{after}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).splitlines()[-1]


# The door.


def test_the_decisions_of_a_door_are_counted_by_outcome_and_reason(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    world, seen = World(), list[Decided]()
    metrics = DoorMetrics(collector.meter, then=seen.append)
    policy = InvokerPolicy.from_members([MEMBER])
    door = Door(world.verifier(), policy, exempt=[("GET", "/healthz")], listener=metrics)
    good = [(b"authorization", b"Bearer " + world.token().encode())]

    for _ in range(3):
        door.admit(good, PlainRequest("/"))
    door.admit([], PlainRequest("/healthz"))
    for _ in range(500):
        door.admit([], PlainRequest("/"))
    Door(world.verifier(), InvokerPolicy.all_users(), listener=metrics).admit([], PlainRequest("/"))

    attributes = ("doorward.outcome", "doorward.reason", "http.response.status_code")
    assert {
        ("admitted", None, None): 3,
        ("exempt", None, None): 1,
        ("refused", "no_credential", 403): 500,
        ("anonymous", None, None): 1,
    } == collector.values(DECISIONS, *attributes)
    assert 505 == len(seen)
    assert 500 > len(caplog.messages)
