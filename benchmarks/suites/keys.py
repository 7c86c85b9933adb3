"""Key caches beside each other: how often they ask, and how long their callers wait.

One key endpoint on loopback, in a process of its own, answers after 100 ms with ``max-age=300`` and an ETag,
and counts. Every contender checks real tokens against it, through the call that its users make:

- herd: nothing is cached, 200 threads check a token each at the same moment;
- flood: keys have been cached for a minute; 15 threads send 1,000 tokens that name random key ids and are
  right in all but the signature, while one thread goes on checking good tokens; cut short after 20 s;
- hang: the cached keys have just got too old for the contender, the endpoint takes 3 s to answer, and 20
  threads check 5 good tokens each;
- outage: keys are cached, then the endpoint drops every connection for an hour, and a good token is checked
  every minute;
- withdrawn: keys are cached, then the endpoint publishes another key in their place, and a token of the old
  key is checked every 30 s for up to 25 hours: how long is it believed?

No hour is waited for: the contenders' clocks are moved. doorward takes a clock as an argument. For the others
the name ``time``, in the modules of theirs that tell the age of keys, is replaced by an object that is the
standard module but for an offset. What they read to judge the ``exp`` of a token is left alone, and so is the
clock of doorward's verifier: tokens are made for the real time. The endpoint dates its answers by the moved
clock, since CacheControl and doorward look at that date. After each step of a moved clock the script waits
until doorward has no fetch on its way: half a minute would have been enough for one. doorward's memory of
verified tokens is off, so that every check looks for its key.

Each figure is the median of the runs (three by default); the longest wait is the longest of all checks of a
run. Modules are imported beforehand: imports are not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import platform
import statistics
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import auth_jwks.base
import cachecontrol.controller
import google.auth.transport.requests
import google.oauth2.id_token
import httpx  # noqa: F401 - imported before anything is measured; doorward would at its first fetch
import jwt.api_jwk
import jwt.jwk_set_cache
import jwt.jwks_client
import requests
from harness.threads import together
from harness.tokens import AUDIENCE, ISSUER, Key

import doorward

ANSWER_AFTER = 0.1
MAX_AGE = 300
DAY = 86_400.0
STEP = 30.0
CONTEXT = multiprocessing.get_context("spawn")

# The endpoint, in a process of its own.


class Endpoint(BaseHTTPRequestHandler):
    """Answers ``/keys/N`` for run N, as ``/control/N`` has told it to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    runs: ClassVar[dict[str, dict[str, Any]]] = {}
    offset: ClassVar[Any] = None
    lock: ClassVar[threading.Lock] = threading.Lock()

    def do_PUT(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.lock:
            self.runs[self.path.rpartition("/")[2]] = told | {"fetches": 0}
        self.answer(200, b"")

    def do_GET(self) -> None:
        _, what, name = self.path.split("/")
        with self.lock:
            run = self.runs[name]
            run["fetches"] += what == "keys"
        if what == "control":
            self.answer(200, json.dumps(run["fetches"]).encode())
        elif run["down"]:
            self.close_connection = True
        else:
            time.sleep(run["delay"])
            body = json.dumps({"keys": run["keys"]}).encode()
            etag = f'"{run["keys"][0]["kid"]}"'
            unchanged = self.headers.get("if-none-match") == etag
            self.answer(304 if unchanged else 200, b"" if unchanged else body, etag)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.offset.value if timestamp is None else timestamp)

    def answer(self, status: int, body: bytes, etag: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if etag is not None:
            self.send_header("cache-control", f"public, max-age={MAX_AGE}")
            self.send_header("etag", etag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went away."""


def serve(pipe: Connection, offset: Any) -> None:  # noqa: ANN401 - what RawValue makes has no name
    Endpoint.offset = offset
    server = Server(("127.0.0.1", 0), Endpoint)
    pipe.send(server.server_address[1])
    server.serve_forever()


@dataclass
class Run:
    """One run of one scenario: its own address, and what the endpoint does there."""

    base: str
    name: str

    @property
    def url(self) -> str:
        return f"{self.base}/keys/{self.name}"

    def tell(self, *keys: dict[str, Any], delay: float = ANSWER_AFTER, down: bool = False) -> None:
        """Say how to answer from now on, and count from nothing again."""
        body = json.dumps({"keys": keys, "delay": delay, "down": down}).encode()
        request = urllib.request.Request(f"{self.base}/control/{self.name}", body, method="PUT")
        urllib.request.urlopen(request).close()

    @property
    def fetches(self) -> int:
        with urllib.request.urlopen(f"{self.base}/control/{self.name}") as answer:
            return int(json.load(answer))


# Time.


class Moved:
    """The standard module `time`, but for an offset that the endpoint's process sees too."""

    def __init__(self) -> None:
        self.shared = CONTEXT.RawValue("d", 0.0)

    @property
    def offset(self) -> float:
        return float(self.shared.value)

    def move(self, seconds: float) -> None:
        self.shared.value += seconds

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def time(self) -> float:
        return time.time() + self.offset

    def monotonic(self) -> float:
        return time.monotonic() + self.offset


CLOCK = Moved()
for module in (jwt.api_jwk, jwt.jwk_set_cache, jwt.jwks_client, cachecontrol.controller, auth_jwks.base):
    assert vars(module)["time"] is time, f"{module.__name__} reads the time in another way than it did"
    vars(module)["time"] = CLOCK


# The contenders. Each gets the URL of the keys and says how to check a token; a check raises if it refuses.


@dataclass
class Contender:
    """What is measured.

    Attributes:
        check: Checks one token.
        fresh_for: Seconds after which it takes its keys for too old.
        busy: Whether it has a fetch on its way that no caller waits for.
        close: Lets go of what it holds.
    """

    check: Callable[[str], object]
    fresh_for: float
    busy: Callable[[], bool] = lambda: False
    close: Callable[[], object] = lambda: None

    def settle(self) -> None:
        while self.busy():
            time.sleep(0.001)


def doorward_cache(url: str) -> Contender:
    issuer = doorward.Issuer(name="bench", iss_values=(ISSUER,), key_url=url)
    cache = doorward.KeyCache(url, clock=CLOCK.time, monotonic=CLOCK.monotonic)
    verifier = doorward.Verifier(AUDIENCE, issuers=[issuer], key_cache=lambda _: cache, token_cache_size=0)
    return Contender(verifier.verify, MAX_AGE, busy=lambda: cache.refreshing)


def pyjwt_client(url: str, *, lifespan: float = 300.0, cache_keys: bool = False) -> Contender:
    client = jwt.PyJWKClient(url, lifespan=lifespan, cache_keys=cache_keys)

    def check(token: str) -> None:
        key = client.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)

    return Contender(check, lifespan)


def google_auth(url: str, *, cached: bool) -> Contender:
    session = requests.session()
    request = google.auth.transport.requests.Request(
        session=cachecontrol.CacheControl(session) if cached else session
    )

    def check(token: str) -> None:
        google.oauth2.id_token.verify_token(token, request, AUDIENCE, certs_url=url)

    return Contender(check, MAX_AGE if cached else 0.0, close=session.close)


def auth_jwks_client(url: str) -> Contender:
    """Check in an event loop of its own; a caller's wait is that of its task."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> auth_jwks.JWKS:
        return auth_jwks.JWKS(jwks_uri=url, issuer=ISSUER, aud=AUDIENCE)

    jwks = asyncio.run_coroutine_threadsafe(make(), loop).result()

    def check(token: str) -> None:
        asyncio.run_coroutine_threadsafe(jwks.verify_token(token), loop).result()

    def close() -> None:
        asyncio.run_coroutine_threadsafe(jwks.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    return Contender(check, 900.0, close=close)


CONTENDERS: dict[str, Callable[[str], Contender]] = {
    "doorward": doorward_cache,
    "PyJWKClient": pyjwt_client,
    "PyJWKClient, lifespan=86400": partial(pyjwt_client, lifespan=DAY),
    "PyJWKClient, cache_keys=True": partial(pyjwt_client, cache_keys=True),
    "google-auth": partial(google_auth, cached=False),
    "google-auth, CacheControl": partial(google_auth, cached=True),
    "auth-jwks": auth_jwks_client,
}

# The scenarios.


@dataclass
class Outcome:
    """What one run came to; a check that should have passed and did not is an error."""

    fetches: int = 0
    waits: list[float] = field(default_factory=list)
    good_waits: list[float] = field(default_factory=list)
    checks: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    believed: float | None = None

    def timed(self, contender: Contender, token: str, *, good: bool = True) -> None:
        began = time.perf_counter()
        try:
            contender.check(token)
        except Exception as error:  # noqa: BLE001 - whatever a contender raises is its answer
            name: str | None = type(error).__name__ if good else None
        else:
            name = None if good else "accepted a bad token"
        waited = time.perf_counter() - began
        self.waits.append(waited)
        self.checks += 1
        if good:
            self.good_waits.append(waited)
        if name is not None:
            self.errors[name] += 1


OLD, NEW, STRANGER = (Key(kid=kid) for kid in ("key-1", "key-2", "stranger"))


def warmed(contender: Contender, run: Run) -> None:
    run.tell(OLD.jwk)
    contender.check(OLD.token())
    contender.settle()


def herd(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    tokens = [OLD.token() for _ in range(200)]
    run.tell(OLD.jwk)
    together(200, lambda number: outcome.timed(contender, tokens[number]))
    outcome.fetches = run.fetches
    return outcome


def flood(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    bad = [STRANGER.token(kid=f"random-{number}") for number in range(1000)]
    good = OLD.token()
    warmed(contender, run)
    CLOCK.move(60)
    run.tell(OLD.jwk)
    left, at_it = iter(bad), [15]
    lock = threading.Lock()
    until = time.monotonic() + 20

    def send(number: int) -> None:
        if number == 15:
            while at_it[0]:
                outcome.timed(contender, good)
                time.sleep(0.005)
            return
        while time.monotonic() < until:
            with lock:
                token = next(left, None)
            if token is None:
                break
            outcome.timed(contender, token, good=False)
        with lock:
            at_it[0] -= 1

    together(16, send)
    contender.settle()
    outcome.fetches = run.fetches
    outcome.checks -= len(outcome.good_waits)
    return outcome


def hang(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    good = OLD.token()
    warmed(contender, run)
    CLOCK.move(contender.fresh_for + 10)
    run.tell(OLD.jwk, delay=3.0)

    def read(_: int) -> None:
        for _ in range(5):
            outcome.timed(contender, good)
            time.sleep(0.1)

    together(20, read)
    contender.settle()
    outcome.fetches = run.fetches
    return outcome


def outage(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    good = OLD.token()
    warmed(contender, run)
    run.tell(OLD.jwk, down=True)
    for _ in range(60):
        CLOCK.move(60)
        outcome.timed(contender, good)
        contender.settle()
    outcome.fetches = run.fetches
    return outcome


def withdrawn(contender: Contender, run: Run) -> Outcome:
    outcome = Outcome()
    good = OLD.token()
    warmed(contender, run)
    run.tell(NEW.jwk)
    began = CLOCK.offset
    while CLOCK.offset - began < DAY + 3600:
        CLOCK.move(STEP)
        try:
            contender.check(good)
        except Exception:  # noqa: BLE001 - refused at last
            outcome.believed = CLOCK.offset - began
            break
        contender.settle()
    outcome.fetches = run.fetches
    return outcome


SCENARIOS: dict[str, Callable[[Contender, Run], Outcome]] = {
    scenario.__name__: scenario for scenario in (herd, flood, hang, outage, withdrawn)
}

# Measuring and telling.


@contextmanager
def endpoint() -> Iterator[str]:
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=serve, args=(theirs, CLOCK.shared), daemon=True)
    process.start()
    try:
        assert ours.poll(30), "the endpoint did not start"
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def measure(base: str, name: str, scenario: str, runs: int) -> dict[str, Any]:
    outcomes = []
    for number in range(runs):
        run = Run(base, f"{name}-{scenario}-{number}".replace(" ", ""))
        CLOCK.move(-CLOCK.offset)
        contender = CONTENDERS[name](run.url)
        try:
            outcomes.append(SCENARIOS[scenario](contender, run))
            contender.settle()
        finally:
            contender.close()
    believed = [one.believed for one in outcomes if one.believed is not None]
    return {
        "contender": name,
        "scenario": scenario,
        "fetches": statistics.median_low([one.fetches for one in outcomes]),
        "checks": statistics.median_low([one.checks for one in outcomes]),
        "longest_wait_ms": _milliseconds([one.waits for one in outcomes]),
        "longest_wait_of_a_good_token_ms": _milliseconds([one.good_waits for one in outcomes]),
        "errors": statistics.median_low([one.errors.total() for one in outcomes]),
        "kinds_of_error": sorted({kind for one in outcomes for kind in one.errors}),
        "believed_for_s": statistics.median_low(believed) if len(believed) == len(outcomes) else None,
    }


def _milliseconds(waits: list[list[float]]) -> float | None:
    longest = [max(one) for one in waits if one]
    return round(statistics.median(longest) * 1000, 1) if longest else None


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _cell(result: dict[str, Any]) -> str:
    if result["scenario"] == "withdrawn":
        believed = result["believed_for_s"]
        if believed is None:
            return "over 25 h"
        return "not at all" if believed <= STEP else f"{believed:,.0f} s"
    fetches = _count(result["fetches"], "fetch", "fetches")
    wait = f"{result['longest_wait_ms']:,.0f} ms"
    if result["scenario"] == "flood":
        fetches += "" if result["checks"] == 1000 else f" for {result['checks']} tokens (cut short)"
        wait += f" (good tokens {result['longest_wait_of_a_good_token_ms']:,.0f} ms)"
    kinds = f" ({', '.join(result['kinds_of_error'])})" if result["errors"] else ""
    return f"{fetches}, {wait}, {_count(result['errors'], 'error', 'errors')}{kinds}"


def table(results: list[dict[str, Any]]) -> str:
    scenarios = list(dict.fromkeys(result["scenario"] for result in results))
    lines = [f"| | {' | '.join(scenarios)} |", "|---" * (len(scenarios) + 1) + "|"]
    for name in dict.fromkeys(result["contender"] for result in results):
        cells = [_cell(result) for result in results if result["contender"] == name]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure key caches beside each other.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each; 3 by default")
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="measure this contender alone")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="run this scenario alone")
    settings = parser.parse_args()
    logging.disable(logging.CRITICAL)
    results: list[dict[str, Any]] = []
    with endpoint() as base:
        results += [
            measure(base, name, scenario, settings.runs)
            for name in settings.only or CONTENDERS
            for scenario in settings.scenario or SCENARIOS
        ]
    packages = ("doorward", "PyJWT", "google-auth", "CacheControl", "requests", "auth-jwks", "httpx")
    versions = {package: version(package) for package in packages}
    print(table(results))
    print()
    print(f"{platform.python_implementation()} {platform.python_version()};", end=" ")
    print(", ".join(f"{package} {number}" for package, number in versions.items()), end=".\n")
    if settings.json:
        document = {"python": platform.python_version(), "versions": versions, "results": results}
        settings.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
