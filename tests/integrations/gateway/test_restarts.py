"""Restarts under load: what was accepted is answered."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, LoopbackServer
from support.gateway import PATIENCE
from support.gateway_process import free_port, gateway_process
from support.tokens import AUDIENCE

REQUESTS = 10_000
CLIENTS = 8
RESTARTS = 6


class Seen:
    """The upstream: keeps the name of every request that it has answered."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        name = scope["path"].encode()
        self.names.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": name})


class Load:
    """Clients that send requests, each under a name of its own, until so many have their answer."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.headers = {"Authorization": f"Bearer {token}"}
        self.answered: set[str] = set()
        self.failed: set[str] = set()
        self._names = itertools.count()
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive()

    def _send_all(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while len(self.answered) < REQUESTS:
            name = f"/{next(self._names)}"
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                connection.request("GET", name, headers=self.headers)
                answer = connection.getresponse()
                whole = answer.read() == name.encode() and answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                whole, connection = False, None
                time.sleep(0.01)
            (self.answered if whole else self.failed).add(name)
        if connection is not None:
            connection.close()


@pytest.fixture
def emulator() -> Iterator[tuple[str, dict[str, str]]]:
    emulator = Emulator()
    with emulator.serve() as running:
        yield emulator.issuer.mint(AUDIENCE), running.environment()


def options_of(folder: Path, port: int, upstream: int) -> list[str]:
    policy = folder / "policy.json"
    member = f"serviceAccount:{DEFAULT_ACCOUNT}"
    policy.write_text(f'{{"bindings": [{{"role": "roles/run.invoker", "members": ["{member}"]}}]}}')
    behind = ["--upstream", f"http://127.0.0.1:{upstream}", "--policy", str(policy), "--audience", AUDIENCE]
    return [*behind, "--port", str(port)]


def until(count: int, load: Load) -> None:
    end = time.monotonic() + 120
    while len(load.answered) < count:
        assert time.monotonic() < end, f"{len(load.answered)} answers only"
        time.sleep(0.02)


def test_no_request_that_reached_the_upstream_is_lost_when_the_gateway_is_restarted(
    emulator: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    token, environ = emulator
    seen, port = Seen(), free_port()
    with LoopbackServer(seen) as upstream:
        options = options_of(tmp_path, port, upstream.port)
        load = Load(port, token)
        for number in range(RESTARTS):
            with gateway_process(environ, *options) as gateway:
                if not number:
                    load.start()
                until(REQUESTS * (number + 1) // RESTARTS, load)
                if number == RESTARTS - 1:
                    load.join()
                assert 0 == gateway.stop()

    assert set() == load.failed & set(seen.names)
    assert load.answered == set(seen.names)
    assert len(seen.names) == len(set(seen.names))


def test_no_request_that_reached_the_upstream_is_lost_when_the_upstream_is_restarted(
    emulator: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    token, environ = emulator
    seen, port, behind = Seen(), free_port(), free_port()
    with gateway_process(environ, *options_of(tmp_path, port, behind)):
        load = Load(port, token)
        for number in range(RESTARTS):
            with LoopbackServer(seen, port=behind):
                if not number:
                    load.start()
                until(REQUESTS * (number + 1) // RESTARTS, load)
                if number == RESTARTS - 1:
                    load.join()

    assert set() == load.failed & set(seen.names)
    assert load.answered == set(seen.names)
