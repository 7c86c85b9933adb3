"""A key cache in processes that fork, serve from preloaded workers, and end while something is on its way.

What happens in another process is a function of this module too, which that process imports and calls. What
only some need is therefore imported where it is needed: the others should not have to wait for it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import doorward.keys.cache
from doorward import Door, InvokerPolicy, KeyCache, KeysUnavailableError, Verifier
from doorward.errors import SignatureError
from doorward.keys.events import KeyEvent
from doorward.keys.state import KeyState
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.forks import forked, forking
from support.simulator import PATIENCE, background, join_fetches
from support.tokens import AUDIENCE, CALLER, MEMBER, SigningKey, jwks, token

TESTS = Path(__file__).resolve().parents[2]
SOURCES = (TESTS, Path(doorward.keys.cache.__file__).resolve().parents[2])
"""Where a process of its own finds the tests, and the very code that is tested here."""
URL = "https://keys.example/certs"
KEY = SigningKey("key-1", "ES256")
OTHER = SigningKey("key-2", "ES256")
RSA = SigningKey("key-3")
NEW_RSA = SigningKey("key-4")
EXIT = 3.0


# Running a function of this module in a process of its own.


@contextlib.contextmanager
def started(script: Callable[..., None], *args: str) -> Iterator[subprocess.Popen[bytes]]:
    module = f"verifier.keys.{Path(__file__).stem}"
    code = f"import sys, {module} as module; module.{script.__name__}(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *args],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SOURCES))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    watchdog = threading.Timer(PATIENCE * 2, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def run_script(script: Callable[..., None], *args: str) -> Any:
    """Run it to its end, which must be good and quiet; return what it printed, read as JSON."""
    with started(script, *args) as process:
        out, err = process.communicate()
        assert (0, b"") == (process.returncode, err)
        return json.loads(out)


def report(**found: object) -> None:
    print(json.dumps(found), flush=True)  # noqa: T201 - how a process answers


def ignore(event: KeyEvent) -> None:
    """Keep the log off standard error, where only what went wrong should be."""


class Local:
    """A cache over an endpoint without a network, with a clock moved by hand."""

    def __init__(self, *keys: SigningKey, **settings: Any) -> None:
        self.clock = ManualClock()
        self.endpoint = KeyEndpoint(*keys)
        made: dict[str, Any] = {"fetch": self.endpoint, "clock": self.clock, "monotonic": self.clock}
        self.cache = KeyCache(URL, ("ES256",), listener=ignore, **{**made, **settings})

    def unknown(self, kid: str) -> str:
        """Read a key that is not there, and give the reason."""
        try:
            self.cache.get(kid)
        except (SignatureError, KeysUnavailableError) as error:
            return str(error.reason)
        raise AssertionError(kid)


# Forking.


def fork_of_a_warm_cache() -> None:
    local = Local(KEY)
    local.cache.warm()
    parents = local.cache.get("key-1")

    def child() -> object:
        kept = [local.cache.get("key-1") is parents, str(local.cache.state), local.endpoint.fetches]
        local.clock.move(3_599)
        local.cache.get("key-1")
        join_fetches()
        return [*kept, str(local.cache.state), local.endpoint.fetches]

    report(child=forked(child), fetches=local.endpoint.fetches)


@forking
def test_a_forked_child_has_the_keys_and_refreshes_them_itself() -> None:
    expected = {"child": [True, "fresh", 1, "fresh", 2], "fetches": 1}
    assert expected == run_script(fork_of_a_warm_cache)


def fork_during_a_fetch() -> None:
    local = Local(KEY)
    local.cache.warm()
    local.clock.move(3_599)
    local.endpoint.gate.clear()
    local.endpoint.asked.clear()
    local.cache.keys(local.clock.now)
    assert local.endpoint.asked.wait(PATIENCE)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with local.cache._updater.lock:
            held.set()
            let_go.wait(PATIENCE)

    holder = background(hold)
    assert held.wait(PATIENCE)

    def child() -> object:
        local.endpoint.gate.set()
        before = [local.cache.refreshing, local.endpoint.fetches, local.cache.get("key-1").kid]
        join_fetches()
        return [*before, local.unknown("key-2"), local.endpoint.fetches, str(local.cache.state)]

    found = forked(child)
    let_go.set()
    holder.result(PATIENCE)
    still = local.cache.refreshing
    local.endpoint.gate.set()
    join_fetches()
    report(child=found, still=still, state=str(local.cache.state), fetches=local.endpoint.fetches)


@forking
def test_a_child_forked_during_a_fetch_and_under_a_lock_is_free_of_both_and_the_parent_keeps_them() -> None:
    found = run_script(fork_during_a_fetch)
    refreshing, _, kid, reason, _, state = found["child"]
    assert (False, "key-1", "unknown_key", "fresh") == (refreshing, kid, reason, state)
    assert (True, "fresh", 2) == (found["still"], found["state"], found["fetches"])


def fork_of_an_empty_cache_that_is_asked() -> None:
    local = Local(KEY, patience=PATIENCE)
    local.endpoint.gate.clear()
    reader = background(lambda: local.cache.get("key-1").kid)
    assert local.endpoint.asked.wait(PATIENCE)

    def child() -> object:
        local.endpoint.gate.set()
        return [local.cache.refreshing, local.cache.get("key-1").kid, local.endpoint.fetches]

    found = forked(child)
    local.endpoint.gate.set()
    report(child=found, parent=reader.result(PATIENCE), fetches=local.endpoint.fetches)


@forking
def test_a_child_forked_during_the_first_fetch_makes_a_first_fetch_of_its_own() -> None:
    expected = {"child": [False, "key-1", 2], "parent": "key-1", "fetches": 1}
    assert expected == run_script(fork_of_an_empty_cache_that_is_asked)


def fork_of_a_cache_that_is_storing(path: str) -> None:
    local = Local(KEY, snapshot=path)
    storing, let_go = threading.Event(), threading.Event()

    def hang(descriptor: int) -> None:
        storing.set()
        let_go.wait(PATIENCE)

    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", hang)
    reader = background(local.cache.warm)
    assert storing.wait(PATIENCE)

    def child() -> object:
        patch.undo()
        local.endpoint.keys = (OTHER,)
        local.cache.refresh()
        join_fetches()
        return [local.cache.get("key-2").kid, Path(path).exists()]

    found = forked(child)
    let_go.set()
    reader.result(PATIENCE)
    report(child=found)


@forking
def test_a_child_forked_while_a_snapshot_is_written_can_write_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert {"child": ["key-2", True]} == run_script(fork_of_a_cache_that_is_storing, str(path))


def fork_workers_of_a_failing_endpoint() -> None:
    local = Local(KEY)
    local.cache.warm()
    local.endpoint.down()

    def pauses() -> object:
        for _ in range(8):
            with contextlib.suppress(KeysUnavailableError):
                local.cache.refresh()
        return local.cache.health()["retry_in"]

    report(pauses=[forked(pauses) for _ in range(4)])


@forking
def test_forked_workers_do_not_pause_in_step_when_the_endpoint_fails() -> None:
    assert 4 == len(set(run_script(fork_workers_of_a_failing_endpoint)["pauses"]))


def fork_workers_of_a_warm_cache() -> None:
    local = Local(KEY)
    local.cache.warm()
    report(refresh_after=[forked(lambda: local.cache._holding.held.refresh_after) for _ in range(4)])


@forking
def test_forked_workers_do_not_all_refresh_at_the_same_age() -> None:
    assert 4 == len(set(run_script(fork_workers_of_a_warm_cache)["refresh_after"]))


def preloaded() -> Any:
    """What gunicorn's master loads: a guarded application whose verifier is warm before it forks."""
    from flask import Flask  # noqa: PLC0415 - see above

    from doorward_integrations.flask import Invoker, current_principal  # noqa: PLC0415 - see above

    verifier = Verifier(AUDIENCE, key_cache=lambda issuer: KeyCache(os.environ["TEST_KEYS"], ("RS256",)))
    (cache,) = verifier.key_caches
    cache.warm()
    master = os.getpid()
    app = Flask("orders")
    Invoker(app, Door(verifier, InvokerPolicy.from_members([MEMBER])))

    @app.get("/orders")
    def orders() -> dict[str, Any]:
        caller = str(current_principal.email)
        return {"caller": caller, "pid": os.getpid(), "master": master, "fetches": cache.health()["fetches"]}

    return app


