"""Caches of several processes over one snapshot: each is made as its process would make it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doorward import KeyCache, KeysUnavailableError, Reason
from doorward.errors import SignatureError
from doorward.keys.events import FetchFinished, FetchStarted, SnapshotTaken
from doorward.keys.state import KeyState
from support.simulator import (
    APIS,
    PATIENCE,
    Api,
    SimulatedEndpoint,
    background,
    join_all_but_one,
    join_fetches,
)
from support.tokens import SigningKey, jwks

KEY = SigningKey("key-1")
OTHER = SigningKey("key-2")
STALE_AFTER = 3_600.0

posix = pytest.mark.skipif(os.name != "posix", reason="locks, modes and pipes are POSIX's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def process(endpoint: SimulatedEndpoint, path: Path) -> Any:
    """Make a cache as another process makes it, over the same file."""

    def make(**settings: Any) -> KeyCache:
        return endpoint.cache(snapshot=path, **settings)

    return make


def hanging(api: Api, endpoint: SimulatedEndpoint, process: Any) -> KeyCache:
    """Make a cache whose first fetch hangs for so long that the next read gives it up."""
    cache: KeyCache = process(patience=0.02)
    endpoint.hang()
    fails(api, cache)
    endpoint.await_fetch()
    endpoint.pass_time(31)
    endpoint.heal()
    cache._patience = PATIENCE  # type: ignore[misc]  # it is final to all but a test
    return cache


def fails(api: Api, cache: KeyCache, kid: str = "key-1") -> KeysUnavailableError:
    with pytest.raises(KeysUnavailableError) as refusal:
        api.get(cache, kid)
    return refusal.value


class TestTakingWhatAnotherHasFetched:
    def test_a_process_that_started_empty_needs_no_fetch(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        first, second = process(), process()
        first.warm()
        join_fetches()
        endpoint.fail()
        assert KeyState.EMPTY is second.state
        assert "key-1" == api.get(second, "key-1").kid
        assert 1 == endpoint.fetches
        assert 1 == second.health()["snapshots_taken"]
        assert [SnapshotTaken(endpoint.url, "cold", 0.0, ("key-1",))] == endpoint.events_of(SnapshotTaken)

    def test_a_process_in_the_pause_after_a_failure_takes_it_at_once(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        second = process()
        endpoint.throttle(300)
        fails(api, second)
        endpoint.heal()
        process().refresh()
        join_fetches()
        assert "key-1" == api.get(second, "key-1").kid
        assert (2, False) == (endpoint.fetches, second.cooling_down)

    def test_a_look_in_the_pause_that_finds_nothing_is_no_fetch_and_no_failure(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        cache = process()
        endpoint.throttle(300)
        for _ in range(5):
            assert 0.0 < fails(api, cache).retry_after <= 5.0
        assert (1, 1, 1) == (
            endpoint.fetches,
            cache.health()["failures"],
            cache.health()["fetches"]["failed"],
        )
        assert 1 == len(endpoint.events_of(FetchStarted))

    def test_a_refresh_is_made_once_for_all(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        caches = [process() for _ in range(5)]
        caches[0].warm()
        join_fetches()
        for age in (0.0, STALE_AFTER - 1, STALE_AFTER - 1):
            endpoint.pass_time(age)
            for cache in caches:
                assert "key-1" == api.get(cache, "key-1").kid
                join_fetches()
        assert 3 == endpoint.fetches
        assert {KeyState.FRESH} == {cache.state for cache in caches}

    def test_a_key_that_another_process_has_found_is_found_without_a_fetch(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        first, second = process(), process()
        first.warm()
        api.get(second, "key-1")
        endpoint.rotate(KEY, OTHER)
        endpoint.pass_time(1)
        first.get("key-2")
        join_fetches()
        assert "key-2" == api.get(second, "key-2").kid
        assert 2 == endpoint.fetches

    def test_a_key_that_an_older_snapshot_lacks_is_still_asked_for(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        """What was published before says nothing of a key that came later."""
        first, second = process(), process()
        first.warm()
        api.get(second, "key-1")
        endpoint.pass_time(1)
        endpoint.rotate(KEY, SigningKey("key-3"))
        first.refresh()
        join_fetches()
        endpoint.rotate(KEY, OTHER)
        assert "key-2" == api.get(second, "key-2").kid
        with pytest.raises(SignatureError) as refusal:
            api.get(second, "key-3")
        assert Reason.UNKNOWN_KEY is refusal.value.reason

    def test_a_key_withdrawn_meanwhile_is_gone_with_the_snapshot_of_another(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        first, second = process(), process()
        first.warm()
        api.get(second, "key-1")
        endpoint.rotate(OTHER)
        endpoint.pass_time(STALE_AFTER)
        first.refresh()
        join_fetches()
        endpoint.fail()
        second.keys(endpoint.wall.now)
        join_fetches()
        assert ["key-2"] == second.health()["kids"]
        fails(api, second, "key-1")

    def test_an_older_snapshot_replaces_nothing(
        self, endpoint: SimulatedEndpoint, process: Any, path: Path, api: Api
    ) -> None:
        cache = process()
        cache.warm()
        join_fetches()
        older = path.read_bytes()
        endpoint.pass_time(10)
        endpoint.rotate(OTHER)
        cache.refresh()
        join_fetches()
        path.write_bytes(older)
        endpoint.pass_time(STALE_AFTER)
        endpoint.fail()
        cache.keys(endpoint.wall.now)
        join_fetches()
        assert ["key-2"] == cache.health()["kids"]

    def test_a_snapshot_replaces_a_seed(self, endpoint: SimulatedEndpoint, process: Any, api: Api) -> None:
        first, second = process(), process()
        first.warm()
        join_fetches()
        second.seed(jwks(OTHER))
        assert "key-2" == api.get(second, "key-2").kid
        join_fetches()
        assert (["key-1"], KeyState.FRESH, 1) == (second.health()["kids"], second.state, endpoint.fetches)

    def test_a_refresh_that_is_asked_for_asks_the_endpoint(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        first, second = process(), process()
        first.warm()
        join_fetches()
        api.refresh(second)
        assert 2 == endpoint.fetches

    def test_a_look_at_the_snapshot_is_no_answer_to_a_refresh(
        self, endpoint: SimulatedEndpoint, process: Any
    ) -> None:
        cache = process()
        endpoint.fail()
        fails(APIS[0], cache)
        join_fetches()
        since = cache._updater.flights.started  # a refresh that begins now
        fails(APIS[0], cache)  # in the pause after the failure, this only looks at the snapshot
        join_fetches()
        assert (since + 1, 1) == (cache._updater.flights.started, endpoint.fetches)
        flight = cache._flight_for("asked", since)
        assert (flight is not None, "asked") == (True, flight.trigger)
        join_fetches()
        assert 2 == endpoint.fetches

    def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
        self,
        endpoint: SimulatedEndpoint,
        process: Any,
        path: Path,
        api: Api,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        process().warm()
        join_fetches()
        path.chmod(0o666)
        cache = process()
        endpoint.throttle(300)
        for _ in range(3):
            fails(api, cache)
        warnings = [one for one in caplog.records if "others may write" in one.getMessage()]
        assert 1 == len(warnings)
        path.chmod(0o600)
        assert "key-1" == api.get(cache, "key-1").kid


class TestOneAtATime:
    def test_a_process_waits_for_the_fetch_of_another_and_takes_its_keys(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        gate = endpoint.hang()
        first = background(process().get, "key-1")
        endpoint.await_fetch()
        second = background(api.get, process(), "key-1")
        gate.set()
        assert ["key-1", "key-1"] == [one.result(PATIENCE).kid for one in (first, second)]
        assert 1 == endpoint.fetches

    def test_its_failure_counts_for_all_until_its_pause_is_over(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        endpoint.throttle(2)
        caches = [process() for _ in range(4)]
        pauses = []
        for cache in caches:
            pauses.append(fails(api, cache).retry_after)
            join_fetches()
        assert pytest.approx([2.0] * 4) == pauses
        assert 1 == endpoint.fetches
        assert "another process" in str(caches[1].health()["last_error"])
        assert 0 == caches[1].health()["fetches"]["failed"]
        endpoint.heal()
        endpoint.pass_time(2.1)
        assert ["key-1"] * 4 == [api.get(cache, "key-1").kid for cache in caches]
        assert 1 == len([event for event in endpoint.events_of(FetchFinished) if event.error is None])

    def test_the_long_pause_of_a_process_with_keys_is_short_for_one_without(
        self, endpoint: SimulatedEndpoint, process: Any, path: Path, api: Api
    ) -> None:
        first = process()
        first.warm()
        join_fetches()
        endpoint.throttle(300)
        with pytest.raises(KeysUnavailableError):
            first.refresh()
        join_fetches()
        path.unlink()
        second = process()
        assert fails(api, second).retry_after <= 5.0
        assert 2 == endpoint.fetches
        endpoint.heal()
        endpoint.pass_time(5)
        assert "key-1" == api.get(second, "key-1").kid

    def test_a_holder_that_hangs_is_waited_for_within_a_bound(
        self, endpoint: SimulatedEndpoint, process: Any, path: Path, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("doorward.keys.caching.obtaining._LONGEST_WAIT", 0.05)
        with held_by_another(path):
            assert "key-1" == api.get(process(), "key-1").kid

    def test_a_fetch_that_is_given_up_lets_the_others_have_their_turn(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api
    ) -> None:
        first, second = hanging(api, endpoint, process), process()
        assert "key-1" == api.get(first, "key-1").kid
        join_follow_up_of(first)
        assert "key-1" == api.get(second, "key-1").kid

    def test_where_no_thread_could_end_the_turn_of_a_given_up_fetch_the_next_fetch_does(
        self, endpoint: SimulatedEndpoint, process: Any, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = hanging(api, endpoint, process), process()
        with monkeypatch.context() as patched:
            patched.setattr("doorward.keys.listening.threading", SimpleNamespace(Thread=no_thread))
            assert "key-1" == api.get(first, "key-1").kid
        join_all_but_one()
        turn = second._updater._obtainer._sharing.try_turn()
        assert turn is not None
        turn.end()

    @posix
    @pytest.mark.parametrize("wrong", ["folder", "link", "pipe", "mode"])
    def test_a_lock_file_that_is_none_is_not_used_and_not_waited_for(
        self,
        endpoint: SimulatedEndpoint,
        process: Any,
        path: Path,
        api: Api,
        *,
        wrong: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        lock = path.with_name("keys.json.lock")
        if wrong == "folder":
            lock.mkdir()
        elif wrong == "link":
            lock.symlink_to(path.with_name("elsewhere"))
        elif wrong == "pipe":
            os.mkfifo(lock, 0o600)
        else:
            lock.touch()
            lock.chmod(0o666)
        for _ in range(2):
            assert "key-1" == api.get(process(), "key-1").kid
            join_fetches()
        assert 1 == endpoint.fetches
        assert "processes do not share" in caplog.text
        assert not path.with_name("elsewhere").exists()

    @pytest.mark.parametrize(
        "note", [b"rubbish", b"1 2", b"nan nan nan", b"9e99 9e99 9e99", b"1 2 9e99", b"\xff" * 200]
    )
    def test_what_a_killed_process_has_noted_delays_nothing(
        self, process: Any, path: Path, api: Api, note: bytes
    ) -> None:
        lock = path.with_name("keys.json.lock")
        lock.write_bytes(note)
        lock.chmod(0o600)
        assert "key-1" == api.get(process(), "key-1").kid


def no_thread(**_: Any) -> threading.Thread:
    raise RuntimeError("can't start new thread")


def join_follow_up_of(cache: KeyCache) -> None:
    assert cache._updater._storing is not None
    cache._updater._storing.finish(PATIENCE)


@contextlib.contextmanager
def held_by_another(path: Path) -> Iterator[None]:
    fcntl = pytest.importorskip("fcntl")
    with open(f"{path}.lock", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@posix
class TestFileSystemsThatHang:
    def test_a_look_that_does_not_end_costs_two_seconds_once_and_no_keys(
        self,
        endpoint: SimulatedEndpoint,
        process: Any,
        api: Api,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        let_go = threading.Event()
        stat = os.stat

        def hang(*args: Any, **kwargs: Any) -> os.stat_result:
            assert let_go.wait(PATIENCE)
            return stat(*args, **kwargs)

        monkeypatch.setattr("doorward.keys.caching.sharing._LOOK", 0.02)
        monkeypatch.setattr("doorward.keys.caching.snapshot.os.stat", hang)
        cache = process()
        for _ in range(3):
            assert "key-1" == api.get(cache, "key-1").kid
            api.refresh(cache)
        join_fetches()
        hanging = [one for one in threading.enumerate() if one.name == "doorward-keys-file"]
        assert (1, 4) == (len(hanging), endpoint.fetches)
        assert 2 >= sum("its file system hangs" in one.getMessage() for one in caplog.records)
        let_go.set()
        hanging[0].join(PATIENCE)

    def test_a_pipe_in_the_place_of_the_snapshot_stops_nothing(
        self, process: Any, path: Path, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        os.mkfifo(path, 0o600)
        assert "key-1" == api.get(process(), "key-1").kid
        join_fetches()
        assert "it is a named pipe" in caplog.text
        assert path.is_file()

    def test_a_write_that_hangs_holds_up_one_thread_and_no_later_fetch(
        self, endpoint: SimulatedEndpoint, process: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, let_go = threading.Event(), threading.Event()

        def hang(_: int) -> None:
            begun.set()
            assert let_go.wait(PATIENCE)

        monkeypatch.setattr(os, "fsync", hang)
        cache = process()
        cache.warm()
        assert begun.wait(PATIENCE)
        for _ in range(5):
            endpoint.pass_time(1)
            cache.refresh()
        try:
            join_all_but_one()
        finally:
            let_go.set()
        join_fetches()
        assert KeyState.FRESH is process().state
