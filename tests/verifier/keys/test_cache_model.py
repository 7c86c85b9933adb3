"""Random histories of one key cache, judged by a small model of what it may do.

The model knows what the world did: which answers came, when, by both clocks, and who asked. It decides which
outcomes are allowed, not how they come about. Fetches run in their own threads as always, but each is held at
the endpoint until the history lets it finish, and readers are resumed by hand: nothing depends on timing.
"""

from __future__ import annotations

import functools
import queue
import random
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from doorward import KeyCache, KeysUnavailableError, Reason
from doorward.errors import FetchError, SignatureError
from doorward.forks import _renew_all
from doorward.keys.events import FetchStarted, KeyEvent
from doorward.keys.fetch import FetchResponse
from doorward.keys.flight import Flight
from doorward.keys.key import VerificationKey
from doorward.keys.milestone import Milestone
from doorward.keys.state import KeyState
from support.clock import ManualClock
from support.endpoint import KeyEndpoint
from support.tokens import SigningKey, b64, ec_key, jwks

PATIENCE: Final = 20.0
INTERVAL: Final = 64.0  # a power of two, so that the sums of the model and of the cache come out the same
BURST: Final = 3
MAX_STALE: Final = 7_200.0
GIVEN_UP: Final = 30.0
LONG_IDLE: Final = 3_600.0
IDLE_WAIT: Final = 1.0
ABSENT_FOR: Final = 60.0
ABSENT: Final = 8  # fewer than outside of this test, so that a history can get there
KIDS: Final = ("a", "b", "c", "d")

NO_PAUSE: Final = (float("-inf"), float("-inf"))

# Cache-Control, and what of it counts: seconds fresh, and seconds of use beyond that.
CACHE_CONTROL: Final[dict[str | None, tuple[float, float]]] = {
    "public, max-age=3600": (3_600.0, MAX_STALE),
    "max-age=3600, stale-if-error=60": (3_600.0, 60.0),
    "max-age=5": (60.0, MAX_STALE),
    "max-age=600, must-revalidate": (600.0, MAX_STALE),
    "max-age=99999999": (86_400.0, MAX_STALE),
    "no-store": (60.0, MAX_STALE),
    None: (3_600.0, MAX_STALE),
}

# What an endpoint may fail with, and what it may answer that is no key set to be used.
FAILURES: Final = (
    *(FetchError("status", "429", asked_for) for asked_for in (None, 0.0, 20.0, 86_400.0)),
    RuntimeError("not a FetchError"),
)
RUBBISH: Final = (
    b"<html>",
    b'{"keys": []}',
    jwks(SigningKey("b", "ES256", "b"), SigningKey("a", "ES256", "a").jwk(d=b64(b"1" * 32))),
    jwks(SigningKey("b", "ES256", "b"), {"kty": "oct", "kid": "a", "k": b64(b"1" * 32)}),
)

SECONDS: Final = st.one_of(
    st.sampled_from(
        [0.25, 1.0, 2.0, 20.0, 29.75, 30.0, 59.75, 60.0, 64.0, 300.0, 3_300.0, 3_600.0, 86_400.0]
    ),
    st.integers(1, 4 * 4 * 86_400).map(lambda quarters: quarters / 4),
)


@functools.cache
def published_key(kid: str, name: str) -> VerificationKey:
    """Give what the cache should make of that key pair under that key id."""
    return VerificationKey(kid, "ES256", ec_key(name).public_key())


@dataclass(frozen=True)
class Published:
    """What stands at the endpoint: the key pair behind each key id, and whether an unusable key stands by."""

    pairs: Mapping[str, str]
    unusable: bool = False

    def document(self) -> bytes:
        keys: list[Any] = [SigningKey(kid, "ES256", name) for kid, name in self.pairs.items()]
        if self.unusable:
            keys.append(SigningKey("z", "ES256", "z").jwk(use="enc"))
        return jwks(*keys)


