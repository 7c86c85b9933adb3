from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from doorward import GOOGLE, Admission, ConfigurationError, Door, PolicyError, Principal
from doorward.door.refusal import Refusal
from doorward.policy.iam import InvokerPolicy
from doorward.policy.watch import WatchedPolicy
from support.clock import ManualClock
from support.forks import forked, forking, held_elsewhere
from support.tokens import MEMBER, claims
from support.world import World

CALLER = Principal(MappingProxyType(claims(1_790_000_000.0)), GOOGLE)


def write(path: Path, *members: str) -> None:
    path.write_text(json.dumps({"bindings": [{"role": "roles/run.invoker", "members": [*members]}]}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "policy.json"
    write(file, MEMBER)
    return file


def granted(watched: WatchedPolicy) -> bool:
    return watched.current.decide(CALLER).granted


def test_the_file_is_read_when_the_source_is_made(path: Path, tmp_path: Path) -> None:
    assert granted(WatchedPolicy(path))
    with pytest.raises(ConfigurationError, match="absent"):
        WatchedPolicy(tmp_path / "absent.json")
    path.write_text("{")
    with pytest.raises(PolicyError, match=r"policy\.json"):
        WatchedPolicy(path)


def test_a_change_is_seen_once_it_is_time_to_look(path: Path) -> None:
    clock = ManualClock()
    watched = WatchedPolicy(path, check_every=5.0, clock=clock)
    write(path)

    clock.move(4.9)
    assert granted(watched)
    clock.move(0.1)
    assert not granted(watched)


def test_a_file_that_did_not_change_is_not_read_again(path: Path) -> None:
    clock = ManualClock()
    watched = WatchedPolicy(path, clock=clock)
    before = watched.current

    clock.move(60.0)
    assert before is watched.current


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_read(path: Path) -> None:
    clock = ManualClock()
    watched = WatchedPolicy(path, clock=clock)
    stat = path.stat()
    other = path.with_suffix(".new")
    write(other, MEMBER.replace("caller", "callas"))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert stat.st_size == other.stat().st_size
    other.replace(path)

    clock.move(5.0)
    assert not granted(watched)


def test_a_broken_file_leaves_the_old_policy_and_is_shouted_about_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    watched = WatchedPolicy(path, clock=clock)
    path.write_text('{"bindings": 7}')

    for _ in range(3):
        clock.move(5.0)
        assert granted(watched)

    (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "policy.json: 'bindings' must be a list" in record.getMessage()


def test_each_broken_version_is_shouted_about_and_a_good_one_mends_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    watched = WatchedPolicy(path, clock=clock)
    for text in ("{", "{{", ""):
        path.write_text(text)
        clock.move(5.0)
        assert granted(watched)
    path.unlink()
    clock.move(5.0)
    assert granted(watched)

    write(path, "allUsers")
    clock.move(5.0)
    assert watched.current.public
    assert 4 == len([one for one in caplog.records if one.levelno >= logging.ERROR])


def test_the_settings_are_used_on_every_reading(path: Path) -> None:
    clock = ManualClock()
    write(path, "group:g@x.com")
    watched = WatchedPolicy(path, clock=clock, groups={"g@x.com": []})
    assert not granted(watched)

    write(path, "group:g@x.com", MEMBER)
    clock.move(5.0)
    assert granted(watched)


def test_whatever_makes_a_policy_of_the_file_can_be_passed(path: Path) -> None:
    watched = WatchedPolicy(path, load=lambda file: InvokerPolicy.join(InvokerPolicy.from_file(file)))

    assert granted(watched)
    with pytest.raises(ConfigurationError, match="beside"):
        WatchedPolicy(path, load=InvokerPolicy.from_file, permission="run.routes.invoke")


def test_a_loader_that_raises_anything_leaves_the_old_policy(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    loads: list[Path] = []

    def load(file: Path) -> InvokerPolicy:
        loads.append(file)
        if len(loads) > 1:
            raise RuntimeError("mine")
        return InvokerPolicy.from_file(file)

    watched = WatchedPolicy(path, clock=clock, load=load)
    write(path)
    clock.move(5.0)

    assert granted(watched)
    assert granted(watched)
    assert [path, path] == loads
    assert 1 == len([one for one in caplog.records if one.levelno >= logging.ERROR])


def test_no_caller_waits_for_a_thread_that_reads(path: Path) -> None:
    clock = ManualClock()
    reading, go_on = threading.Event(), threading.Event()
    loads: list[Path] = []

    def load(file: Path) -> InvokerPolicy:
        loads.append(file)
        if len(loads) > 1:
            reading.set()
            assert go_on.wait(10)
        return InvokerPolicy.from_file(file)

    watched = WatchedPolicy(path, check_every=0.0, clock=clock, load=load)
    write(path)
    thread = threading.Thread(target=lambda: watched.current)
    thread.start()
    try:
        assert reading.wait(10)
        assert granted(watched)
    finally:
        go_on.set()
        thread.join(10)

    assert not granted(watched)
    assert 2 == len(loads)


@forking
def test_a_child_process_does_not_wait_for_its_parents_threads(path: Path) -> None:
    clock = ManualClock()
    watched = WatchedPolicy(path, clock=clock)
    write(path)
    clock.move(5.0)

    with held_elsewhere(watched._lock):
        assert not forked(lambda: granted(watched))


def test_looking_is_never_negative(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="check_every"):
        WatchedPolicy(path, check_every=-1.0)


def test_a_repr_names_the_file_and_no_member(path: Path) -> None:
    assert f"WatchedPolicy({str(path)!r}, InvokerPolicy(1 members))" == repr(WatchedPolicy(path))


def test_a_door_follows_the_file_even_for_tokens_it_has_seen(path: Path, world: World) -> None:
    clock = ManualClock()
    door = Door(world.verifier(), WatchedPolicy(path, clock=clock))
    headers: Any = [(b"authorization", b"Bearer " + world.token().encode())]

    assert isinstance(door.admit(headers), Admission)
    write(path)
    clock.move(5.0)
    assert isinstance(door.admit(headers), Refusal)
