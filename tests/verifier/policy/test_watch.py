"""Policies that follow a file: what a request gets, and what an operator sees."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doorward import ConfigurationError, Door, InvokerPolicy, PolicyError, WatchedPolicy
from doorward.door.door import Admission
from doorward.door.refusal import Refusal
from doorward.keys.flight import Flight
from doorward.policy.watching.events import LookFinished
from support.forks import forked, forking, held_elsewhere
from support.policies import principal
from support.simulator import APIS, PATIENCE, Api, background, join_fetches
from support.tokens import MEMBER
from support.watching import WatchedFile, write_policy
from support.world import World

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no such files")
each_api = pytest.mark.parametrize("api", APIS, ids=str)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.json"


@pytest.fixture
def watched(path: Path) -> WatchedFile:
    return WatchedFile(path)


# Starting.


def test_the_file_is_read_when_the_source_is_made(path: Path) -> None:
    write_policy(path, MEMBER)
    assert WatchedPolicy(path).current.decide(principal(), None, 0.0).granted  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="absent"):
        WatchedPolicy(path.with_name("absent.json"))
    path.write_text("{")
    with pytest.raises(PolicyError, match=r"policy\.json"):
        WatchedPolicy(path)


@needs_posix
def test_a_pipe_in_the_place_of_the_first_file_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)

    with pytest.raises(ConfigurationError, match="cannot be read: it is a named pipe"):
        WatchedPolicy(path)


@pytest.mark.parametrize(
    "settings",
    [{"check_every": value} for value in (-1.0, math.nan, math.inf)]
    + [{"max_stale": value} for value in (-1.0, math.nan)],
    ids=repr,
)
def test_a_time_that_cannot_work_is_refused(path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(settings))} must be 0 or more seconds"):
        WatchedFile(path, **settings)


def test_the_settings_are_used_on_every_reading(path: Path) -> None:
    write_policy(path, "group:g@x.com")
    watched = WatchedFile(path, groups={"g@x.com": []})
    assert not watched.granted

    watched.write("group:g@x.com", MEMBER)
    watched.pass_time(5.0)
    assert watched.granted


def test_whatever_makes_a_policy_of_the_file_can_be_passed(path: Path) -> None:
    watched = WatchedFile(path, load=lambda file: InvokerPolicy.join(InvokerPolicy.from_file(file)))

    assert watched.granted
    with pytest.raises(ConfigurationError, match="beside"):
        WatchedPolicy(path, load=InvokerPolicy.from_file, permission="run.routes.invoke")


def test_what_is_no_policy_is_not_taken_for_one(path: Path) -> None:
    made: list[Any] = [InvokerPolicy.all_users(), None]
    watched = WatchedFile(path, load=lambda _: made.pop(0))
    watched.write()
    watched.pass_time(5.0)

    assert watched.granted
    assert "load must return an InvokerPolicy" in str(watched.policy.last_error)
    with pytest.raises(ConfigurationError, match="not NoneType"):
        WatchedFile(path, load=lambda _: None)


# Following.


def test_a_change_is_seen_once_it_is_time_to_look(watched: WatchedFile) -> None:
    watched.write()

    watched.pass_time(4.9)
    assert watched.granted
    watched.pass_time(0.1)
    assert not watched.granted
    assert (["changed"], []) == (watched.outcomes, watched.states)


def test_a_file_that_did_not_change_is_not_loaded_again(watched: WatchedFile) -> None:
    before = watched.policy.current

    for _ in range(3):
        watched.pass_time(5.0)
        watched.look()

    assert before is watched.policy.current
    assert ["unchanged"] * 3 == watched.outcomes


def test_the_request_that_starts_a_look_does_not_wait_for_it(watched: WatchedFile) -> None:
    before = watched.policy.current
    watched.write()
    watched.pass_time(5.0)

    assert before is watched.policy.current
    join_fetches()
    assert before is not watched.policy.current


@each_api
@pytest.mark.parametrize("members", [["allUsers"], [MEMBER]], ids=repr)
def test_after_a_time_without_requests_the_first_one_is_decided_by_the_file_as_it_is(
    path: Path, world: World, api: Api, members: list[str]
) -> None:
    write_policy(path, *members)
    watched = WatchedFile(path)
    door = Door(world.verifier(), watched.policy)
    token: Any = [(b"authorization", b"Bearer " + world.token().encode())]
    for headers in (token, [] if members == ["allUsers"] else token):
        watched.write(*members)
        watched.pass_time(3_600.0 * 24)
        assert isinstance(api.admit(door, headers), Admission)
        watched.write()
        watched.pass_time(10.0)
        assert isinstance(api.admit(door, headers), Refusal)


def test_a_policy_can_be_looked_at_with_each_request(path: Path) -> None:
    watched = WatchedFile(path, check_every=0.0)

    for members in ([], [MEMBER], [], [MEMBER]):
        join_fetches()  # the look of the request before
        watched.write(*members)
        assert bool(members) is watched.granted


def test_an_instance_that_was_frozen_finds_out_that_time_has_passed(watched: WatchedFile) -> None:
    watched.write()
    watched.wall.move(3_600.0)  # the monotonic clock stood still

    assert not watched.decide().granted


def test_a_wall_clock_that_is_set_back_delays_no_look(watched: WatchedFile) -> None:
    watched.write()
    watched.wall.move(-86_400.0)
    watched.monotonic.move(5.0)

    assert not watched.granted


def test_a_file_that_is_edited_in_place_with_the_same_size_and_time_is_read(watched: WatchedFile) -> None:
    size = watched.path.stat().st_size
    watched.keeping_times(lambda: watched.write(MEMBER.replace("caller", "callas")))
    assert size == watched.path.stat().st_size

    watched.pass_time(5.0)
    assert not watched.granted


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_is_read(watched: WatchedFile) -> None:
    def replace() -> None:
        other = watched.path.with_suffix(".new")
        write_policy(other, MEMBER.replace("caller", "callas"))
        other.replace(watched.path)

    watched.keeping_times(replace)

    watched.pass_time(5.0)
    assert not watched.granted


def test_a_file_whose_times_never_change_is_read(
    watched: WatchedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of the file system that is coarse, or set back, and a file system that keeps no times."""
    frozen = watched.path.stat()
    monkeypatch.setattr(os, "stat", lambda *_, **__: frozen)
    monkeypatch.setattr(os, "fstat", lambda *_: frozen)
    watched.pass_time(5.0)
    assert watched.granted
    watched.write(MEMBER.replace("caller", "callas"))

    watched.pass_time(5.0)
    assert not watched.granted