class Endpoint(KeyEndpoint):
    """The endpoint without a network, with an ETag and 304 besides."""

    def __init__(self) -> None:
        super().__init__()
        self.etags = True

    def __call__(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        answer = super().__call__(url, headers)
        if not self.etags:
            return answer
        etag = f'"{b64(answer.body or b"")}"'
        body = None if headers.get("if-none-match") == etag else answer.body
        return FetchResponse(body, {**answer.headers, "etag": etag})


@dataclass(frozen=True)
class Said:
    """What the endpoint said to one fetch, and what of it counts; `published` is None for a failure."""

    answer: FetchResponse | Exception
    published: Published | None
    stale_after: float = 0.0
    dead_after: float = 0.0
    retry_after: float | None = None


@dataclass
class Ticket:
    """A fetch that waits at the endpoint."""

    thread: threading.Thread
    headers: Mapping[str, str]
    trigger: str
    number: int = 0
    began: float = 0.0
    early: Said | None = None
    said: Said | None = None
    go: threading.Event = field(default_factory=threading.Event)


@dataclass
class Held:
    """The last good answer."""

    published: Published
    arrived: float
    arrived_wall: float
    stale_after: float
    dead_after: float
    seen: dict[str, VerificationKey] = field(default_factory=dict)

    @property
    def refresh_after(self) -> tuple[float, float]:
        """The ages between which the refresh ahead of time starts; the jitter decides."""
        margin = min(self.stale_after / 10, 300.0)
        return max(0.0, self.stale_after - 1.1 * margin) - 1e-6, max(
            0.0, self.stale_after - 0.9 * margin
        ) + 1e-6


@dataclass
class Call:
    """A call into the cache, which may have to wait."""

    kind: str
    kid: str
    since: int
    waiting: Coroutine[Any, Any, Any] | None = None
    flight: Flight | None = None


class Pause:
    """Hands a flight to the runner of the coroutine, and takes what its wait comes to."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    def __await__(self) -> Generator[Flight, bool, bool]:
        return (yield self._flight)


class History(RuleBasedStateMachine):
    """One cache, one endpoint, two clocks, and the model that judges every outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.wall, self.mono = ManualClock(), ManualClock(5_000.0)
        self.endpoint = Endpoint()
        self.published = Published({"a": "a"})
        self.former: list[Published] = []
        self.arrivals: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self.started: list[FetchStarted] = []
        self.starved = False
        self.kid = KIDS[0]
        # The model.
        self.begun = 0
        self.finished = 0
        self.failed = False
        self.failures = 0
        self.pauses = {True: NO_PAUSE, False: NO_PAUSE}  # by whether there are usable keys
        self.failed_at = NO_PAUSE
        self.held: Held | None = None
        self.generation = 0
        self.current: Ticket | None = None
        self.air: list[Ticket] = []
        self.misses: list[float] = []
        self.absent: dict[str, tuple[float, int]] = {}
        self.calls: list[Call] = []
        self.asking: Call | None = None
        self.before = self.quiet[0]
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Flight, "start", self._starting(Flight.start))
        self.patch.setattr(Flight, "wait", lambda flight, timeout: self._wait(flight))
        self.patch.setattr(Flight, "wait_async", self._wait_async)
        # What comes before the endpoint is asked takes no time here.
        self.patch.setattr(Milestone, "wait", lambda milestone, timeout: True)
        self.patch.setattr(Milestone, "wait_async", self._reached)
        self.patch.setattr("doorward.keys.caching.misses._ABSENT_KIDS", ABSENT)
        self.patch.setattr("doorward.keys.caching.obtaining._log.exception", lambda *args: None)
        self.cache = KeyCache(
            "https://keys.example/certs",
            ("ES256",),
            fetch=self._fetch,
            max_stale=MAX_STALE,
            miss_interval=INTERVAL,
            miss_burst=BURST,
            listener=self._listen,
            clock=self.wall,
            monotonic=self.mono,
            rng=random.Random(7),
        )
        self._publish(self.published)

    def teardown(self) -> None:
        for call in self.calls:
            self._drop(call)
        for ticket in self.air:
            self._release(ticket, self._answer(ticket.headers))
        self.patch.undo()

    # The world.

    def _listen(self, event: KeyEvent) -> None:
        if isinstance(event, FetchStarted):
            self.started.append(event)

    def _starting(
        self, start: Callable[[Flight, Callable[[Flight], None]], bool]
    ) -> Callable[[Flight, Callable[[Flight], None]], bool]:
        def starting(flight: Flight, work: Callable[[Flight], None]) -> bool:
            def refuse(thread: threading.Thread) -> None:
                raise RuntimeError("can't start new thread")

            with self.patch.context() as patch:
                if self.starved:
                    patch.setattr(threading.Thread, "start", refuse)
                return start(flight, work)

        return starting

    def _fetch(self, url: str, headers: Mapping[str, str], /) -> FetchResponse:
        flight = self.cache._updater.flights.current
        assert flight is not None
        ticket = Ticket(threading.current_thread(), headers, flight.trigger)
        self.arrivals.put(ticket)
        assert ticket.go.wait(PATIENCE), "the history left a fetch hanging"
        assert ticket.said is not None
        if isinstance(ticket.said.answer, Exception):
            raise ticket.said.answer
        return ticket.said.answer

    def _publish(self, published: Published) -> None:
        self.former.append(self.published)
        self.published = published
        self.endpoint.body = published.document()

    def _answer(self, headers: Mapping[str, str]) -> Said:
        """Let the endpoint answer now."""
        try:
            answer = self.endpoint("", headers)
        except FetchError as error:
            return Said(error, None, retry_after=error.retry_after)
        except RuntimeError as error:
            return Said(error, None)
        sound = answer.body is None or answer.body == self.published.document()
        if not sound or not self.published.pairs:
            return Said(answer, None)
        stale_after, stale = CACHE_CONTROL[self.endpoint.headers.get("cache-control")]
        return Said(answer, self.published, stale_after, stale_after + stale)

    def _release(self, ticket: Ticket, said: Said) -> None:
        ticket.said = said
        ticket.go.set()
        ticket.thread.join(PATIENCE)
        assert not ticket.thread.is_alive(), "a fetch did not end"

    # What the model knows.

    @property
    def age(self) -> float:
        assert self.held is not None
        return max(self.mono.now - self.held.arrived, self.wall.now - self.held.arrived_wall)

    @property
    def usable(self) -> Mapping[str, str] | None:
        """The key pairs that may be used now."""
        return (
            self.held.published.pairs if self.held is not None and self.age < self.held.dead_after else None
        )

    @property
    def quiet(self) -> tuple[float, float]:
        """Between which times the pause after a failure is over; the jitter decides."""
        return self.pauses[self.usable is not None]

    @property
    def on_its_way(self) -> bool:
        """Whether there is a fetch to wait for."""
        return self.current is not None and self.mono.now - self.current.began < GIVEN_UP

    @property
    def waits_when_idle(self) -> bool:
        """Whether a read of a held key waits for the fetch on its way, after a long idle time."""
        if self.held is None or self.current is None or self.mono.now - self.current.began >= IDLE_WAIT:
            return False
        since_failure = max(self.mono.now - self.failed_at[0], self.wall.now - self.failed_at[1])
        return self.age >= self.held.stale_after + LONG_IDLE and (
            not self.failed or since_failure >= LONG_IDLE
        )

    @property
    def budget(self) -> float:
        """How many misses may still be fetched for now: what the tightest window since some miss leaves."""
        windows = [
            BURST + (self.mono.now - first) / INTERVAL - (len(self.misses) - index)
            for index, first in enumerate(self.misses)
        ]
        return min([float(BURST), *windows])

    def _known_absent(self, kid: str) -> bool:
        """Whether the endpoint was asked for that key id a moment ago, and nothing has changed since."""
        asked_at, generation = self.absent.get(kid, (float("-inf"), 0))
        return generation == self.generation and self.mono.now - asked_at < ABSENT_FOR

    def _fail(self, retry_after: float | None) -> None:
        self.failed = True
        self.failures += 1
        now = self.mono.now
        self.failed_at = (now, self.wall.now)
        if retry_after is None:
            pause = (1.0, min(300.0, 2.0**self.failures))
        else:
            pause = (min(max(retry_after, 1.0), 300.0),) * 2
        self.pauses[True] = (now + pause[0], now + pause[1])
        self.pauses[False] = (now + min(pause[0], 2.5), now + min(pause[1], 5.0))

    # What the model judges.

    def _settle(self) -> None:
        """Take note of a fetch that has begun, once it waits at the endpoint."""
        while self.begun < self.cache._updater.flights.started:
            if self.current is not None:
                assert not self.on_its_way, "two fetches at once"
                self._fail(None)
            self.begun += 1
            self.current = None
            if self.starved:
                self.finished = self.begun
                self._fail(None)
                continue
            ticket = self.arrivals.get(timeout=PATIENCE)
            ticket.number, ticket.began = self.begun, self.mono.now
            ticket.early = self._answer(ticket.headers)
            self._judge_start(ticket, self.before)
            # Those that were given up may not pile up here, or no other would be started.
            for given_up in self.air[:-1]:
                self.air.remove(given_up)
                self._release(given_up, self._answer(given_up.headers))
            self.current = ticket
            self.air.append(ticket)

    def _judge_start(self, ticket: Ticket, quiet: float) -> None:
        now = self.mono.now
        if ticket.trigger == "asked":
            assert self.asking is not None
            assert "refresh" == self.asking.kind, "a fetch that was not asked for"
            return
        assert now >= quiet, f"{ticket.trigger}: asked before its backoff was over"
        if ticket.trigger == "refresh":
            assert self.held is not None
            assert self.age >= self.held.refresh_after[0], "refreshed before its time"
        elif ticket.trigger == "cold":
            assert self.usable is None, "a cold fetch while there are keys"
        else:
            assert "unknown_kid" == ticket.trigger
            assert self.usable is not None
            assert self.budget >= 1.0, "more misses fetched for than the budget has"
            self.misses.append(now)

    def _judge(self, call: Call, outcome: object, *, gave_up: bool = False) -> None:
        """Say whether this may be what becomes of the call, for now or for good."""
        {"read": self._judge_read, "refresh": self._judge_refresh, "warm": self._judge_warm}[call.kind](
            call, outcome, gave_up
        )
        if isinstance(outcome, Flight):
            assert self.finished <= call.since, "kept waiting although its answer is there"
            assert self.on_its_way, "waits for what has been given up"
        if isinstance(outcome, KeysUnavailableError):
            assert 0.0 < outcome.retry_after <= (300.0 if self.usable is not None else 5.0)
            if not gave_up and self.finished <= call.since:
                assert not self.on_its_way, "sent away although a fetch was on its way"
                time = self.mono.now >= self.quiet[1] or call.kind == "refresh"
                spent = call.kind == "read" and self.usable is not None and self.budget < 1.0
                assert spent or not time, "sent away although it was time to ask"

    def _judge_read(self, call: Call, outcome: object, gave_up: bool) -> None:  # noqa: FBT001 - see `_judge`
        usable, kid = self.usable, call.kid
        if usable is not None and kid in usable:
            if isinstance(outcome, Flight):
                assert self.waits_when_idle, "waits for a key that is held"
                return
            assert isinstance(outcome, VerificationKey), f"a usable key was answered with {outcome!r}"
            self._judge_key(outcome, usable[kid])
            return
        assert not isinstance(outcome, VerificationKey), "a key that may not be used"
        if isinstance(outcome, SignatureError):
            assert usable is not None, "called unknown while that cannot be known"
            asked = (self.finished > call.since and not self.failed) or self._known_absent(kid)
            fresh = self.finished > call.since or kid in list(self.absent)[-ABSENT:]
            # What is known as absent may have made room for later key ids: then it is as if never asked for.
            dropped = not fresh and outcome.reason is Reason.KEY_NOT_FETCHED
            assert dropped or (Reason.UNKNOWN_KEY if asked else Reason.KEY_NOT_FETCHED) == outcome.reason
            if self.finished > call.since and not self.failed:
                self.absent.pop(kid, None)
                self.absent[kid] = (self.mono.now, self.generation)
            elif not self._known_absent(kid):
                assert not self.failed, "called unknown although the last fetch failed"
                assert not self.on_its_way, "called unknown while a fetch was on its way"
                assert self.budget < 1.0, "called unknown although there was a budget to ask"
        elif usable is not None and not gave_up:
            recent = list(self.absent)[-ABSENT:]
            assert kid not in recent or not self._known_absent(kid), "asked again for what is known as absent"
            assert isinstance(outcome, Flight) or self.failed, "unavailable, although no fetch failed"

    def _judge_key(self, key: VerificationKey, name: str) -> None:
        assert self.held is not None
        assert published_key(key.kid, name) == key, "another key than the last good answer holds"
        assert self.held.seen.setdefault(key.kid, key) is key, "the same key became another object"

    def _judge_refresh(self, call: Call, outcome: object, gave_up: bool) -> None:  # noqa: FBT001 - as above
        answered = self.finished > call.since
        if outcome is None:
            assert answered, "refreshed without asking"
            assert not self.failed
        elif isinstance(outcome, KeysUnavailableError) and not gave_up:
            assert answered, "a refresh that did not ask"
            assert self.failed

    def _judge_warm(self, call: Call, outcome: object, gave_up: bool) -> None:  # noqa: FBT001 - as above
        del gave_up
        assert (outcome is None) == (self.usable is not None)

    def _judge_refresh_begun(self) -> None:
        """After a look at the keys, a fetch is on its way if it was time for one."""
        if self.held is None or self.age < self.held.refresh_after[1] or self.mono.now < self.quiet[1]:
            return
        assert self.on_its_way or self.starved, "nothing refreshes keys that need it"

    # Who asks.

    def _begin(self, kind: str, kid: str = "") -> None:
        raise NotImplementedError

    def _wait(self, flight: Flight) -> bool:
        raise NotImplementedError

    @staticmethod
    async def _wait_async(flight: Flight, timeout: float) -> bool:  # noqa: ASYNC109 - as its original
        return await Pause(flight)

    @staticmethod
    async def _reached(milestone: Milestone, timeout: float) -> bool:  # noqa: ASYNC109 - as its original
        return True

    def _finish(self, ticket: Ticket, said: Said) -> None:
        """Let one fetch come back, and work out what that changes."""
        self.air.remove(ticket)
        self._release(ticket, said)
        if ticket is not self.current:
            return
        self.current, self.finished = None, ticket.number
        if said.published is None:
            self._fail(said.retry_after)
            return
        self.failed, self.failures = False, 0
        self.pauses = {True: NO_PAUSE, False: NO_PAUSE}
        self._hold(said.published, said.stale_after, said.dead_after)

    def _hold(self, published: Published, stale_after: float, dead_after: float) -> None:
        before, self.held = self.held, Held(published, self.mono.now, self.wall.now, stale_after, dead_after)
        if before is None or before.published != published:
            self.generation += 1
        if before is not None:
            old = before.published.pairs
            self.held.seen = {
                kid: key for kid, key in before.seen.items() if old[kid] == published.pairs.get(kid)
            }

    def _drop(self, call: Call) -> None:
        if call.waiting is not None:
            call.waiting.close()

    # Time.

    @rule(seconds=SECONDS, how=st.sampled_from(["passes", "passes", "frozen", "set back"]))
    def time(self, seconds: float, how: str) -> None:
        """Let time pass; freeze the instance, whose monotonic clock stands still; or set the wall clock."""
        self.wall.move(-seconds if how == "set back" else seconds)
        self.mono.move(seconds if how == "passes" else 0.0)

    # What is published.

    @rule(kids=st.sets(st.sampled_from(KIDS), min_size=1), unusable=st.booleans())
    def rotate(self, kids: set[str], unusable: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        self._publish(Published({kid: kid for kid in sorted(kids)}, unusable))

    @rule(kid=st.sampled_from(KIDS), how=st.sampled_from(["add", "renew", "withdraw", "roll back"]))
    def change_a_key(self, kid: str, how: str) -> None:
        """Publish one key more, another one under its id, or without it; or what was published before."""
        pairs = {one: name for one, name in self.published.pairs.items() if one != kid or how == "add"}
        if how in ("add", "renew"):
            pairs[kid] = f"{kid}-again" if how == "renew" else kid
        self._publish(self.former[-1] if how == "roll back" else Published(pairs, self.published.unusable))

    @rule(header=st.sampled_from(list(CACHE_CONTROL)), etags=st.booleans())
    def change_the_headers(self, header: str | None, etags: bool) -> None:  # noqa: FBT001 - as above
        self.endpoint.headers = {} if header is None else {"cache-control": header}
        self.endpoint.etags = etags

    @rule(fault=st.one_of(st.none(), st.none(), st.sampled_from(FAILURES), st.sampled_from(RUBBISH)))
    def behave(self, fault: Exception | bytes | None) -> None:
        """Be well, or fail in some way until the next of these."""
        self.endpoint.up()
        self.endpoint.body = fault if isinstance(fault, bytes) else self.published.document()
        if isinstance(fault, Exception):
            self.endpoint.error = fault

    @rule(starved=st.booleans())
    def run_out_of_threads(self, starved: bool) -> None:  # noqa: FBT001 - as above
        self.starved = starved

    # Who reads.

    @rule(data=st.data(), whose=st.sampled_from(["held", "held", "published", "any", "the same"]))
    def read(self, data: st.DataObject, whose: str) -> None:
        held = sorted(self.held.published.pairs) if self.held is not None else []
        kids: st.SearchStrategy[str] = {
            "held": st.sampled_from(held or KIDS),
            "published": st.sampled_from(sorted(self.published.pairs) or KIDS),
            "any": st.one_of(st.sampled_from(KIDS), st.text(max_size=8)),
            "the same": st.just(self.kid),
        }[whose]
        self.kid = data.draw(kids)
        self._begin("read", self.kid)

    @rule(count=st.sampled_from([4, 4, ABSENT + 1]), first=st.integers(0, 20))
    def flood(self, count: int, first: int) -> None:
        for index in range(count):
            self._begin("read", f"flood-{first + index}")

    @rule()
    def look(self) -> None:
        keys = self._calling(lambda: self.cache.keys(self.wall.now))
        usable = None if self.waits_when_idle else self.usable
        assert (usable is None) == (keys is None)
        if usable is not None and keys is not None:
            assert sorted(usable) == sorted(keys)
            for kid, name in usable.items():
                self._judge_key(keys[kid], name)
        self._judge_refresh_begun()

    @rule(kind=st.sampled_from(["warm", "refresh"]))
    def ask(self, kind: str) -> None:
        self._begin(kind)

    @rule(kids=st.sets(st.sampled_from(KIDS), min_size=1))
    def seed(self, kids: set[str]) -> None:
        published = Published({kid: kid for kid in sorted(kids)})
        self.cache.seed(published.document())
        if self.held is None:
            self._hold(published, 0.0, MAX_STALE)

    @rule()
    def fork(self) -> None:
        """Go on as the child: who waited, and what was fetched, is left behind."""
        for call in self.calls:
            self._drop(call)
        self.calls.clear()
        self.current = None
        _renew_all()

    def _calling(self, call: Callable[[], Any]) -> Any:
        """Call into the cache, and take note of what began meanwhile."""
        self.before = self.quiet[0]
        outcome = call()
        self._settle()
        return outcome

    # What holds at any time.

    @invariant()
    def the_state_is_what_the_larger_of_both_ages_makes_it(self) -> None:
        assert self._expected_states() >= {self.cache.state}
        assert (self.usable is not None) == self.cache.ready

    def _expected_states(self) -> set[KeyState]:
        if self.held is None:
            return {KeyState.EMPTY}
        earliest, latest = self.held.refresh_after
        if self.age >= self.held.dead_after:
            return {KeyState.DEAD}
        if self.age >= self.held.stale_after:
            return {KeyState.STALE}
        states = {KeyState.FRESH} if self.age < latest else set()
        return states | ({KeyState.AGEING} if self.age >= earliest else set())

    @invariant()
    def the_generation_counts_the_sets_that_differ(self) -> None:
        assert self.generation == self.cache.generation

    @invariant()
    def the_age_counts_from_the_last_good_answer(self) -> None:
        assert (None if self.held is None else self.age) == self.cache.age

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert ABSENT >= len(self.cache._misses._absent)

    @invariant()
    def it_knows_whether_it_fetches(self) -> None:
        assert self.on_its_way == self.cache.refreshing
        assert self.failures == self.cache.health()["failures"]


class FinishesAtOnce(History):
    """Fetches are answered at once, or hang; readers are threads that block."""

    def __init__(self) -> None:
        super().__init__()
        self.hanging = False

    @rule(hanging=st.booleans())
    def hang(self, hanging: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        self.hanging = hanging

    def _begin(self, kind: str, kid: str = "") -> None:
        call = self.asking = Call(kind, kid, self.begun)
        self.gave_up = False
        ask: Callable[[], Any] = {
            "read": lambda: self.cache.get(kid),
            "refresh": self.cache.refresh,
            "warm": self.cache.warm,
        }[kind]
        self.before = self.quiet[0]
        outcome: object
        try:
            outcome = ask()
        except (SignatureError, KeysUnavailableError) as error:
            outcome = error
        self._settle()
        self._judge(call, outcome, gave_up=self.gave_up)
        if kind == "read":
            self._judge_refresh_begun()
        self._finish_all()

    def _wait(self, flight: Flight) -> bool:
        assert self.asking is not None
        self._settle()
        self._judge(self.asking, flight)
        assert self.current is not None
        if self.hanging:
            self.gave_up = True
            return False
        self._finish(self.current, self._answer(self.current.headers))
        self.before = self.quiet[0]
        assert flight.finished
        return True

    def _finish_all(self) -> None:
        if self.current is not None and not self.hanging:
            self._finish(self.current, self._answer(self.current.headers))

    @rule()
    def look(self) -> None:
        super().look()
        self._finish_all()


class FinishesInAnyOrder(History):
    """Fetches come back when the history says so, in any order; readers are tasks that wait until then."""

    def _begin(self, kind: str, kid: str = "") -> None:
        waiting: Coroutine[Any, Any, Any] = {
            "read": lambda: self.cache.aget(kid),
            "refresh": self.cache.arefresh,
            "warm": self.cache.awarm,
        }[kind]()
        self._step(Call(kind, kid, self.begun, waiting), None)

    def _step(self, call: Call, finished: bool | None) -> None:  # noqa: FBT001 - what its wait came to
        assert call.waiting is not None
        self.asking = call
        self.before = self.quiet[0]
        outcome: object
        try:
            outcome = call.waiting.send(finished)
        except StopIteration as end:
            outcome = end.value
        except (SignatureError, KeysUnavailableError) as error:
            outcome = error
        self._settle()
        self._judge(call, outcome, gave_up=finished is False)
        if call.kind == "read" and finished is not False:
            self._judge_refresh_begun()
        if isinstance(outcome, Flight):
            call.flight = outcome
            self.calls.append(call)

    @precondition(lambda self: self.air)
    @rule(data=st.data(), early=st.booleans(), backwards=st.booleans())
    def finish(self, data: st.DataObject, early: bool, backwards: bool) -> None:  # noqa: FBT001 - as above
        """Let a fetch come back, with what was published when it began or with what is now."""
        ticket = data.draw(st.sampled_from(self.air))
        assert ticket.early is not None
        self._finish(ticket, ticket.early if early else self._answer(ticket.headers))
        ready, self.calls = (
            [call for call in self.calls if call.flight is not None and call.flight.finished is finished]
            for finished in (True, False)
        )
        for call in reversed(ready) if backwards else ready:
            self._step(call, finished=True)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def lose_patience(self, data: st.DataObject) -> None:
        call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        self._step(call, finished=False)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        assert call.waiting is not None
        with pytest.raises(GeneratorExit):
            call.waiting.throw(GeneratorExit)


_SETTINGS: Final = settings(
    deadline=None,
    max_examples=150,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestHistoriesWhereFetchesFinishAtOnce = FinishesAtOnce.TestCase
TestHistoriesWhereFetchesFinishAtOnce.settings = _SETTINGS
TestHistoriesWhereFetchesFinishInAnyOrder = FinishesInAnyOrder.TestCase
TestHistoriesWhereFetchesFinishInAnyOrder.settings = _SETTINGS
