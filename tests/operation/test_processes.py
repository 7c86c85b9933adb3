"""Many processes of one machine: they share the keys by the snapshot, and one of them fetches for all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from operation.guarded import known
from operation.processes import uvicorn
from support.servers import Keys, exchange, gunicorn, key_server
from support.simulator import background
from support.tokens import SigningKey, jwks

KEY = SigningKey("known-key")
WORKERS = 64
PATIENCE = 60.0

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, locks and signals are POSIX's")


@pytest.fixture
def keys() -> Iterator[Keys]:
    with key_server(jwks(KEY), delay=0.2) as keys:
        yield keys


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    return str(tmp_path / "keys.json")


def storm(keys: Keys, snapshot: str, workers: int = WORKERS) -> dict[str, int]:
    """Let workers start together; give how often each answer came."""
    script = Path(__file__).with_name("workers.py")
    done = subprocess.run(
        [sys.executable, str(script), keys.url, snapshot, str(workers)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert b"" == done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@posix
class TestManyThatStartTogether:
    def test_64_workers_make_one_fetch_and_refuse_no_request(self, keys: Keys, snapshot: str) -> None:
        assert {"known-key": WORKERS} == storm(keys, snapshot)
        assert 1 == keys.fetches

    def test_workers_that_start_later_make_none(self, keys: Keys, snapshot: str) -> None:
        storm(keys, snapshot, 4)
        keys.answering.clear()
        assert {"known-key": WORKERS} == storm(keys, snapshot)
        assert 1 == keys.fetches


def all_workers(base: str, count: int, besides: frozenset[int] = frozenset()) -> dict[int, int]:
    """Ask until that many workers have answered, but for some; give each one's parent."""
    found: dict[int, int] = {}
    until = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < until, f"only {found} have answered"
        reply = exchange(base, known(KEY))
        assert 200 == reply.status
        answer = json.loads(reply.body)
        if answer["pid"] not in besides:
            found[answer["pid"]] = answer["parent"]
    return found


@posix
def test_a_worker_whose_fetch_is_killed_leaves_its_turn_to_the_next(keys: Keys, snapshot: str) -> None:
    keys.answering.clear()
    keys.delay = None
    script = "import sys; from doorward import KeyCache; KeyCache(sys.argv[1], snapshot=sys.argv[2]).warm()"
    first = subprocess.Popen(
        [sys.executable, "-c", script, keys.url, snapshot],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.DEVNULL,
    )
    assert keys.asked.wait(PATIENCE)
    second = background(storm, keys, snapshot, 4)
    first.kill()
    first.wait(PATIENCE)
    keys.answering.set()
    assert {"known-key": 4} == second.result(PATIENCE)
    assert 2 == keys.fetches


@posix
@pytest.mark.parametrize("app", ["wsgi_app", "preloaded_wsgi_app"])
@pytest.mark.parametrize("preload", [["--preload"], []], ids=["preload", "no preload"])
def test_workers_of_gunicorn_make_one_fetch_and_those_after_a_hup_make_none(
    keys: Keys, snapshot: str, app: str, preload: list[str]
) -> None:
    environ = {"TEST_KEYS": keys.url, "TEST_SNAPSHOT": snapshot}
    with gunicorn(f"operation.guarded:{app}()", environ, "--workers=4", *preload) as base:
        before = all_workers(base, 4)
        assert 1 == keys.fetches
        (master,) = set(before.values())
        os.kill(master, signal.SIGHUP)
        all_workers(base, 4, besides=frozenset(before))
        assert 1 == keys.fetches


def await_start(base: str) -> None:
    """Wait until the process that serves listens: the one that watches the files has only bound the port."""
    until = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            assert 200 == exchange(base, known(KEY)).status
            return
        assert time.monotonic() < until, "uvicorn does not serve"


def _copy(target: Path, name: str) -> Path:
    """Put a module of its own into a folder, whose change makes uvicorn start again."""
    path = target / "served.py"
    path.write_text(f"from operation.guarded import {name} as app\n")
    return path


@posix
@pytest.mark.parametrize("app", ["plain_asgi_app", "asgi_app"], ids=["without a door", "guarded"])
def test_a_connection_that_uvicorn_closes_when_it_starts_again_is_closed_with_and_without_a_door(
    keys: Keys, snapshot: str, tmp_path: Path, app: str
) -> None:
    """It was accepted and has sent nothing yet: a client that sends now meets a reset."""
    source = _copy(tmp_path, app)
    environ = {"TEST_KEYS": keys.url, "TEST_SNAPSHOT": snapshot}
    options = ("--factory", "--reload", "--reload-dir", str(tmp_path))
    with uvicorn("served:app", environ, *options, folder=tmp_path) as base:
        host, _, port = base.removeprefix("http://").partition(":")
        await_start(base)
        with socket.create_connection((host, int(port)), PATIENCE) as idle:
            assert 200 == exchange(base, known(KEY)).status  # accepted after the idle one
            source.write_text(source.read_text() + "\n")
            idle.settimeout(PATIENCE)
            assert b"" == idle.recv(1)
        assert 200 == exchange(base, known(KEY)).status
    assert (1 if app == "asgi_app" else 0) == keys.fetches
