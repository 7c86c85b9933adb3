"""The updating of the keys of one endpoint: when it is asked, and how its answer replaces what is held.

There is one `Flight` at a time. A caller that decides whether the endpoint is asked holds the lock for the
decision, and never while a request is under way.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from doorward.errors import FetchError, KeysUnavailableError
from doorward.keys.caching.budget import Backoff
from doorward.keys.caching.endpoint_client import EndpointClient, PublishedKeys
from doorward.keys.caching.reporter import Reporter
from doorward.keys.caching.snapshot import Snapshot, SnapshotFile
from doorward.keys.events import FetchStarted, SetRefused
from doorward.keys.flight import Flight
from doorward.keys.http.freshness import Freshness
from doorward.keys.state import NOTHING_HELD, HeldKeys, refresh_age

__all__ = ["LONG_IDLE_WAIT", "Updater"]

_log: Final = logging.getLogger("doorward.keys")

_SHORTEST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 300.0
_OUTCOMES: Final = ("changed", "unchanged", "not_modified", "failed")
_GIVE_UP: Final = 30.0  # well over the deadline of a fetch, which a name look-up that hangs does not keep

_LONG_IDLE: Final = 3_600.0  # seconds past their freshness after which keys are not used without a look
LONG_IDLE_WAIT: Final = 1.0
"""Seconds for which a read of a held key waits at most after a long idle time."""


class Updater:
    """Holds the keys of one endpoint, and replaces them.

    Attributes:
        held: What is held now; replaced whole, by storing one reference.
        lock: Held for a decision whether the endpoint is asked, never while it is asked.
        started: Counts the flights that have started.
        backoff: When the endpoint may be asked again after failures.
        last_error: Why the last fetch failed; None if it did not.
        fetches: Counts of fetches by outcome.
    """

    def __init__(
        self,
        client: EndpointClient,
        file: SnapshotFile | None,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Start from the snapshot, if there is a usable one.

        Args:
            client: Asks the endpoint.
            file: Keeps the last good answer; None if none is kept.
            reporter: Receives the events.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
            rng: Source of the jitter.
        """
        self._client: Final = client
        self._file: Final = file
        self._reporter: Final = reporter
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._random: Final = rng
        self.held: HeldKeys = NOTHING_HELD
        self.lock: threading.Lock = threading.Lock()
        self.started: int = 0
        self.backoff: Final[Backoff] = Backoff(_SHORTEST_BACKOFF, _LONGEST_BACKOFF, rng)
        self.last_error: FetchError | None = None
        self.fetches: Final[dict[str, int]] = dict.fromkeys(_OUTCOMES, 0)
        self._body = b""
        self._current_flight: Flight | None = None
        self._last_finished = 0
        self._failed_at = (-math.inf, -math.inf)  # by both clocks
        self._store_lock = threading.Lock()
        if file is not None and (kept := file.load(client.url, clock())) is not None:
            self._start_from(kept)
        _updaters.add(self)

    # Deciding. The caller holds the lock, except for looks at `flight_under_way` that decide nothing.

    def flight_under_way(self, now: float) -> Flight | None:
        """Return the flight on its way; None if there is none, or if it is given up after 30 s.

        Args:
            now: The time on the monotonic clock.
        """
        flight = self._current_flight
        return flight if flight is not None and now - flight.started_at < _GIVE_UP else None

    def long_idle_flight(self, now: float, wall: float) -> Flight | None:
        """Return the flight that a read of a held key should wait for; None if the key is used at once.

        After a long idle time the keys are more than an hour past their freshness, and one of them may have
        been withdrawn. Where nothing indicates that the endpoint is away, it answers within a second.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        held, flight = self.held, self._current_flight
        if flight is None or now - flight.started_at >= LONG_IDLE_WAIT:
            return None
        if held.age(now, wall) < held.stale_after + _LONG_IDLE:
            return None
        # An old failure says nothing of now: an instance may have been idle ever since.
        since_failure = max(now - self._failed_at[0], wall - self._failed_at[1])
        return flight if self.last_error is None or since_failure >= _LONG_IDLE else None

    def finished_since(self, started: int) -> bool:
        """Return whether a flight is over that started since then.

        Args:
            started: What `started` was then. It is a count, since a clock may show one time before and after.
        """
        return self._last_finished > started

    def share(self, since: int, now: float, *, patient: bool = True) -> Flight | None:
        """Return the flight to wait for; None if it is time to start one.

        Args:
            since: What `started` was when the request came.
            now: The time on the monotonic clock.
            patient: Whether the pause after a failure is kept.

        Raises:
            KeysUnavailableError: If a flight that started since then has failed, or the pause is not over.
        """
        if self.finished_since(since):
            raise self.unavailable(now)
        flight = self.flight_under_way(now)
        if flight is None and patient and self.backoff.left(now):
            raise self.unavailable(now)
        return flight

    def unavailable(self, now: float) -> KeysUnavailableError:
        """Make the error which says that the keys cannot be fetched now.

        Args:
            now: The time on the monotonic clock.
        """
        cause = f": {self.last_error}" if self.last_error else ""
        message = f"the keys of {self._client.shown_url} cannot be fetched now{cause}"
        return KeysUnavailableError(message, self.backoff.left(now) or _SHORTEST_BACKOFF)

    def start(self, trigger: str, now: float) -> Flight:
        """Start a flight.

        Args:
            trigger: Why; see `FetchStarted`.
            now: The time on the monotonic clock.

        Returns:
            The flight; it may be waited for once the lock is released.

        Raises:
            KeysUnavailableError: If the process cannot start a thread.
        """
        if (given_up := self._current_flight) is not None:
            error = FetchError("deadline", f"given up after {_GIVE_UP:g} s without an answer")
            self._count_failure(now, error)
            self._reporter.postpone(self._reporter.finished_event(given_up, "failed", self.held, now, error))
        self.started += 1
        flight = Flight(self.started, now, trigger)
        self._current_flight = flight
        if not flight.start(self._run):
            self._current_flight, self._last_finished = None, flight.number
            self._count_failure(now, FetchError("thread", "no thread could be started"))
            raise self.unavailable(now)
        return flight

    def start_refresh(self, now: float) -> None:
        """Start a flight ahead of time, unless one is under way or the endpoint must not be asked yet.

        It takes the lock. Where no thread can be started, that is a failed fetch, and no error for a reader.

        Args:
            now: The time on the monotonic clock.
        """
        if self.backoff.left(now) or self.flight_under_way(now):
            return
        with contextlib.suppress(KeysUnavailableError), self.lock:
            if not self.flight_under_way(now) and not self.backoff.left(now):
                self.start("refresh", now)

    # Fetching, in the thread of the flight.

    def _run(self, flight: Flight) -> Callable[[], None]:
        """Fetch, and record the outcome; return what reports it, once the waiters were woken."""
        announced = self._reporter.report_aside(FetchStarted(self._client.shown_url, flight.trigger))
        answer = self._ask(flight.trigger)
        finished = self._finish(flight, answer)
        now = self._monotonic()

        def follow_up() -> None:
            announced()
            if finished is not None:
                self._report_finished(flight, answer, finished, now)

        return follow_up

    def _report_finished(
        self,
        flight: Flight,
        answer: PublishedKeys | FetchError,
        finished: tuple[str, HeldKeys, bytes],
        now: float,
    ) -> None:
        outcome, held, body = finished
        error = answer if isinstance(answer, FetchError) else None
        if error is None:
            self._store(held, body)
        self._reporter.report(self._reporter.finished_event(flight, outcome, held, now, error))
        if error is not None and error.stage in ("content", "size"):
            self._reporter.report(SetRefused(self._client.shown_url, error))
        self._reporter.report_state(held.state(now, self._clock()))

    def _ask(self, trigger: str) -> PublishedKeys | FetchError:
        try:
            return self._client.ask(self.held, trigger)
        except FetchError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - the Fetch is the user's, and may raise or return anything
            _log.exception("the fetch of %s raised what is not a FetchError", self._client.shown_url)
            return FetchError("read", f"the fetch raised {type(error).__name__}")

    def _finish(
        self, flight: Flight, answer: PublishedKeys | FetchError
    ) -> tuple[str, HeldKeys, bytes] | None:
        """Record the outcome of a flight.

        Returns:
            The outcome, and what is held now with its body; None for a flight that was given up, or was left
            in the parent of this process: its answer may be older than what is held.
        """
        with self.lock:
            if self._current_flight is not flight:
                return None
            self._current_flight, self._last_finished = None, flight.number
            now, wall, before = self._monotonic(), self._clock(), self.held
            if isinstance(answer, FetchError):
                self._count_failure(now, answer)
                return "failed", before, self._body
            self.last_error = None
            self.backoff.succeeded()
            self.replace(answer, now, wall)
            changed = self.held.generation != before.generation
            outcome = "changed" if changed else "not_modified" if answer.body is None else "unchanged"
            self.fetches[outcome] += 1
            return outcome, self.held, self._body

    def _count_failure(self, now: float, error: FetchError) -> None:
        """Count a failure; what is held stays as it is."""
        self.last_error, self._failed_at = error, (now, self._clock())
        self.backoff.failed(now, error.retry_after)
        self.fetches["failed"] += 1

    # Replacing what is held.

    def replace(self, answer: PublishedKeys, confirmed_at: float, confirmed_at_wall: float) -> None:
        """Replace what is held, by storing one reference; the caller holds the lock.

        Args:
            answer: What the endpoint publishes.
            confirmed_at: When the answer arrived, on the monotonic clock.
            confirmed_at_wall: The same on the wall clock.
        """
        self.held = self.held.replaced_by(
            answer.key_set,
            answer.freshness,
            answer.validators,
            confirmed_at=confirmed_at,
            confirmed_at_wall=confirmed_at_wall,
            jitter=self._random.random(),
        )
        if answer.body is not None:
            self._body = answer.body

    def _start_from(self, kept: Snapshot) -> None:
        """Hold what an earlier process has kept, as old as it is."""
        try:
            answer = self._client.read_snapshot(kept)
        except FetchError as error:
            _log.warning("the key snapshot of %s is not used: %s", self._client.shown_url, error)
            return
        wall = self._clock()
        confirmed_at = self._monotonic() - max(0.0, wall - kept.confirmed_at_wall)
        self.replace(answer, confirmed_at, min(kept.confirmed_at_wall, wall))

    def _store(self, held: HeldKeys, body: bytes) -> None:
        if self._file is None:
            return
        freshness = Freshness(held.stale_after, held.dead_after)
        kept = Snapshot(self._client.url, body, held.confirmed_at_wall, freshness, held.validators)
        with self._store_lock:
            if self.held is held:  # else a later flight stores what it brought
                self._file.store(kept)

    def after_fork(self) -> None:
        """Start anew in a forked child, where no thread of the parent runs; the keys stay."""
        self.lock = threading.Lock()
        self._store_lock = threading.Lock()
        self._current_flight = None
        self._reporter.drop_postponed()
        # The children of one parent would draw the same numbers, and would refresh together every time.
        self._random.seed()
        if (held := self.held) is not NOTHING_HELD:
            self.held = replace(held, refresh_after=refresh_age(held.stale_after, self._random.random()))


_updaters: Final[weakref.WeakSet[Updater]] = weakref.WeakSet()


def _after_fork() -> None:
    for updater in list(_updaters):
        updater.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
