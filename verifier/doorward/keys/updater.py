"""Asking the key endpoint, and swapping what is held for what it answered.

One `Flight` at a time, in a thread of its own. Whoever decides that the endpoint should be asked holds the
lock while deciding, and lets go of it before anything is sent.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from doorward.errors import FetchError, KeysUnavailableError, clip
from doorward.keys.budget import Backoff
from doorward.keys.events import FetchFinished, FetchStarted, KeyEvent, Listener, SetRefused, StateChanged
from doorward.keys.fetch import Fetch
from doorward.keys.flight import Flight
from doorward.keys.freshness import Freshness, Validators, freshness_of, validators_of
from doorward.keys.keyset import KeySet, parse_key_set
from doorward.keys.snapshot import Snapshot, SnapshotFile
from doorward.keys.state import NO_KEYS, HeldKeys, KeyState, hold, refresh_age

__all__ = ["Updater"]

_log: Final = logging.getLogger("doorward.keys")

_SHORTEST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 300.0
_GIVE_UP: Final = 30.0  # a fetch has a deadline of its own, well under it; a name look-up that hangs has not


class _Brought(NamedTuple):
    """What a good answer brought; the body is None after a 304."""

    key_set: KeySet
    fresh: Freshness
    validators: Validators
    body: bytes | None


class Updater:
    """Holds the keys of one endpoint, and replaces them.

    Attributes:
        held: What is held now; replaced whole, by one reference store.
        lock: Held while deciding whether to ask, never while asking.
        begun: Counts the fetches that have begun.
        backoff: When to ask again after failures.
        last_error: Why the last fetch failed; None if it did not.
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
        self.held = NO_KEYS
        self.lock = threading.Lock()
        self.begun = 0
        self.backoff: Final = Backoff(_SHORTEST_BACKOFF, _LONGEST_BACKOFF, rng)
        self.last_error: FetchError | None = None
        self.fetches: Final = {"changed": 0, "unchanged": 0, "not_modified": 0, "failed": 0}
        self._body = b""
        self._untold: list[KeyEvent] = []
        self._storing = threading.Lock()
        self._flight: Flight | None = None
        self._finished_count = 0
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

    def asked_since(self, since: int) -> bool:
        """Tell whether a fetch is over that began since then.

        Args:
            since: What `begun` was then. A count, since a clock may show one time before and after.
        """
        return self._finished_count > since

    def share(self, since: int, now: float, *, patient: bool = True) -> Flight | None:
        """Give the fetch to wait for; None if it is time for one to start.

        Args:
            since: What `begun` was when the request came.
            now: The monotonic clock.
            patient: Whether to keep the pause after a failure.

        Raises:
            KeysUnavailableError: If a fetch since then failed, or it is not time yet.
        """
        if self.asked_since(since):
            raise self.unavailable(now)
        flight = self.flight(now)
        if flight is None and patient and self.backoff.left(now):
            raise self.unavailable(now)
        return flight

    def unavailable(self, now: float) -> KeysUnavailableError:
        """Make the error that says that the keys are not to be had.

        Args:
            now: The monotonic clock.
        """
        cause = f": {self.last_error}" if self.last_error else ""
        left = self.backoff.left(now)
        return KeysUnavailableError(
            f"the keys of {self._url} are not to be had{cause}", left or _SHORTEST_BACKOFF
        )

    def start(self, trigger: str, now: float) -> Flight:
        """Start the one fetch.

        Args:
            trigger: What for.
            now: The monotonic clock.

        Returns:
            The flight, to wait for after letting go of the lock.

        Raises:
            KeysUnavailableError: If the process cannot start a thread.
        """
        if self._flight is not None:
            error = FetchError("deadline", f"given up after {_GIVE_UP:g} s without an answer")
            self._failed(now, error)
            # The next flight tells it: no listener is called while the lock is held.
            self._untold.append(self._finished(self._flight, "failed", self.held, now, error))
        self.begun += 1
        flight = Flight(self.begun, now, trigger)
        self._flight = flight
        if not flight.start(self._run):
            self._flight, self._finished_count = None, flight.number
            self._failed(now, FetchError("thread", "no thread could be started"))
            raise self.unavailable(now)
        return flight

    def _failed(self, now: float, error: FetchError) -> None:
        """Count a failure; it touches nothing that is held."""
        self.last_error = error
        self.backoff.failed(now, error.retry_after)
        self.fetches["failed"] += 1

    def _run(self, flight: Flight) -> None:
        """Fetch, in the flight's thread, and record what came of it."""
        while self._untold:
            self.tell(self._untold.pop(0))
        self.tell(FetchStarted(self._url, flight.trigger))
        came: _Brought | FetchError
        try:
            came = self._ask(self.held, flight.trigger)
        except FetchError as failure:
            came = failure
        except BaseException as failure:  # noqa: BLE001 - a Fetch of the user's own may raise, or answer, anything
            _log.exception("the fetch of %s raised what is not a FetchError", self._url)
            came = FetchError("read", f"the fetch raised {type(failure).__name__}")
        finished = self._finish(flight, came)
        if finished is None:
            return  # given up, or forked away meanwhile: what it brings may be older than what is held
        outcome, held, body = finished
        now, error = self._monotonic(), came if isinstance(came, FetchError) else None
        self.tell(self._finished(flight, outcome, held, now, error))
        if error is not None and error.stage in ("content", "size"):
            self.tell(SetRefused(self._url, error))
        self.notice(held.state(now, self._clock()))
        if error is None and self._file is not None:
            fresh = Freshness(held.stale_after, held.dead_after)
            kept = Snapshot(self._url, body, held.arrived_wall, fresh, held.validators)
            with self._storing:
                if self.held is held:  # else a later flight was quicker to get here
                    self._file.store(kept)

    def _finished(
        self, flight: Flight, outcome: str, held: HeldKeys, now: float, error: FetchError | None
    ) -> FetchFinished:
        refused = tuple(f"{clip(key.kid)}: {key.why}" for key in held.key_set.refused)
        kids = tuple(sorted(held.keys))
        return FetchFinished(self._url, flight.trigger, outcome, now - flight.began, kids, refused, error)

    def _ask(self, before: HeldKeys, trigger: str) -> _Brought:
        """Ask once, and read all of the answer before any of it counts."""
        headers = before.validators.headers()
        if trigger != "refresh":
            # A cache between here and the endpoint may not know of the new key either.
            headers["cache-control"] = "no-cache"
        answer = self._fetch(self._url, headers)
        if answer.body is None and not before.validators.headers():
            raise FetchError("status", "answered with 304 to an unconditional request")
        wall = self._clock()
        fresh = freshness_of(
            answer.headers, wall, self._max_stale, obey_must_revalidate=self._obey_must_revalidate
        )
        key_set = (
            before.key_set if answer.body is None else parse_key_set(answer.body, self._algorithms, wall)
        )
        return _Brought(key_set, fresh, validators_of(answer.headers), answer.body)

    def _finish(self, flight: Flight, came: _Brought | FetchError) -> tuple[str, HeldKeys, bytes] | None:
        """Record the outcome of a flight; None if the flight does not count any more.

        Returns:
            What came of it, and what is held now with the body it was read from.
        """
        with self.lock:
            if self._flight is not flight:
                return None
            self._flight, self._finished_count = None, flight.number
            now, wall, before = self._monotonic(), self._clock(), self.held
            if isinstance(came, FetchError):
                self._failed(now, came)
                return "failed", before, self._body
            self.last_error = None
            self.backoff.succeeded()
            self.replace(came.key_set, came.fresh, came.validators, now, wall)
            self._body = self._body if came.body is None else came.body
            changed = self.held.generation != before.generation
            outcome = "changed" if changed else "not_modified" if came.body is None else "unchanged"
            self.fetches[outcome] += 1
            return outcome, self.held, self._body

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
        before = self.held
        if key_set is before.key_set:  # a 304: what it does not repeat stays (RFC 9111, section 4.3.4)
            validators = validators.over(before.validators)
        self.held = hold(before, key_set, fresh, validators, now, wall, self._random.random())

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
        fresh = Freshness(
            kept.fresh.stale_after, min(kept.fresh.dead_after, kept.fresh.stale_after + self._max_stale)
        )
        self.replace(key_set, fresh, kept.validators, arrived, min(kept.arrived_wall, wall))
        self._body = kept.body

    def after_fork(self) -> None:
        """In a forked child: the keys stay; the flight, and whoever held the lock, do not exist here."""
        self.lock = threading.Lock()
        self._storing = threading.Lock()
        self._flight = None
        self._untold.clear()  # the parent tells it
        # Children of one parent would draw the same numbers, and come back in step for ever.
        self._random.seed()
        if (held := self.held) is not NO_KEYS:
            self.held = replace(held, refresh_after=refresh_age(held.stale_after, self._random.random()))