def test_no_change_is_lost_that_follows_another_at_once(watched: WatchedFile) -> None:
    for _ in range(20):
        watched.write(MEMBER)
        watched.pass_time(5.0)
        assert watched.granted
        watched.write()
        watched.pass_time(5.0)
        assert not watched.granted


def test_a_link_that_is_changed_to_another_file_is_followed(path: Path, tmp_path: Path) -> None:
    """A ConfigMap of Kubernetes is replaced so."""
    for name, members in (("old", [MEMBER]), ("new", [])):
        write_policy(tmp_path / name, *members)
    path.symlink_to("old")
    watched = WatchedFile(path)
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(path)

    watched.pass_time(5.0)
    assert not watched.granted


def test_a_file_that_changes_while_it_is_loaded_is_loaded_again(path: Path) -> None:
    """Also if it is changed back, so that its content is the one that was looked at."""
    between: list[list[str]] = []

    def load(file: Path) -> InvokerPolicy:
        if not between:
            return InvokerPolicy.from_file(file)
        write_policy(file, *between.pop())
        policy = InvokerPolicy.from_file(file)
        write_policy(file)
        os.utime(file, ns=(0, 1))
        return policy

    watched = WatchedFile(path, load=load)
    between.append([MEMBER])
    watched.write()
    watched.pass_time(5.0)
    watched.look()
    watched.pass_time(5.0)

    assert not watched.granted


