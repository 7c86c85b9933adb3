"""The updating of the keys of one endpoint: when it is asked, and what becomes of its answer.

There is one `Flight` at a time. A caller that decides whether the endpoint is asked holds the lock for the
decision, and never while a request is under way.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
from collections.abc import Callable
from typing import Final

from doorward.errors import FetchError, KeysUnavailableError
from doorward.forks import renew_in_children
from doorward.keys.caching.budget import Backoff
from doorward.keys.caching.endpoint_client import EndpointClient, PublishedKeys
from doorward.keys.caching.flights import GIVE_UP, MOST_HANGING, Flights
from doorward.keys.caching.holding import Holding
from doorward.keys.caching.obtaining import Obtained, Obtainer
from doorward.keys.caching.reporter import Reporter
from doorward.keys.caching.sharing import Failure, Sharing
from doorward.keys.caching.snapshot import Snapshot
from doorward.keys.caching.storing import Storing
from doorward.keys.events import FetchesHang, FetchStarted, SetRefused, SnapshotTaken
from doorward.keys.flight import Flight

__all__ = ["LONG_IDLE_WAIT", "Updater"]

# Seconds of the pause after a failure.
_SHORTEST: Final = 1.0
_LONGEST: Final = 300.0
_LONGEST_WITHOUT_KEYS: Final = 5.0
_OUTCOMES: Final = ("changed", "unchanged", "not_modified", "failed")

_LONG_IDLE: Final = 3_600.0  # seconds past their freshness after which keys are not used without a look
LONG_IDLE_WAIT: Final = 1.0
"""Seconds for which a read of a held key waits at most after a long idle time."""


class Updater:
    """Decides when the keys of one endpoint are replaced, and replaces them.

    Attributes:
        lock: Held for a decision whether the endpoint is asked, never while it is asked.
        flights: The flights, of which one at a time is on its way.
        backoff: When the endpoint may be asked again after failures.
        last_error: Why the last fetch failed; None if it did not.
        fetches: Counts of fetches by outcome.
        taken: How many snapshots of other processes were taken in place of a fetch.
    """

    def __init__(
        self,
        client: EndpointClient,
        holding: Holding,
        sharing: Sharing | None,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Start from the snapshot, if there is a usable one.

        Args:
            client: Asks the endpoint.
            holding: Holds the keys.
            sharing: What the processes of this machine share; None if nothing is.
            reporter: Receives the events.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.
            rng: Source of the jitter.
        """
        self._url: Final = client.shown_url
        self._holding: Final = holding
        self._reporter: Final = reporter
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self.lock: threading.Lock = threading.Lock()
        self.flights: Final[Flights] = Flights()
        self.backoff: Final = Backoff(_SHORTEST, _LONGEST, rng, longest_without_keys=_LONGEST_WITHOUT_KEYS)
        self.last_error: FetchError | None = None
        self.fetches: Final[dict[str, int]] = dict.fromkeys(_OUTCOMES, 0)
        self.taken: int = 0
        self._failed_at = (-math.inf, -math.inf)  # by both clocks
        self._storing: Final = None if sharing is None else Storing(sharing, holding)
        self._obtainer: Final = Obtainer(
            client,
            holding,
            sharing,
            take=self._take,
            announce=self._announce,
            clock=clock,
        )
        renew_in_children(self, Updater.after_fork)
        self._obtainer.start()

    # Deciding. The caller holds the lock.

    def pause(self, now: float) -> float:
        """Return the seconds for which the endpoint is still left alone after a failure, 0.0 if it is not.

        Args:
            now: The time on the monotonic clock.
        """
        return self.backoff.left(now, usable=True) and self.backoff.left(
            now, usable=self._holding.state.usable
        )

    def long_idle_flight(self, now: float, wall: float) -> Flight | None:
        """Return the flight that a read of a held key should wait for; None if the key is used at once.

        After a long idle time the keys are more than an hour past their freshness, and one of them may have
        been withdrawn. Where nothing indicates that the endpoint is away, it answers within a second.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        held, flight = self._holding.held, self.flights.current
        if flight is None or now - flight.started_at >= LONG_IDLE_WAIT:
            return None
        if held.age(now, wall) < held.stale_after + _LONG_IDLE:
            return None
        # An old failure says nothing of now: an instance may have been idle ever since.
        since_failure = max(now - self._failed_at[0], wall - self._failed_at[1])
        return flight if self.last_error is None or since_failure >= _LONG_IDLE else None

    def share(self, since: int, now: float) -> Flight | None:
        """Return the flight to wait for; None if it is time to start one.

        Args:
            since: What `Flights.started` was when the request came.
            now: The time on the monotonic clock.

        Raises:
            KeysUnavailableError: If a flight that started since then has failed, or the pause is not over.
        """
        if self.flights.concluded_since(since):
            raise self.unavailable(now)
        flight = self.flights.under_way(now)
        if flight is None and self.pause(now):
            if self._storing is not None and not self._holding.state.usable:
                return self.start("snapshot", now)  # another process may have fetched
            raise self.unavailable(now)
        return flight

    def unavailable(self, now: float) -> KeysUnavailableError:
        """Make the error which says that the keys cannot be fetched now.

        Args:
            now: The time on the monotonic clock.
        """
        cause = f": {self.last_error}" if self.last_error else ""
        message = f"the keys of {self._url} cannot be fetched now{cause}"
        return KeysUnavailableError(message, self.pause(now) or _SHORTEST)

    def start(self, trigger: str, now: float) -> Flight:
        """Start a flight.

        Args:
            trigger: Why; see `Flight`.
            now: The time on the monotonic clock.

        Returns:
            The flight; it may be waited for once the lock is released.

        Raises:
            KeysUnavailableError: If the process cannot start a thread, or too many hang.
        """
        self._give_up(now)
        if self.flights.hanging >= MOST_HANGING:
            message = f"{MOST_HANGING} fetches never ended: no other is started until one of them ends"
            self._count_failure(now, FetchError("deadline", message), counted=False)
            raise self.unavailable(now)
        flight = self.flights.begin(trigger, now)
        if not flight.start(self._run):
            self.flights.end(flight, conclusive=True, asked=False)
            self._count_failure(now, FetchError("thread", "no thread could be started"))
            raise self.unavailable(now)
        return flight

    def _give_up(self, now: float) -> None:
        """Give up the flight that is late, if there is one, and let other processes have its turn."""
        if (late := self.flights.give_up()) is None:
            return
        error = FetchError("deadline", f"given up after {GIVE_UP:g} s without an answer")
        self._count_failure(now, error)
        self._reporter.queue(self._reporter.finished_event(late, "failed", self._holding.held, now, error))
        self._reporter.queue(FetchesHang(self._url, self.flights.hanging))
        self._obtainer.give_up(late)
        self._reporter.deliver_aside(self._obtainer.release)

    def start_refresh(self, now: float) -> None:
        """Start a flight ahead of time, unless one is under way or the endpoint must not be asked yet.

        It takes the lock. Where no thread can be started, that is a failed fetch, and no error for a reader.

        Args:
            now: The time on the monotonic clock.
        """
        if self.pause(now) or self.flights.under_way(now):
            return
        with contextlib.suppress(KeysUnavailableError), self.lock:
            if not self.flights.under_way(now) and not self.pause(now):
                self.start("refresh", now)

    # Fetching, in the thread of the flight.

    def _announce(self, flight: Flight) -> None:
        self._reporter.queue(FetchStarted(self._url, flight.trigger))
        self._reporter.deliver_aside()
        flight.asks(self._monotonic())

    def _take(self, kept: Snapshot, answer: PublishedKeys) -> bool:
        with self.lock:
            return self._holding.take(kept, answer)

    def _run(self, flight: Flight) -> Callable[[], None]:
        """Obtain keys, and record the outcome; return what is done once the waiters were woken."""
        obtained = self._obtainer.obtain(flight)
        with self.lock:
            self.taken += obtained.taken is not None
            current = self.flights.end(flight, conclusive=obtained.conclusive, asked=obtained.asked)
            outcome, failure = self._record(obtained) if current else ("given_up", None)
            # Before the next flight can start, so that events come in the order of what happened.
            self._queue_events(flight, obtained, outcome)

        def follow_up() -> None:
            try:
                if current and self._storing is not None and isinstance(obtained.answer, PublishedKeys):
                    self._storing.store()
                if current and obtained.asked:
                    obtained.turn.note(failure)
            finally:
                obtained.turn.end()
            self._reporter.deliver()

        return follow_up

    def _record(self, obtained: Obtained) -> tuple[str, Failure | None]:
        """Record what a flight has come to.

        Returns:
            The outcome, as in `FetchFinished`, or ``none`` if the endpoint was not asked; and what other
            processes are to know of a failure.
        """
        answer = obtained.answer
        if isinstance(answer, FetchError):
            return "failed", self._count_failure(self._monotonic(), answer, counted=obtained.asked)
        outcome = "none"
        if answer is not None:
            if self._storing is not None:
                self._storing.expect()
            outcome = self._holding.answered(answer, obtained.asked_at_wall)
            self.fetches[outcome] += 1
        # What another process still uses may be too old for the settings of this one.
        if answer is not None or (obtained.taken is not None and self._holding.state.usable):
            self.last_error = None
            self.backoff.succeeded()
        return outcome, None

    def _queue_events(self, flight: Flight, obtained: Obtained, outcome: str) -> None:
        held, now, wall = self._holding.held, self._monotonic(), self._clock()
        if obtained.taken is not None:
            age = max(0.0, wall - obtained.taken.confirmed_at_wall)
            self._reporter.queue(SnapshotTaken(self._url, flight.trigger, age, tuple(sorted(held.keys))))
        if outcome == "given_up":
            return  # that was reported then
        if obtained.asked:
            error = obtained.answer if isinstance(obtained.answer, FetchError) else None
            self._reporter.queue(self._reporter.finished_event(flight, outcome, held, now, error))
            if error is not None and error.stage in ("content", "size"):
                self._reporter.queue(SetRefused(self._url, error))
        self._reporter.queue_state(lambda: held.state(now, wall))

    def _count_failure(self, now: float, error: FetchError, *, counted: bool = True) -> Failure:
        """Count a failure, what is held stays as it is; return what other processes are to know of it."""
        wall = self._clock()
        self.last_error, self._failed_at = error, (now, wall)
        self.backoff.failed(now, error.retry_after)
        self.fetches["failed"] += counted
        return Failure(wall, *(wall + self.backoff.left(now, usable=usable) for usable in (True, False)))

    def after_fork(self) -> None:
        """Start anew in a forked child, where no thread of the parent runs; the keys stay."""
        self.lock = threading.Lock()
