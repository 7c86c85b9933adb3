"""The looks at a policy file: when there is one, and how what it finds replaces what is held.

A look is a `Flight`: it runs in a thread of its own, since a mount can hang, and belongs to no request. There
is one at a time. A caller that decides whether there is one holds the lock for the decision, and never while
the file is looked at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from doorward.forks import renew_in_children
from doorward.keys.flight import Flight
from doorward.keys.state import KeyState
from doorward.policy.watching.events import LookFinished
from doorward.policy.watching.file import LoadedVersion, LookError, PolicyFile
from doorward.policy.watching.held import HeldPolicy
from doorward.policy.watching.reporter import PolicyReporter

__all__ = ["LONGEST_WAIT", "Look", "Looks"]

LONGEST_WAIT: Final = 1.0
"""Seconds for which a request waits for a look at most; one that takes longer counts as failing."""
_GIVE_UP: Final = 30.0  # seconds after which a look is given up, and another one may start
_MOST_HANGING: Final = 2  # threads that may hang in looks that were given up, beside the current one
_SHORTEST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_OUTCOMES: Final = ("changed", "unchanged", "failed")


class Look(Flight):
    """One look at the file; no request waits for it for longer than `LONGEST_WAIT`.

    Attributes:
        started_at_wall: When it was made, on the wall clock, in seconds since the epoch.
    """

    __slots__ = ("started_at_wall",)

    def __init__(self, number: int, started_at: float, started_at_wall: float) -> None:
        """Make a look; `start` starts it.

        Args:
            number: One more than that of the look before it.
            started_at: The time on the monotonic clock.
            started_at_wall: The time on the wall clock.
        """
        super().__init__(number, started_at, "look")
        self.started_at_wall: Final[float] = started_at_wall

    def wait(self, timeout: float) -> bool:
        """Block this thread until it is over; see `Flight.wait`."""
        return super().wait(min(timeout, LONGEST_WAIT))

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109 - as its original
        """Wait until it is over; see `Flight.wait_async`."""
        return await super().wait_async(min(timeout, LONGEST_WAIT))


class _Pause(NamedTuple):
    """The time until the next look: it ends by the clock that shows more time passed."""

    since: float
    since_wall: float
    seconds: float

    def left(self, now: float, wall: float) -> float:
        return max(0.0, self.seconds - max(now - self.since, wall - self.since_wall))


class Looks:
    """Holds the policy of a file, and replaces it.

    Attributes:
        held: What is held now; replaced whole, by storing one reference.
        failures: How many looks have failed in a row.
        last_error: How the last look failed; None if it did not.
        outcomes: Counts of looks by outcome.
    """

    def __init__(
        self,
        file: PolicyFile,
        *,
        check_every: float,
        max_stale: float,
        reporter: PolicyReporter,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Read the file for the first time.

        Args:
            file: The file.
            check_every: Seconds between two looks.
            max_stale: Age from which the policy does not decide any more while looks fail, in seconds.
            reporter: Receives the events.
            clock: Wall clock, in seconds since the epoch.
            monotonic: Monotonic clock, in seconds.

        Raises:
            ConfigurationError: If the file cannot be read, or is not a policy.
        """
        self._file: Final = file
        self._path: Final = os.fspath(file.path)
        self._check_every: Final = check_every
        self._max_stale: Final = max_stale
        # More than a look takes that a request waits for, so that it is decided by what that look finds.
        self._fresh_for: Final = max(2 * check_every, LONGEST_WAIT)
        self._reporter: Final = reporter
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self.failures: int = 0
        self.last_error: LookError | None = None
        self.outcomes: Final[dict[str, int]] = dict.fromkeys(_OUTCOMES, 0)
        self._started = 0
        now, wall = monotonic(), clock()
        self._pause = _Pause(now, wall, check_every)
        self.held: HeldPolicy = self._hold(file.load(), 1, now, wall)
        self._begin()
        renew_in_children(self, Looks._begin)

    def _begin(self) -> None:
        """Begin without a look: those of a parent process do not finish in its child."""
        self._lock = threading.Lock()
        self._current: Look | None = None
        self._hanging = 0

    # Reading; this takes no lock.

    def under_way(self) -> Look | None:
        """Return the look that is under way."""
        return self._current

    def state(self, now: float, wall: float) -> KeyState:
        """Return the state; see `WatchedPolicy.state`.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        age, look = self.held.age(now, wall), self._current
        overdue = look is not None and now - look.started_at >= LONGEST_WAIT
        if overdue or self.last_error is not None:
            return KeyState.STALE if age < self._max_stale else KeyState.DEAD
        return KeyState.FRESH if age < self._fresh_for else KeyState.AGEING

    def usable_for(self, now: float, wall: float) -> float | None:
        """Return the seconds for which the policy may still decide if no look succeeds; None without a bound.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        left = max(0.0, self._max_stale - self.held.age(now, wall))
        return None if left == float("inf") else left

    def retry_in(self, now: float, wall: float) -> float:
        """Return the seconds until the file is looked at again after a failure.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        return self._pause.left(now, wall) if self.last_error is not None else 0.0

    # Deciding whether there is a look.

    def start_if_due(self, now: float, wall: float) -> Look | None:
        """Return the look that is under way; start one if it is time for one. This waits for nothing.

        Args:
            now: The time on the monotonic clock.
            wall: The time on the wall clock.
        """
        if not self._may_start(now, wall):
            return self._current
        with self._lock:
            if self._may_start(now, wall):  # else another thread has decided in between
                self._start(now, wall)
        return self._current

    def _start(self, now: float, wall: float) -> None:
        """Start a look, and give the current one up; the caller holds the lock."""
        given_up = self._current
        if given_up is not None:
            self._hanging += 1
            self._fail(given_up, now, wall, LookError("deadline", f"no end in {_GIVE_UP:g} s"))
        self._started += 1
        look = self._current = Look(self._started, now, wall)
        if not look.start(lambda _: self._run(look)):
            self._fail(look, now, wall, LookError("thread", "no thread could be started"))
            self._current = None
        if given_up is not None:
            self._reporter.deliver_aside()

    def _may_start(self, now: float, wall: float) -> bool:
        look = self._current
        if look is None:
            return not self._pause.left(now, wall)
        return now - look.started_at >= _GIVE_UP and self._hanging < _MOST_HANGING

    # Looking, in the thread of the look.

    def _run(self, look: Look) -> Callable[[], None]:
        """Look, and record the outcome; return what reports it, once the waiters were woken."""
        found: LoadedVersion | LookError | None = LookError("load", "the look ended early")
        try:
            found = self._file.load_changed(self.held.version, self.last_error)
        except LookError as error:
            found = error
        finally:  # whatever it ends with: a look without an outcome would count as one that hangs, for ever
            self._finish(look, found)
        return self._reporter.deliver

    def _finish(self, look: Look, found: LoadedVersion | LookError | None) -> None:
        """Record the outcome of a look, unless it was given up: it may have seen an older file then."""
        with self._lock:
            if self._current is not look:
                self._hanging -= 1
                return
            now, wall = self._monotonic(), self._clock()
            if isinstance(found, LookError):
                self._fail(look, now, wall, found)
            else:
                self._confirm(look, found)
                outcome = "unchanged" if found is None else "changed"
                self.outcomes[outcome] += 1
                self._queue(look, now, wall, outcome)
            # Last, since readers take no lock: until the outcome is recorded, the look is under way.
            self._current = None
            self._reporter.queue_state(lambda: self.state(now, wall))

    def _confirm(self, look: Look, found: LoadedVersion | None) -> None:
        """Hold what a good look has found: it is as old as the start of the look."""
        held, since, since_wall = self.held, look.started_at, look.started_at_wall
        loaded = found or LoadedVersion(held.policy, held.version)
        # Policy and version change in one step: a child may be forked between any two.
        self.held = self._hold(loaded, held.generation + (found is not None), since, since_wall)
        self._pause = _Pause(since, since_wall, self._check_every)
        self.failures, self.last_error = 0, None

    def _hold(self, loaded: LoadedVersion, generation: int, since: float, since_wall: float) -> HeldPolicy:
        until, until_wall = since + self._check_every, since_wall + self._check_every
        return HeldPolicy(*loaded, generation, since, since_wall, until, until_wall)

    def _fail(self, look: Look, now: float, wall: float, error: LookError) -> None:
        """Count a failure; what is held stays, and grows older. What was not taken is looked at again."""
        repeated = error.repeats(self.last_error)
        self.last_error = error
        self.failures += 1
        seconds = max(self._check_every, _SHORTEST_PAUSE) * 2.0 ** min(self.failures - 1, 32)
        self._pause = _Pause(now, wall, max(self._check_every, min(seconds, _LONGEST_PAUSE)))
        self.outcomes["failed"] += 1
        self._queue(look, now, wall, "failed", error, repeated=repeated)

    def _queue(
        self,
        look: Look,
        now: float,
        wall: float,
        outcome: str,
        error: LookError | None = None,
        *,
        repeated: bool = False,
    ) -> None:
        stage, message = (None, None) if error is None else (error.stage, error.message)
        seconds, usable_for = now - look.started_at, self.usable_for(now, wall)
        generation = self.held.generation
        self._reporter.queue(
            LookFinished(
                self._path, outcome, seconds, generation, stage, message, repeated, usable_for=usable_for
            )
        )