def test_a_door_follows_the_file_even_for_tokens_it_has_seen(watched: WatchedFile, world: World) -> None:
    door = Door(world.verifier(), watched.policy)
    headers: Any = [(b"authorization", b"Bearer " + world.token().encode())]

    assert isinstance(door.admit(headers), Admission)
    watched.write()
    watched.pass_time(5.0)
    watched.look()
    assert isinstance(door.admit(headers), Refusal)
    assert door.admit_cached(headers, "GET", "/") is None


# A file that cannot be taken.


def absent(path: Path) -> None:
    del path


def broken(path: Path) -> None:
    path.write_text('{"bindings": 7}')


def half_written(path: Path) -> None:
    path.write_text('{"bindings": [{"role": "roles/run.invoker", "mem')


def empty(path: Path) -> None:
    path.touch()


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10_000_000_000)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


each_fault = pytest.mark.parametrize(
    ("make", "error"),
    [
        (absent, "No such file or directory"),
        (broken, "'bindings' must be a list"),
        (half_written, "not a policy in JSON"),
        (empty, "not a policy in JSON"),
        (too_large, "10,000,000,000 bytes"),
        pytest.param(Path.mkdir, "it is a directory", marks=needs_posix),
        pytest.param(pipe, "it is a named pipe", marks=needs_posix),
        pytest.param(link_to_itself, "symbolic links", marks=needs_posix),
    ],
)


@each_fault
def test_a_file_that_cannot_be_taken_leaves_the_last_good_policy_and_is_looked_at_again(
    watched: WatchedFile, make: Callable[[Path], None], error: str
) -> None:
    watched.replace(make)
    watched.pass_time(5.0)
    assert watched.granted
    assert error in str(watched.policy.last_error)
    assert ("stale", True) == (watched.state, watched.policy.ready)
    watched.path.rmdir() if watched.path.is_dir() else watched.path.unlink(missing_ok=True)

    watched.write()
    watched.pass_time(5.0)
    assert not watched.granted
    assert ("fresh", None) == (watched.state, watched.policy.last_error)


