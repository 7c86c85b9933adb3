"""A key endpoint over real HTTP, and the clocks of its clients: changed in one line, and it counts."""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
import trio

from doorward import Door, KeyCache, Principal, Verifier
from doorward.door.admission import Admission
from doorward.door.refusal import Refusal
from doorward.keys.events import KeyEvent
from doorward.keys.fetch import SIZE_LIMIT, FetchResponse, HttpxFetch
from doorward.keys.flight import FOLLOW_UP_THREAD, Flight
from doorward.keys.key import VerificationKey
from doorward.keys.source import KeySource
from support.clock import ManualClock
from support.httpendpoint import HttpEndpoint, Peer, Script, answering, repeating, response
from support.tokens import AUDIENCE, SigningKey, b64, jwks, token

__all__ = [
    "APIS",
    "PATIENCE",
    "Api",
    "SimulatedEndpoint",
    "background",
    "join_all_but_one",
    "join_fetches",
    "join_follow_ups",
    "watch_readers",
]

PATIENCE = 10.0
"""Seconds that anything here is waited for at most."""

T = TypeVar("T")
E = TypeVar("E", bound=KeyEvent)

Published = SigningKey | Mapping[str, Any]


class SimulatedEndpoint(HttpEndpoint):
    """Publishes keys; one call makes it misbehave from then on, and `heal` ends that.

    Each request is answered with what was published when it came, as by a server that is slow to send.

    Attributes:
        keys: What it publishes; see `rotate` and `roll_back`.
        cache_control: What it says of its answers.
        deadline: Seconds that a fetch of the caches made here may take; short only where it has to fail.
        wall: The wall clock of the caches made here.
        monotonic: Their monotonic clock, which starts far from the other, so that they cannot be mixed up.
        events: What these caches reported to their listener.
    """

    def __init__(self, *keys: Published) -> None:
        super().__init__(self._respond)
        self.keys: tuple[Published, ...] = keys
        self.cache_control = "public, max-age=3600"
        self.deadline = PATIENCE
        self.wall = ManualClock()
        self.monotonic = ManualClock(5_000.0)
        self._events: list[KeyEvent] = []
        self._former: list[tuple[Published, ...]] = []
        self._behaviour: Script = self._publish
        self._gates: list[threading.Event] = []
        self._came = threading.Semaphore(0)

    def close(self) -> None:
        """Let every request that hangs go on, and end."""
        for gate in self._gates:
            gate.set()
        super().close()
        join_fetches()

    # What came in.

    @property
    def fetches(self) -> int:
        return len(self.requests)

    def await_fetch(self) -> None:
        """Wait for a request that was not waited for yet."""
        assert self._came.acquire(timeout=PATIENCE), "no request came"

    @property
    def events(self) -> list[KeyEvent]:
        """Return what was reported, once no finished fetch has anything to report any more."""
        join_follow_ups()
        return self._events

    def events_of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    # What it publishes.

    def rotate(self, *keys: Published) -> None:
        self._former.append(self.keys)
        self.keys = keys

    def roll_back(self) -> None:
        """Publish the key set before this one again."""
        self.keys = self._former.pop()

    # How it behaves.

    def heal(self) -> None:
        self._behaviour = self._publish

    def hang(self) -> threading.Event:
        """Answer no request that comes from now on before the event is set."""
        gate = threading.Event()
        self._gates.append(gate)

        def script(peer: Peer) -> None:
            whole = self._whole(peer)
            assert gate.wait(PATIENCE), "the test left the endpoint hanging"
            peer.send(whole)

        self._behaviour = script
        return gate

    def drip(self) -> None:
        """Send a byte now and then, each soon enough for a read timeout, and never all of them."""
        self._behaviour = repeating(response(length=10_000), b" ", 10_000, pause=0.05)

    def fail(self, status: str = "500 Internal Server Error") -> None:
        self._behaviour = answering(b"<h1>Error</h1>", status=status)

    def throttle(self, retry_after: float = 120) -> None:
        self._behaviour = answering(f"Retry-After: {retry_after:g}", status="429 Too Many Requests")

    def redirect(self) -> None:
        """Send them to where the keys are."""
        there = answering(f"Location: {self.url}-elsewhere", status="302 Found")
        self._behaviour = lambda peer: (there if peer.request.target == "/certs" else self._publish)(peer)

    def truncate(self) -> None:
        """Break off in the middle of the body."""
        body = jwks(*self.keys)
        self._behaviour = answering(body[:100], length=len(body))

    def bomb(self) -> None:
        """Send little that becomes much when it is decompressed."""
        packed = gzip.compress(jwks(*self.keys) + b" " * 20 * SIZE_LIMIT)
        self._behaviour = answering(packed, "Content-Encoding: gzip")

    def oversized(self) -> None:
        self._behaviour = answering(jwks(*self.keys) + b" " * SIZE_LIMIT)

    def page(self) -> None:
        """Answer with a page, as a captive portal does."""
        self._behaviour = answering(b"<!doctype html><title>Welcome</title>", "Content-Type: text/html")

    def mislabel(self) -> None:
        """Send the keys as another content type."""
        self._behaviour = answering(jwks(*self.keys), "Content-Type: text/html")

    def cut_json(self) -> None:
        """Send the whole of an answer whose JSON ends too early."""
        self._behaviour = answering(jwks(*self.keys)[:-1])

    def private(self) -> None:
        """Publish the private part of a key besides the good ones."""
        self._behaviour = answering(jwks(*self.keys, SigningKey("leaked").jwk(d=b64(b"1" * 256))))

    def symmetric(self) -> None:
        """Publish a shared secret besides the good keys."""
        self._behaviour = answering(jwks(*self.keys, {"kty": "oct", "kid": "shared", "k": b64(b"1" * 32)}))

    def empty_set(self) -> None:
        self._behaviour = answering(b'{"keys": []}')

    def empty_body(self) -> None:
        self._behaviour = answering(b"")

    def unusable_set(self) -> None:
        """Publish only keys that no ID token can be signed with."""
        self._behaviour = answering(jwks(SigningKey("encrypts").jwk(use="enc")))

    def duplicate_member(self) -> None:
        """Send the member ``keys`` twice, so that two readers may read two key sets."""
        self._behaviour = answering(b'{"keys": [], ' + jwks(*self.keys)[1:])

    # What time it is for its clients.

    def pass_time(self, seconds: float) -> None:
        self.wall.move(seconds)
        self.monotonic.move(seconds)

    def freeze(self, seconds: float) -> None:
        """Freeze the instance, as without CPU: its monotonic clock stands still, the wall clock does not."""
        self.wall.move(seconds)

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self.wall.move(seconds)

    # Its clients.

    def fetch(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        """Ask over httpx, as a cache does by default, with the deadline of the moment."""
        return HttpxFetch(deadline=self.deadline)(url, headers)

    def cache(self, **settings: Any) -> KeyCache:
        """Make a cache over this endpoint, with these clocks and this list of events."""
        made: dict[str, Any] = {
            "fetch": self.fetch,
            "clock": self.wall,
            "monotonic": self.monotonic,
            "listener": self._events.append,
            "rng": random.Random(20_260_922),
        }
        return KeyCache(self.url, **{**made, **settings})

    def verifier(self, cache: KeyCache) -> Verifier:
        return Verifier(AUDIENCE, key_cache=lambda issuer: cache, clock=self.wall)

    def token(self, key: SigningKey, **changed: Any) -> str:
        return token(key, self.wall.now, **changed)

    # How it answers.

    def _respond(self, peer: Peer) -> None:
        behaviour = self._behaviour
        self._came.release()
        behaviour(peer)

    def _publish(self, peer: Peer) -> None:
        peer.send(self._whole(peer))

    def _whole(self, peer: Peer) -> bytes:
        body = jwks(*self.keys)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (f"Cache-Control: {self.cache_control}", f"ETag: {etag}")
        if peer.request.headers.get("if-none-match") == etag:
            return response(b"", *headers, status="304 Not Modified", length=-1)
        return response(body, "Content-Type: application/json", *headers)


class Api:
    """A way to call what has a sync and an async form: from a thread, from asyncio or from trio."""

    def __init__(self, name: str, run: Callable[[Callable[[], Awaitable[Any]]], Any] | None) -> None:
        self._name = name
        self._run = run

    def __str__(self) -> str:
        return self._name

    def _call(self, plain: Callable[..., T], awaited: Callable[..., Awaitable[T]], *args: object) -> T:
        if self._run is None:
            return plain(*args)
        made: T = self._run(functools.partial(awaited, *args))
        return made

    def get(self, source: KeySource, kid: str) -> VerificationKey:
        return self._call(source.get, source.aget, kid)

    def warm(self, source: KeySource | Verifier) -> None:
        self._call(source.warm, source.awarm)

    def refresh(self, cache: KeyCache) -> None:
        self._call(cache.refresh, cache.arefresh)

    def verify(self, verifier: Verifier, one: str) -> Principal:
        return self._call(verifier.verify, verifier.averify, one)

    def admit(self, door: Door, headers: list[tuple[bytes, bytes]]) -> Admission | Refusal:
        return self._call(door.admit, door.aadmit, headers)


def _in_asyncio(call: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await call()

    return asyncio.run(main())


APIS = (Api("threads", None), Api("asyncio", _in_asyncio), Api("trio", trio.run))


def background(call: Callable[..., T], *args: object) -> Future[T]:
    """Call in a thread of its own; the result is asked for with a bound."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call(*args))
        except BaseException as error:  # noqa: BLE001 - the caller that asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, name="test-reader", daemon=True).start()
    return future


def watch_readers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make a function that returns as soon as one more reader has begun to wait for a fetch."""
    begun = threading.Semaphore(0)
    wait, wait_async = Flight.wait, Flight.wait_async

    def waiting(self: Flight, timeout: float) -> bool:
        begun.release()
        return wait(self, timeout)

    async def waiting_async(self: Flight, timeout: float) -> bool:  # noqa: ASYNC109 - as its original
        begun.release()
        return await wait_async(self, timeout)

    def await_reader() -> None:
        assert begun.acquire(timeout=PATIENCE), "no reader waits for a fetch"

    monkeypatch.setattr(Flight, "wait", waiting)
    monkeypatch.setattr(Flight, "wait_async", waiting_async)
    return await_reader


def join_follow_ups() -> None:
    """Wait until all is reported and stored of the fetches that are over."""
    _join(FOLLOW_UP_THREAD)


def join_fetches() -> None:
    """Wait until no key cache fetches any more, and all events are reported."""
    _join("doorward-keys", FOLLOW_UP_THREAD)


def join_all_but_one() -> None:
    """Wait until at most one thread of the key caches runs, which hangs on purpose."""
    until = time.monotonic() + PATIENCE
    while 1 < sum(thread.name.startswith("doorward-keys") for thread in threading.enumerate()):
        assert time.monotonic() < until, "threads of key caches pile up"
        time.sleep(0.01)


def _join(*names: str) -> None:
    """Wait for the threads of these names, also for those that they start meanwhile."""
    while threads := [thread for thread in threading.enumerate() if thread.name in names]:
        for thread in threads:
            if thread is threading.current_thread():
                return  # a listener, which looks at what was reported before
            thread._started.wait(PATIENCE)  # type: ignore[attr-defined]  # else it cannot be joined
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a fetch, a listener or a file did not end"
