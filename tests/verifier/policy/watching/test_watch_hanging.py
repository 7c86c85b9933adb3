"""Policies that follow a file: looks that hang, threads, event loops and forks."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from doorward import Door, InvokerPolicy
from doorward.door.admission import Admission
from doorward.door.refusal import Refusal
from doorward.keys.flight import Flight
from doorward.policy.request import ANYWHERE
from support.forks import forked, forking, held_elsewhere
from support.policies import principal
from support.simulator import APIS, PATIENCE, Api, background, join_fetches
from support.tokens import MEMBER
from support.watching import WatchedFile
from support.world import World

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no such files")
each_api = pytest.mark.parametrize("api", APIS, ids=str)


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

    for _ in range(2):
        assert load.reading.acquire(timeout=PATIENCE)
    assert (3, 1 + 3) == (watched.policy._looks._started, len(load.threads))
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
    assert watched.policy.current.decide(principal(), ANYWHERE, 0.0).granted


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

    with held_elsewhere(watched.policy._looks._lock), held_elsewhere(watched.policy._reporter._lock):
        assert [False] * 8 == forked(child)
