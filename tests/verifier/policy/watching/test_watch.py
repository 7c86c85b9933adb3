"""Policies that follow a file: how they start, and what changes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from doorward import ConfigurationError, Door, InvokerPolicy, PolicyError, WatchedPolicy
from doorward.door.admission import Admission
from doorward.door.refusal import Refusal
from doorward.policy.request import ANYWHERE
from support.policies import principal
from support.simulator import APIS, Api, join_fetches
from support.tokens import MEMBER
from support.watching import WatchedFile, write_policy
from support.world import World

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no such files")
each_api = pytest.mark.parametrize("api", APIS, ids=str)


# Starting.


def test_the_file_is_read_when_the_source_is_made(path: Path) -> None:
    write_policy(path, MEMBER)
    assert WatchedPolicy(path).current.decide(principal(), ANYWHERE, 0.0).granted
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