@forking
def test_workers_of_a_warm_gunicorn_master_serve_without_a_fetch_and_learn_of_new_keys_themselves() -> None:
    import httpx  # noqa: PLC0415 - see above

    from support.servers import gunicorn, key_server  # noqa: PLC0415 - see above

    with (
        key_server(jwks(RSA)) as keys,
        gunicorn(
            "verifier.keys.test_cache_processes:preloaded()",
            {"TEST_KEYS": keys.url},
            "--preload",
            "--workers=2",
        ) as base,
        httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE) as client,
    ):

        def ask(key: SigningKey) -> dict[str, Any]:
            authorization = f"Bearer {token(key, time.time())}"
            reply = client.get("/orders", headers={"authorization": authorization, "connection": "close"})
            assert 200 == reply.status_code
            answer: dict[str, Any] = reply.json()
            assert answer["pid"] != answer["master"]
            assert CALLER == answer["caller"]
            return answer

        for _ in range(10):
            assert 1 == ask(RSA)["fetches"]["changed"]
        assert 1 == keys.fetches
        keys.body = jwks(RSA, NEW_RSA)
        answers = [ask(NEW_RSA) for _ in range(10)]
        assert {2} == {answer["fetches"]["changed"] for answer in answers}
        assert 1 + len({answer["pid"] for answer in answers}) == keys.fetches


