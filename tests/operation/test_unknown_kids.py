"""Invented key ids while the key endpoint hangs: callers with known keys do not notice, on real servers."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from operation.guarded import invented, known
from operation.processes import uvicorn
from support.servers import Keys, exchange, gunicorn, key_server
from support.simulator import background
from support.tokens import SigningKey, jwks

KEY = SigningKey("known-key")
RATE = 20  # invented ids in a second
SECONDS = 5.0  # a little over the time for which one request waits for an unknown key id, and a pause
PATIENCE = 20.0
BOUND = 1.5  # seconds; with no bound on those that wait it is over 2 s, with it usually under 0.1 s


@contextlib.contextmanager
def threaded(keys: Keys) -> Iterator[str]:
    options = ("--workers=2", "--threads=8")
    with gunicorn("operation.guarded:wsgi_app()", {"TEST_KEYS": keys.url}, *options) as base:
        yield base


@contextlib.contextmanager
def in_loop(keys: Keys) -> Iterator[str]:
    with uvicorn("operation.guarded:asgi_app", {"TEST_KEYS": keys.url}, "--factory") as base:
        yield base


def warm(base: str, processes: int) -> None:
    """Ask until every process has the keys."""
    seen: set[int] = set()
    while len(seen) < processes:
        reply = exchange(base, known(KEY))
        assert 200 == reply.status
        seen.add(json.loads(reply.body)["pid"])


def waits_of_known_tokens(
    serve: Callable[[Keys], AbstractContextManager[str]], processes: int
) -> list[float]:
    """Send invented ids while the endpoint hangs; give the seconds that each known token took."""
    waits: list[float] = []
    with key_server(jwks(KEY)) as keys, serve(keys) as base:
        warm(base, processes)
        keys.answering.clear()
        stop = threading.Event()

        def call() -> None:
            while not stop.is_set():
                began = time.monotonic()
                assert 200 == exchange(base, known(KEY)).status
                waits.append(time.monotonic() - began)

        callers = [background(call) for _ in range(2)]
        refused = []
        for index in range(int(RATE * SECONDS)):
            refused.append(background(exchange, base, invented(KEY, f"invented-{index}")))
            time.sleep(1 / RATE)
        assert {reply.result(PATIENCE).status for reply in refused} <= {401, 503}
        stop.set()
        for caller in callers:
            caller.result(PATIENCE)
        keys.answering.set()
    return waits


@pytest.mark.parametrize(
    ("serve", "processes"), [(threaded, 2), (in_loop, 1)], ids=["gunicorn 2 x 8", "uvicorn"]
)
def test_known_tokens_do_not_wait_while_invented_ids_wait_for_an_endpoint_that_hangs(
    serve: Callable[[Keys], AbstractContextManager[str]], processes: int
) -> None:
    waits = waits_of_known_tokens(serve, processes)
    slowest = max(waits)
    assert slowest < BOUND, f"one of {len(waits)} requests took {slowest:.3f} s"
