"""Obtaining keys, in the thread of a flight: from another process by the snapshot, else from the endpoint.

One process of a machine asks the endpoint at a time.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from doorward.errors import FetchError
from doorward.keys.caching.endpoint_client import EndpointClient, PublishedKeys
from doorward.keys.caching.holding import Holding
from doorward.keys.caching.sharing import Sharing, Turn
from doorward.keys.caching.snapshot import Snapshot
from doorward.keys.flight import Flight
from doorward.keys.state import KeyState

__all__ = ["Obtained", "Obtainer"]

_log: Final = logging.getLogger("doorward.keys")

_LONGEST_SLEEP: Final = 0.1  # seconds between two looks while another process has its turn
_LONGEST_WAIT: Final = 12.0  # seconds for the turn of another process: a fetch ends within 10


class Obtained(NamedTuple):
    """What a flight has come to.

    Attributes:
        answer: What the endpoint publishes, or why that is not known; None if it was not asked.
        taken: The snapshot that was taken from another process; None if none was.
        asked_at_wall: When the endpoint was asked, in seconds since the epoch.
        conclusive: Whether what is published since the flight began is known now, or cannot be known.
        asked: Whether this process has asked the endpoint.
        turn: To be ended once the snapshot is written.
    """

    answer: PublishedKeys | FetchError | None = None
    taken: Snapshot | None = None
    asked_at_wall: float = 0.0
    conclusive: bool = True
    asked: bool = False
    turn: Turn = Turn()


class Obtainer:
    """Obtains keys for the flights of one key cache."""

    def __init__(
        self,
        client: EndpointClient,
        holding: Holding,
        sharing: Sharing | None,
        *,
        take: Callable[[Snapshot, PublishedKeys], bool],
        announce: Callable[[Flight], None],
        clock: Callable[[], float],
    ) -> None:
        """Take the parts that it works with.

        Args:
            client: Asks the endpoint.
            holding: What is held.
            sharing: What the processes of this machine share; None if nothing is.
            take: Holds the keys of a snapshot, if they are newer than what is held.
            announce: Is called when the endpoint is asked.
            clock: Wall clock, in seconds since the epoch.
        """
        self._client: Final = client
        self._holding: Final = holding
        self._sharing: Final = sharing
        self._take: Final = take
        self._announce: Final = announce
        self._clock: Final = clock
        self._turns: Final[dict[Flight, Turn]] = {}
        self._given_up: Final[deque[Flight]] = deque()

    def start(self) -> None:
        """Hold what an earlier process has kept, if it is usable."""
        if self._sharing is not None:
            self._take_newer(self._sharing)

    def obtain(self, flight: Flight) -> Obtained:
        """Obtain keys.

        Args:
            flight: Says why.

        Returns:
            What it has come to. Newer keys of a snapshot are held already.
        """
        self.release()
        if self._sharing is None:
            return self._ask(flight)
        try:
            return self._obtain(flight, self._sharing)
        except Exception as error:  # noqa: BLE001 - a flight must end, whatever a file system does
            _log.exception("the keys of %s could not be obtained", self._client.shown_url)
            return Obtained(FetchError("read", f"sharing the snapshot raised {type(error).__name__}"))

    def _obtain(self, flight: Flight, sharing: Sharing) -> Obtained:
        search = _Search(flight, self._clock(), self._holding.held.generation)
        if (found := self._look(sharing, search)) is not None:
            return found
        if flight.trigger == "snapshot":
            return Obtained(taken=search.taken)
        turn = self._wait_for_turn(sharing, search)
        if isinstance(turn, Obtained):
            return turn
        self._turns[flight] = turn
        try:
            obtained = self._look(sharing, search) or self._failure_of_another(flight, turn)
            return (obtained or self._ask(flight))._replace(turn=turn, taken=search.taken)
        except BaseException:
            turn.end()
            raise
        finally:
            del self._turns[flight]

    def give_up(self, flight: Flight) -> None:
        """Take note of a flight that is given up: other processes are to have its turn.

        Args:
            flight: The flight, which may hang for ever.
        """
        self._given_up.append(flight)

    def release(self) -> None:
        """End the turns of flights that were given up; this works on a file.

        Where no thread can be started for it, the next flight does it before it takes a turn itself.
        """
        with contextlib.suppress(IndexError):  # two threads may come to this at once
            while True:
                if (turn := self._turns.get(self._given_up.popleft())) is not None:
                    turn.end()

    def _wait_for_turn(self, sharing: Sharing, search: _Search) -> Turn | Obtained:
        """Wait for the turn of this process, or until another one has brought what is needed."""
        until, pause = time.monotonic() + _LONGEST_WAIT, 0.01
        while (turn := sharing.try_turn()) is None:
            if time.monotonic() >= until or search.flight.trigger == "asked":
                return Turn()  # its holder hangs, or is stopped; and `KeyCache.refresh` asks now
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the looks; no secret
            pause = min(2 * pause, _LONGEST_SLEEP)
            if (found := self._look(sharing, search)) is not None:
                return found
        return turn

    def _look(self, sharing: Sharing, search: _Search) -> Obtained | None:
        """Look at the snapshot; return what it brings, if the endpoint need not be asked any more."""
        search.taken = self._take_newer(sharing) or search.taken
        if search.taken is None and search.flight.trigger != "cold":
            return None
        # Of a snapshot that was asked for before this flight began, a later key may be missing.
        conclusive = search.taken is not None and search.taken.asked_at_wall > search.began
        if not self._is_enough(search, conclusive=conclusive):
            return None
        return Obtained(taken=search.taken, conclusive=conclusive)

    def _is_enough(self, search: _Search, *, conclusive: bool) -> bool:
        state = self._holding.state
        match search.flight.trigger:
            case "asked":
                return False
            case "refresh":
                return state is KeyState.FRESH
            case "unknown_kid":
                return conclusive or (state.usable and self._holding.held.generation != search.generation)
            case _:
                return state.usable

    def _take_newer(self, sharing: Sharing) -> Snapshot | None:
        """Hold the keys of the snapshot, if it is newer than what is held; return it then."""
        if (found := sharing.look()) is None:
            return None
        kept, signature = found
        answer = self._holding.read(kept)
        taken = answer is not None and self._take(kept, answer)
        sharing.saw(signature)
        return kept if taken else None

    def _failure_of_another(self, flight: Flight, turn: Turn) -> Obtained | None:
        """Keep the pause after a failure of another process, but for `KeyCache.refresh`."""
        failure = turn.failure()
        if failure is None or flight.trigger == "asked":
            return None
        wall = self._clock()
        until = failure.until if self._holding.state.usable else failure.until_without_keys
        if not failure.failed_at <= wall < until:
            return None
        message = "another process of this machine has failed to fetch a moment ago"
        return Obtained(FetchError("shared", message, until - wall))

    def _ask(self, flight: Flight) -> Obtained:
        asked_at = self._clock()
        return Obtained(self._answer(flight), None, asked_at, asked=True)

    def _answer(self, flight: Flight) -> PublishedKeys | FetchError:
        try:
            self._client.prepare()
            self._announce(flight)
            return self._client.ask(self._holding.held, flight.trigger)
        except FetchError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - the Fetch is the user's, and may raise or return anything
            _log.exception("the fetch of %s raised what is not a FetchError", self._client.shown_url)
            return FetchError("read", f"the fetch raised {type(error).__name__}")


class _Search:
    """The search of one flight for keys that another process has written."""

    __slots__ = ("began", "flight", "generation", "taken")

    def __init__(self, flight: Flight, began: float, generation: int) -> None:
        self.flight: Final = flight
        self.began: Final = began
        self.generation: Final = generation
        self.taken: Snapshot | None = None