# Ending.


@pytest.fixture
def silent() -> Iterator[str]:
    """Where an endpoint is that takes every request and answers none."""
    from support.servers import key_server  # noqa: PLC0415 - see above

    with key_server(jwks(KEY), delay=None) as keys:
        yield keys.url


def ends(script: Callable[..., None], *args: str) -> bytes:
    """Wait until the process has reported that its work is done; it must then end soon, well and quietly."""
    with started(script, *args) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b'{"done": true}\n' == process.stdout.readline()
        assert 0 == process.wait(EXIT)
        assert b"" == process.stderr.read()
        return process.stdout.read()


def _wait_in_vain(cache: KeyCache) -> None:
    with contextlib.suppress(KeysUnavailableError):
        cache.get("key-1")
    assert cache.refreshing


async def _await_in_vain(cache: KeyCache) -> None:
    with contextlib.suppress(KeysUnavailableError):
        await cache.aget("key-1")
    assert cache.refreshing


def end_of_a_thread(url: str) -> None:
    _wait_in_vain(KeyCache(url, patience=0.05))
    report(done=True)


def end_of_asyncio(url: str) -> None:
    asyncio.run(_await_in_vain(KeyCache(url, patience=0.05)))
    report(done=True)


def end_of_trio(url: str) -> None:
    trio.run(_await_in_vain, KeyCache(url, patience=0.05))
    report(done=True)


def end_at_once(url: str) -> None:
    """End while the fetch is still importing what it needs."""
    cache = KeyCache(url, ("ES256",), listener=ignore)
    cache.seed(jwks(KEY))
    report(done=True)
    assert cache.keys(time.time()) is not None


def end_with_a_thread_that_waits(url: str) -> None:
    """End while another thread, a daemon too, goes on waiting."""
    cache = KeyCache(url, patience=600)
    background(cache.get, "key-1")
    while not cache.refreshing:
        time.sleep(0)
    report(done=True)


@pytest.mark.parametrize(
    "script",
    [end_of_a_thread, end_of_asyncio, end_of_trio, end_at_once, end_with_a_thread_that_waits],
    ids=lambda script: script.__name__,
)
def test_a_process_ends_while_a_fetch_hangs(silent: str, script: Callable[[str], None]) -> None:
    assert b"" == ends(script, silent)


def read_at_exit(url: str) -> None:
    cache = KeyCache(url, patience=0.05)

    def read() -> None:
        try:
            cache.get("key-1")
        except KeysUnavailableError as error:
            report(reason=str(error.reason))

    atexit.register(read)
    report(done=True)


