"""Policies that follow a file which cannot be used: what is taken later, and what the bound does."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from doorward import Door, InvokerPolicy, WatchedPolicy
from doorward.door.admission import Admission
from doorward.door.readiness import ready
from doorward.door.refusal import Refusal
from doorward.policy.watching import file
from support.simulator import APIS, Api, join_fetches
from support.tokens import MEMBER
from support.watching import WatchedFile, absent, broken, write_policy
from support.world import World

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no such files")
each_api = pytest.mark.parametrize("api", APIS, ids=str)


# A file that cannot be taken.


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
        (empty, "not a policy: it is empty"),
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is not hidden
def test_looks_that_end_early_do_not_count_as_looks_that_hang(
    watched: WatchedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out_of_memory(*_: object) -> NoReturn:
        raise MemoryError

    for _ in range(4):
        watched.pass_time(60.0)
        with monkeypatch.context() as patch:
            patch.setattr(file, "read_with_status", run_out_of_memory)
            watched.look()
        assert "the look ended early" in str(watched.policy.health()["last_error"])
        watched.pass_time(60.0)
        watched.look()
        assert watched.policy.health()["last_error"] is None
    watched.write()
    watched.pass_time(60.0)
    watched.look()

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
        assert (503, "policy_unavailable") == (answer.status, answer.reason)
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


def test_a_door_is_ready_until_the_bound_is_over(watched: WatchedFile, world: World) -> None:
    door = Door(world.verifier(), watched.policy)
    door.verifier.warm()
    watched.replace(absent)
    watched.pass_time(60.0)
    watched.look()
    assert ready(door)["ready"]
    watched.pass_time(3_600.0)
    watched.look()

    (policy,) = (part for part in ready(door)["parts"] if part["part"] == "policy")
    assert (False, False, "dead") == (ready(door)["ready"], policy["ready"], policy["state"])
    assert watched.policy.last_error == policy["last_error"]
