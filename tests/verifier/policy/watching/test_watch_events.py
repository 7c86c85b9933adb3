"""Policies that follow a file: what an operator sees."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from doorward import InvokerPolicy, WatchedPolicy
from doorward.keys import listening
from doorward.policy.watching.events import LookFinished
from support.simulator import PATIENCE, join_fetches
from support.tokens import MEMBER
from support.watching import WatchedFile, absent, broken

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


def test_the_traceback_of_a_loader_that_keeps_failing_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fail = False

    def load(file: Path) -> InvokerPolicy:
        if fail:
            raise KeyError("a fault of the loader")
        return InvokerPolicy.from_file(file)

    watched = WatchedFile(path, load=load, listener=lambda event: None)
    fail = True
    watched.write()
    for _ in range(5):
        watched.pass_time(30.0)
        watched.look()

    assert [f"loading the policy file {path} raised what is not a ConfigurationError"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.ERROR
    ]


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


def test_a_listener_that_never_returns_holds_up_one_thread_and_no_look(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_LONGEST", 100)
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