def test_a_read_in_an_interpreter_that_ends_finds_the_keys_unavailable(silent: str) -> None:
    assert {"reason": "keys_unavailable"} == json.loads(ends(read_at_exit, silent))


def end_while_storing(path: str, first: str) -> None:
    local = Local(KEY, snapshot=path)
    if first:
        local.cache.warm()
        join_fetches()
    storing = threading.Event()

    def hang(descriptor: int) -> None:
        storing.set()
        threading.Event().wait()

    pytest.MonkeyPatch().setattr(os, "fsync", hang)
    local.endpoint.keys = (OTHER,)
    background(local.cache.refresh)
    assert storing.wait(PATIENCE)
    report(done=True)
    if first == "killed":
        os.kill(os.getpid(), 9)


@pytest.mark.parametrize("first", ["ended", "killed"])
def test_a_process_that_is_gone_while_a_snapshot_is_written_leaves_the_one_before(
    tmp_path: Path, first: str
) -> None:
    path = tmp_path / "keys.json"
    with started(end_while_storing, str(path), first) as process:
        assert process.stdout is not None
        assert b'{"done": true}\n' == process.stdout.readline()
        assert (-9 if first == "killed" else 0) == process.wait(EXIT)
    later = Local(OTHER, snapshot=str(path))
    assert (KeyState.FRESH, "key-1", 0) == (
        later.cache.state,
        later.cache.get("key-1").kid,
        later.endpoint.fetches,
    )


def end_after_one_read(path: str) -> None:
    local = Local(KEY, snapshot=path)
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.1)
        fsync(descriptor)

    pytest.MonkeyPatch().setattr(os, "fsync", slow)
    local.cache.get("key-1")
    report(done=True)


def test_a_process_that_lives_for_one_read_leaves_its_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert b"" == ends(end_after_one_read, str(path))
    assert KeyState.FRESH is Local(KEY, snapshot=str(path)).cache.state


def fork_while_requests_wait(path: str) -> None:
    local = Local(KEY, snapshot=path, patience=PATIENCE, max_waiting_cold=1)
    local.endpoint.gate.clear()
    reader = background(lambda: local.cache.get("key-1").kid)
    assert local.endpoint.asked.wait(PATIENCE)

    def child() -> object:
        """Wait until the parent has fetched, whose turn it is, and take what it has written."""
        kid = local.cache.get("key-1").kid
        join_fetches()
        return [kid, local.cache._cold_seats.taken]

    answering = threading.Timer(0.2, local.endpoint.gate.set)
    answering.start()
    found = forked(child)
    answering.join(PATIENCE)
    report(child=found, parent=reader.result(PATIENCE))


@forking
def test_a_child_has_its_own_seats_and_does_not_hold_the_lock_of_its_parent(tmp_path: Path) -> None:
    expected = {"child": ["key-1", 0], "parent": "key-1"}
    assert expected == run_script(fork_while_requests_wait, str(tmp_path / "keys.json"))


def fork_then_die(path: str) -> None:
    """Fork during a fetch whose turn is held, and be killed; the child lives on, and holds nothing."""
    local = Local(KEY, snapshot=path)
    local.endpoint.gate.clear()
    background(local.cache.warm)
    assert local.endpoint.asked.wait(PATIENCE)
    if os.fork() == 0:
        time.sleep(EXIT)
        os._exit(0)
    report(done=True)
    os.kill(os.getpid(), 9)


@forking
def test_a_lock_is_free_once_its_holder_is_killed_although_a_child_of_it_lives(tmp_path: Path) -> None:
    path = str(tmp_path / "keys.json")
    with started(fork_then_die, path) as process:
        assert process.stdout is not None
        assert b'{"done": true}\n' == process.stdout.readline()
        assert -9 == process.wait(EXIT)
        local = Local(KEY, snapshot=path)
        assert "key-1" == background(local.cache.get, "key-1").result(EXIT / 2).kid


def test_a_process_that_ends_while_its_first_snapshot_is_written_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert b"" == ends(end_while_storing, str(path), "")
    assert not path.exists()