def test_a_withdrawal_whose_first_reading_fails_is_taken_by_a_later_one(
    watched: WatchedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that has used up its descriptors, for the file that it has at that moment."""
    opened = os.open
    watched.write()

    def refuse(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    watched.pass_time(5.0)
    assert watched.granted
    monkeypatch.setattr(os, "open", opened)

    watched.pass_time(5.0)
    assert not watched.granted


def test_a_file_that_fails_only_when_it_is_loaded_is_loaded_again_though_it_stays_the_same(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loads: list[Path] = []

    def load(file: Path) -> InvokerPolicy:
        loads.append(file)
        if len(loads) in (2, 3):
            raise RuntimeError("mine")
        return InvokerPolicy.from_file(file)

    watched = WatchedFile(path, load=load)
    watched.write()
    watched.pass_time(5.0)
    assert watched.granted
    assert [("load", "loading it raised RuntimeError")] == watched.failures
    assert "mine" in str(caplog.records[-1].exc_info)

    watched.pass_time(5.0)
    assert watched.granted
    watched.pass_time(10.0)
    assert not watched.granted


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError])
def test_a_loader_that_raises_anything_is_asked_again(path: Path, error: type[BaseException]) -> None:
    loads: list[Path] = []

    def load(file: Path) -> InvokerPolicy:
        loads.append(file)
        if len(loads) == 2:
            raise error
        return InvokerPolicy.from_file(file)

    watched = WatchedFile(path, load=load)
    watched.write()

    watched.pass_time(5.0)
    assert watched.granted
    watched.pass_time(5.0)
    assert not watched.granted


def test_the_pauses_after_failures_grow_and_are_bounded(watched: WatchedFile) -> None:
    watched.replace(absent)
    watched.pass_time(5.0)
    pauses = []
    for _ in range(6):
        watched.look()
        pauses.append(watched.policy.health()["retry_in"])
        watched.pass_time(pauses[-1] - 0.1)
        watched.look()
        watched.pass_time(0.1)

    assert [5.0, 10.0, 20.0, 30.0, 30.0, 30.0] == pauses
    assert ["failed"] * 6 == watched.outcomes


def test_a_policy_that_is_looked_at_with_each_request_pauses_after_a_failure_too(path: Path) -> None:
    watched = WatchedFile(path, check_every=0.0)
    watched.replace(absent)
    for _ in range(10):
        watched.look()

    assert ["failed"] == watched.outcomes
    assert 1.0 == watched.policy.health()["retry_in"]


# The bound.


def test_what_could_not_be_read_for_longer_than_the_bound_grants_nothing(watched: WatchedFile) -> None:
    watched.replace(absent)
    watched.pass_time(5.0)
    assert watched.granted
    watched.pass_time(3_594.0)
    assert watched.granted
    watched.pass_time(1.0)

    decision = watched.decide()
    assert (False, None) == (decision.granted, decision.pending)
    assert "could not be used for 3600 s: it cannot be read: No such file" in str(decision.unknown)
    assert ("dead", False, 0.0) == (
        watched.state,
        watched.policy.ready,
        watched.policy.health()["usable_for"],
    )

    watched.write(MEMBER)
    watched.pass_time(30.0)
    assert watched.granted
    assert ["stale", "dead", "fresh"] == watched.states


@each_api
@pytest.mark.parametrize("members", [["allUsers"], [MEMBER]], ids=repr)
def test_a_door_answers_503_beyond_the_bound_and_never_403(
    path: Path, world: World, api: Api, members: list[str]
) -> None:
    write_policy(path, *members)
    watched = WatchedFile(path)
    door = Door(world.verifier(), watched.policy)
    token: Any = [(b"authorization", b"Bearer " + world.token().encode())]
    for headers in (token, [] if members == ["allUsers"] else token):
        assert isinstance(api.admit(door, headers), Admission)
    watched.replace(absent)
    watched.pass_time(3_600.0)

    for headers in (token, [] if members == ["allUsers"] else token):
        answer = api.admit(door, headers)
        assert isinstance(answer, Refusal)
        assert (503, "keys_unavailable") == (answer.status, answer.reason)
        assert b"retry-after" in dict(answer.headers)
        assert door.admit_cached(headers, "GET", "/") is None


def test_a_caller_without_a_token_is_not_answered_503_where_the_policy_never_admitted_everyone(
    watched: WatchedFile, world: World
) -> None:
    watched.replace(absent)
    watched.pass_time(3_600.0)
    answer = Door(world.verifier(), watched.policy).admit([])

    assert isinstance(answer, Refusal)
    assert (403, "no_credential") == (answer.status, answer.reason)


def test_a_bound_of_0_grants_nothing_from_the_first_failure_on(path: Path) -> None:
    watched = WatchedFile(path, max_stale=0.0)
    watched.pass_time(5.0)
    assert watched.granted
    watched.replace(absent)

    watched.pass_time(5.0)
    assert not watched.granted
    assert "dead" == watched.state


def test_a_policy_without_a_bound_goes_on_and_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = WatchedFile(path, max_stale=math.inf)
    log = WatchedPolicy(path, max_stale=math.inf, clock=watched.wall, monotonic=watched.monotonic)
    watched.replace(absent)
    watched.pass_time(86_400.0 * 365)

    assert watched.granted
    assert ("stale", None) == (watched.state, watched.policy.health()["usable_for"])
    _ = log.current
    join_fetches()
    assert "goes on without an end, as max_stale=inf asks" in caplog.text


def test_a_worker_without_requests_beyond_the_bound_is_ready_and_looks_first(watched: WatchedFile) -> None:
    watched.pass_time(86_400.0)

    assert ("ageing", True) == (watched.state, watched.policy.ready)
    assert watched.decide().granted


def test_a_worker_without_requests_that_finds_a_broken_file_beyond_the_bound_grants_nothing(
    watched: WatchedFile,
) -> None:
    """It may have missed a good one that came before."""
    watched.write()
    watched.replace(broken)
    watched.pass_time(3_600.0)

    assert not watched.decide().granted
    assert "dead" == watched.state


def test_a_probe_follows_the_file_without_requests(watched: WatchedFile) -> None:
    for probe in (lambda: watched.policy.ready, watched.policy.health):
        watched.pass_time(3_600.0)
        probe()
        join_fetches()
        assert "fresh" == watched.state


# A look that hangs.


class Hanging:
    """Makes the policy, and hangs from when it is asked to until it is let go."""

    def __init__(self) -> None:
        self.hangs = False
        self.reading = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.threads: list[str] = []

    def __call__(self, file: Path) -> InvokerPolicy:
        self.threads.append(threading.current_thread().name)
        if self.hangs:
            self.reading.release()
            assert self.go_on.wait(PATIENCE)
        return InvokerPolicy.from_file(file)

    def hang(self, watched: WatchedFile) -> None:
        """Have the next look hang, and start it."""
        self.hangs = True
        self.go_on.clear()
        watched.write()
        watched.pass_time(5.0)
        _ = watched.policy.current
        assert self.reading.acquire(timeout=PATIENCE)

    def let_go(self) -> None:
        self.hangs = False
        self.go_on.set()
        join_fetches()


@pytest.fixture
def hanging(path: Path) -> Any:
    load = Hanging()
    watched = WatchedFile(path, load=load)
    yield load, watched
    load.let_go()


def test_a_look_that_hangs_stops_no_request(hanging: tuple[Hanging, WatchedFile]) -> None:
    load, watched = hanging
    load.hang(watched)
    assert (True, "fresh") == (watched.decide().granted, watched.state)
    watched.pass_time(1.0)
    assert (True, "stale") == (watched.decide().granted, watched.state)
    watched.pass_time(20.0)
    assert watched.decide().granted

    load.let_go()
    assert (False, "fresh") == (watched.decide().granted, watched.state)


def test_a_look_that_hangs_beyond_the_bound_grants_nothing_and_stops_no_request(
    hanging: tuple[Hanging, WatchedFile],
) -> None:
    load, watched = hanging
    load.hang(watched)
    watched.wall.move(3_600.0)
    watched.monotonic.move(20.0)

    decision = watched.decide()
    assert (False, None) == (decision.granted, decision.pending)
    assert "the look at it does not end" in str(decision.unknown)
    assert not watched.policy.ready


def test_looks_that_hang_are_given_up_and_three_hang_at_most(hanging: tuple[Hanging, WatchedFile]) -> None:
    load, watched = hanging
    load.hang(watched)
    for _ in range(100):
        watched.pass_time(30.0)
        _ = watched.policy.current

    assert 1 + 3 == len(load.threads)
    assert [("deadline", "no end in 30 s")] * 2 == watched.failures_so_far
    assert "stale" == watched.state
    load.let_go()
    watched.pass_time(5.0)
    assert not watched.granted
    assert "fresh" == watched.state


def test_a_look_that_was_given_up_replaces_nothing_that_came_after_it(path: Path) -> None:
    go_on, reading = threading.Event(), threading.Event()
    loads: list[Path] = []

    def load(file: Path) -> InvokerPolicy:
        loads.append(file)
        policy = InvokerPolicy.from_file(file)
        if len(loads) == 2:
            reading.set()
            assert go_on.wait(PATIENCE)
        return policy

    watched = WatchedFile(path, load=load)
    watched.write("allUsers")
    watched.pass_time(5.0)
    _ = watched.policy.current
    assert reading.wait(PATIENCE)
    watched.write()
    watched.pass_time(30.0)
    newer = watched.policy._looks.start_if_due(watched.monotonic(), watched.wall())
    assert newer is not None
    assert newer.wait(PATIENCE)
    assert not watched.decide().granted
    go_on.set()
    join_fetches()

    assert not watched.granted
    assert 0 == watched.policy._looks._hanging


@needs_posix
def test_a_mount_that_hangs_stops_no_request(watched: WatchedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, go_on, asked = os.stat, threading.Event(), threading.Event()

    def hang(*args: Any, **settings: Any) -> os.stat_result:
        asked.set()
        assert go_on.wait(PATIENCE)
        return opened(*args, **settings)

    watched.write()
    watched.pass_time(5.0)
    monkeypatch.setattr(os, "stat", hang)
    assert watched.decide().granted
    assert asked.wait(PATIENCE)
    watched.pass_time(5.0)
    assert watched.decide().granted
    go_on.set()
    join_fetches()
    assert not watched.decide().granted


@each_api
def test_a_request_waits_for_a_look_that_hangs_for_a_second_at_most(
    path: Path, world: World, api: Api
) -> None:
    load = Hanging()
    watched = WatchedFile(path, load=load, monotonic=time.monotonic)
    door = Door(world.verifier(), watched.policy)
    headers: Any = [(b"authorization", b"Bearer " + world.token().encode())]
    watched.write()
    watched.wall.move(60.0)
    load.hangs = True
    try:
        begun = time.monotonic()
        assert isinstance(api.admit(door, headers), Admission)
        assert 2.0 > time.monotonic() - begun
    finally:
        load.let_go()
    assert isinstance(api.admit(door, headers), Refusal)


@each_api
def test_no_file_is_read_in_the_thread_of_a_request(path: Path, world: World, api: Api) -> None:
    load = Hanging()
    watched = WatchedFile(path, load=load)
    door = Door(world.verifier(), watched.policy)
    headers: Any = [(b"authorization", b"Bearer " + world.token().encode())]
    for _ in range(5):
        watched.write(MEMBER)
        watched.pass_time(60.0)
        assert isinstance(api.admit(door, headers), Admission)

    assert {"doorward-keys"} == set(load.threads[1:])
    assert 5 == len(load.threads[1:])


def test_many_threads_cause_one_look(hanging: tuple[Hanging, WatchedFile]) -> None:
    load, watched = hanging
    load.hangs = True
    watched.write()
    watched.pass_time(3_600.0)
    readers = [background(watched.decide) for _ in range(32)]
    assert load.reading.acquire(timeout=PATIENCE)
    load.let_go()

    assert {False} == {reader.result(PATIENCE).granted for reader in readers}
    assert 1 + 1 == len(load.threads)


def test_without_a_thread_for_a_look_the_policy_stays_and_the_file_is_looked_at_later(
    watched: WatchedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.write()
    watched.pass_time(3_600.0)
    with monkeypatch.context() as patch:
        patch.setattr(Flight, "start", lambda *_: False)
        assert not watched.decide().granted
        assert ("dead", [("thread", "no thread could be started")]) == (watched.state, watched.failures)

    watched.write(MEMBER)
    watched.pass_time(5.0)
    assert watched.granted


# Forks.


@forking
def test_a_child_follows_the_file_itself(watched: WatchedFile) -> None:
    def child() -> object:
        watched.write()
        watched.pass_time(5.0)
        return [watched.granted, str(watched.state)]

    assert [False, "fresh"] == forked(child)
    assert watched.policy.current.decide(principal(), None, 0.0).granted  # type: ignore[arg-type]


@forking
def test_a_child_forked_during_a_look_looks_itself(hanging: tuple[Hanging, WatchedFile]) -> None:
    load, watched = hanging
    load.hang(watched)

    def child() -> object:
        load.hangs = False
        before = watched.policy.health()["refreshing"]
        return [before, watched.granted, str(watched.state), watched.policy._looks._hanging]

    assert [True, False, "fresh", 0] == forked(child)
    assert watched.decide().granted


@forking
def test_no_thread_of_a_child_waits_for_a_lock_that_its_parent_held(watched: WatchedFile) -> None:
    watched.write()
    watched.pass_time(60.0)

    def child() -> object:
        readers = [background(lambda: watched.decide().granted) for _ in range(8)]
        return [reader.result(PATIENCE) for reader in readers]

    with held_elsewhere(watched.policy._looks._lock), held_elsewhere(watched.policy._reporter._delivering):
        assert [False] * 8 == forked(child)


# What an operator sees.


def test_the_health_is_plain_data(watched: WatchedFile) -> None:
    watched.pass_time(2.0)
    assert {
        "path": str(watched.path),
        "state": "fresh",
        "ready": True,
        "age": 2.0,
        "usable_for": 3_598.0,
        "generation": 1,
        "refreshing": False,
        "retry_in": 0.0,
        "failures": 0,
        "last_error": None,
        "looks": {"changed": 0, "unchanged": 0, "failed": 0},
    } == json.loads(json.dumps(watched.policy.health()))

    watched.replace(broken)
    watched.pass_time(3.0)
    watched.look()
    health = watched.policy.health()
    assert ("stale", True, 5.0, 3_595.0) == (
        health["state"],
        health["ready"],
        health["age"],
        health["usable_for"],
    )
    assert (1, 5.0, {"changed": 0, "unchanged": 0, "failed": 1}) == (
        health["failures"],
        health["retry_in"],
        health["looks"],
    )
    assert watched.policy.last_error == health["last_error"]
    assert 5.0 == watched.policy.age


def test_each_look_is_reported_once(watched: WatchedFile) -> None:
    watched.pass_time(5.0)
    watched.look()
    watched.replace(absent)
    watched.pass_time(5.0)
    watched.look()

    why = "it cannot be read: No such file or directory"
    assert [
        LookFinished(str(watched.path), "unchanged", 0.0, 1, None, None, repeated=False, usable_for=3_600.0),
        LookFinished(str(watched.path), "failed", 0.0, 1, "read", why, repeated=False, usable_for=3_595.0),
    ] == watched.events(LookFinished)


def test_a_failure_is_logged_once_and_its_repetitions_are_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = WatchedFile(path)
    followed = WatchedPolicy(path, clock=watched.wall, monotonic=watched.monotonic)
    watched.replace(broken)
    with caplog.at_level(logging.INFO, "doorward.policy"):
        for _ in range(5):
            watched.pass_time(30.0)
            _ = followed.current
            join_fetches()
        watched.write(MEMBER)
        watched.pass_time(30.0)
        _ = followed.current
        join_fetches()

    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [
        (
            "ERROR",
            (
                f"the policy file {path} cannot be used, the last good policy decides for another 3570 s: "
                f"{path}: 'bindings' must be a list"
            ),
        ),
        ("WARNING", f"the policy of {path} is stale"),
        ("INFO", f"the policy file {path} has changed and was taken"),
        ("INFO", f"the policy of {path} is fresh again"),
    ] == found


def test_each_version_that_cannot_be_taken_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = WatchedFile(path)
    followed = WatchedPolicy(path, clock=watched.wall, monotonic=watched.monotonic)
    for text in ("{", "{{", ""):
        path.write_text(text)
        watched.pass_time(30.0)
        _ = followed.current
        join_fetches()
    watched.replace(absent)
    watched.pass_time(30.0)
    _ = followed.current
    join_fetches()

    assert 4 == len([one for one in caplog.records if one.levelno >= logging.ERROR])


def test_a_listener_that_raises_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def listener(event: object) -> None:
        raise RuntimeError(repr(event))

    watched = WatchedFile(path, listener=listener)
    watched.write()
    watched.pass_time(5.0)

    assert not watched.granted
    assert "the listener failed on LookFinished" in caplog.text


def test_a_listener_that_never_returns_holds_up_one_thread_and_no_look(path: Path) -> None:
    go_on, held = threading.Event(), []

    def listener(event: object) -> None:
        held.append(event)
        go_on.wait(PATIENCE)

    watched = WatchedFile(path, listener=listener)
    for number in range(150):
        watched.write(*([MEMBER] * (number % 2)))
        watched.pass_time(30.0)
        watched.decide()
    assert 1 == len(held)
    assert watched.decide().granted
    go_on.set()
    join_fetches()
    assert 101 == len(held)


def test_a_repr_names_the_file_and_no_member(watched: WatchedFile) -> None:
    expected = f"WatchedPolicy({str(watched.path)!r}, InvokerPolicy(1 members), state=fresh)"
    assert expected == repr(watched.policy)
