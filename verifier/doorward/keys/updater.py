"""Asking the key endpoint, and swapping what is held for what it answered.

One `Flight` at a time, in a thread of its own. Whoever decides that the endpoint should be asked holds the
lock while deciding, and lets go of it before anything is sent.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Final

from doorward.errors import FetchError, KeysUnavailableError, clip
from doorward.keys.budget import Backoff
from doorward.keys.events import FetchFinished, FetchStarted, KeyEvent, Listener, SetRefused, StateChanged
from doorward.keys.fetch import Answer, Fetch
from doorward.keys.flight import Flight
from doorward.keys.freshness import Freshness, Validators, freshness_of, validators_of
from doorward.keys.keyset import KeySet, parse_key_set
from doorward.keys.snapshot import Snapshot, SnapshotFile
from doorward.keys.state import NOTHING, KeyState, hold

__all__ = ["Updater"]

_log: Final = logging.getLogger("doorward.keys")

_NEVER: Final = float("-inf")
_SHORTEST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 300.0
_GIVE_UP: Final = 30.0  # a fetch has a deadline of its own, well under it; a name look-up that hangs has not


class Updater:
    """Holds the keys of one endpoint, and replaces them.

    Attributes:
        holding: What is held now; replaced whole, by one reference store.
        lock: Held while deciding whether to ask, never while asking.
        backoff: When to ask again after failures.
        landed_error: Why the last fetch failed; None if it did not.
        fetches: Counts of fetches by outcome.
    """

    def __init__(
        self,
        url: str,
        algorithms: tuple[str, ...],
        *,
        fetch: Fetch,
        max_stale: float,
        obey_must_revalidate: bool,
        file: SnapshotFile | None,
        listener: Listener,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Take the settings of a `KeyCache`, which has checked them; start from the file if it is usable."""
        self._url: Final = url
        self._algorithms: Final = algorithms
        self._fetch: Final = fetch
        self._max_stale: Final = max_stale
        self._obey_must_revalidate: Final = obey_must_revalidate
        self._file: Final = file
        self._listener: Final = listener
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._random: Final = rng
        self.holding = NOTHING
        self.lock = threading.Lock()
        self.backoff: Final = Backoff(_SHORTEST_BACKOFF, _LONGEST_BACKOFF, rng)
        self.landed_error: FetchError | None = None
        self.fetches: Final = {"changed": 0, "unchanged": 0, "not_modified": 0, "failed": 0}
        self._body = b""
        self._flight: Flight | None = None
        self._landed_began = _NEVER
        self._seen = KeyState.EMPTY
        if file is not None and (kept := file.load(url, clock())) is not None:
            self._take_over(kept)

    # Telling.

    def tell(self, event: KeyEvent) -> None:
        """Tell the listener; what it does must not be able to break the door.

        Args:
            event: What happened.
        """
        try:
            self._listener(event)
        except Exception:  # noqa: BLE001 - whatever a listener of the user's own may raise
            _log.exception("the listener failed on %s", type(event).__name__)

    def notice(self, state: KeyState) -> None:
        """Tell the listener if the state is not the one it was seen in before.

        Args:
            state: The state now.
        """
        before, self._seen = self._seen, state
        if before is not state:
            self.tell(StateChanged(self._url, before, state))

    # Asking. Whoever calls these holds the lock, but for a look at `flight` that decides nothing.

    def flight(self, now: float) -> Flight | None:
        """Give the fetch on its way, unless it has been for so long that it is given up.

        Args:
            now: The monotonic clock.
        """
        flight = self._flight
        return flight if flight is not None and now - flight.began < _GIVE_UP else None

    def asked_since(self, since: float) -> bool:
        """Tell whether a fetch is over that began at or after that time.

        Args:
            since: On the monotonic clock.
        """
        return self._landed_began >= since

    def unavailable(self, now: float) -> KeysUnavailableError:
        """Make the error that says that the keys are not to be had.

        Args:
            now: The monotonic clock.
        """
        cause = f": {self.landed_error}" if self.landed_error else ""
        left = self.backoff.left(now)
        return KeysUnavailableError(
            f"the keys of {self._url} are not to be had{cause}", left or _SHORTEST_BACKOFF
        )

    def depart(self, trigger: str, now: float) -> Flight:
        """Start the one fetch.

        Args:
            trigger: What for.
            now: The monotonic clock.

        Returns:
            The flight, to wait for after letting go of the lock.

        Raises:
            KeysUnavailableError: If the process cannot start a thread.
        """
        flight = Flight(now, trigger)
        self._flight = flight
        if not flight.depart(self._run):
            self._flight = None
            self._landed_began, self.landed_error = now, FetchError("thread", "no thread could be started")
            self.backoff.failed(now, None)
            raise self.unavailable(now)
        return flight

    def _run(self, flight: Flight) -> None:
        """Fetch, in the flight's thread, and record what came of it."""
        self.tell(FetchStarted(self._url, flight.trigger))
        before = self.holding
        headers = before.validators.headers()
        if flight.trigger != "refresh":
            # A cache between here and the endpoint may not know of the new key either.
            headers["cache-control"] = "no-cache"
        answer = key_set = error = None
        try:
            answer = self._fetch(self._url, headers)
            if answer.body is not None:
                key_set = parse_key_set(answer.body, self._algorithms, self._clock())
            elif before is NOTHING:
                raise FetchError("status", "answered with 304 to an unconditional request")  # noqa: TRY301
        except FetchError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - a Fetch of the user's own may raise anything
            _log.exception("the fetch of %s raised what is not a FetchError", self._url)
            error = FetchError("content", f"the fetch raised {type(failure).__name__}")
        outcome = self._land(flight, answer, key_set, error)
        if outcome is None:
            return  # given up, or forked away meanwhile: what it brings may be older than what is held
        holding, now = self.holding, self._monotonic()
        refused = tuple(f"{clip(key.kid)}: {key.why}" for key in holding.key_set.refused)
        kids = tuple(sorted(holding.keys))
        self.tell(FetchFinished(self._url, flight.trigger, outcome, now - flight.began, kids, refused, error))
        if error is not None and error.stage in ("content", "size"):
            self.tell(SetRefused(self._url, error))
        self.notice(holding.state(now, self._clock()))
        if error is None and self._file is not None:
            fresh = Freshness(holding.soft, holding.hard)
            self._file.store(Snapshot(self._url, self._body, holding.arrived_wall, fresh, holding.validators))

    def _land(
        self, flight: Flight, answer: Answer | None, key_set: KeySet | None, error: FetchError | None
    ) -> str | None:
        """Record the outcome of a flight and name it; None if the flight does not count any more."""
        with self.lock:
            if self._flight is not flight:
                return None
            self._flight = None
            self._landed_began, self.landed_error = flight.began, error
            now, wall, before = self._monotonic(), self._clock(), self.holding
            if answer is None or error is not None:
                self.backoff.failed(now, error.retry_after if error is not None else None)
                outcome = "failed"
            else:
                self.backoff.succeeded()
                fresh = freshness_of(
                    answer.headers, wall, self._max_stale, obey_must_revalidate=self._obey_must_revalidate
                )
                self.replace(key_set or before.key_set, fresh, validators_of(answer.headers), now, wall)
                self._body = self._body if answer.body is None else answer.body
                changed = self.holding.generation != before.generation
                outcome = "changed" if changed else "not_modified" if answer.body is None else "unchanged"
            self.fetches[outcome] += 1
            return outcome

    def replace(
        self, key_set: KeySet, fresh: Freshness, validators: Validators, now: float, wall: float
    ) -> None:
        """Swap what is held, by one reference store; the caller holds the lock.

        Args:
            key_set: The keys; the held set itself after a 304.
            fresh: For how long.
            validators: Of the answer they came with.
            now: The monotonic clock when they arrived.
            wall: The wall clock then.
        """
        before = self.holding
        if key_set is before.key_set:  # a 304: what it does not repeat stays (RFC 9111, section 4.3.4)
            validators = validators.over(before.validators)
        self.holding = hold(before, key_set, fresh, validators, now, wall, self._random.random())

    def _take_over(self, kept: Snapshot) -> None:
        """Start from what an earlier process has kept."""
        try:
            key_set = parse_key_set(kept.body, self._algorithms, self._clock())
        except FetchError as error:
            _log.warning("the key snapshot of %s is not used: %s", self._url, error)
            return
        wall = self._clock()
        arrived = self._monotonic() - max(0.0, wall - kept.arrived_wall)
        # The bound that is configured now counts, not the one of the process that wrote it.
        fresh = Freshness(kept.fresh.soft, min(kept.fresh.hard, kept.fresh.soft + self._max_stale))
        self.replace(key_set, fresh, kept.validators, arrived, min(kept.arrived_wall, wall))
        self._body = kept.body

    def after_fork(self) -> None:
        """In a forked child: the keys stay; the flight, and whoever held the lock, do not exist here."""
        self.lock = threading.Lock()
        self._flight = None
