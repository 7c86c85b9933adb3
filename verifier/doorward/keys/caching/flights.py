"""The flights of one key cache: the one on its way, those that are over, and those that never end."""

from __future__ import annotations

from typing import Final

from doorward.forks import renew_in_children
from doorward.keys.flight import Flight

__all__ = ["GIVE_UP", "MOST_HANGING", "Flights"]

GIVE_UP: Final = 30.0
"""Seconds for which a flight may ask the endpoint, before it is given up: well over the deadline of a fetch,
which a name look-up that hangs does not keep."""
_PREPARING: Final = 30.0  # more seconds for a flight that has not asked the endpoint yet
MOST_HANGING: Final = 3
"""How many threads may hang in flights that were given up; then no other flight is started."""


class Flights:
    """Counts flights, of which one at a time is on its way. The caller holds the lock of the updater.

    Attributes:
        started: How many have started.
    """

    def __init__(self) -> None:
        """Start with no flight."""
        self.started: int = 0
        self._current: Flight | None = None
        self._last_conclusive = self._last_asked = 0
        self._hanging: tuple[Flight, ...] = ()
        renew_in_children(self, Flights.after_fork)

    @property
    def current(self) -> Flight | None:
        """The flight on its way, also one that is to be given up; takes no lock."""
        return self._current

    def under_way(self, now: float) -> Flight | None:
        """Return the flight on its way; None if there is none, or if it is given up. Takes no lock.

        Args:
            now: The time on the monotonic clock.
        """
        if (flight := self._current) is None:
            return None
        asked_at = flight.asked_at
        late_at = flight.started_at + _PREPARING if asked_at is None else asked_at
        return flight if now - late_at < GIVE_UP else None

    @property
    def hanging(self) -> int:
        """How many flights were given up and have not ended; takes no lock."""
        return sum(not flight.finished for flight in self._hanging)

    def give_up(self) -> Flight | None:
        """Give the current flight up, if there is one.

        Returns:
            The flight, whose thread may still end.
        """
        flight, self._current = self._current, None
        unended = [one for one in self._hanging if not one.finished]
        self._hanging = (*unended, flight) if flight is not None else tuple(unended)
        return flight

    def begin(self, trigger: str, now: float) -> Flight:
        """Make the next flight, which is then on its way.

        Args:
            trigger: Why; see `Flight`.
            now: The time on the monotonic clock.
        """
        self.started += 1
        self._current = Flight(self.started, now, trigger)
        return self._current

    def end(self, flight: Flight, *, conclusive: bool, asked: bool) -> bool:
        """Take note that a flight is over.

        Args:
            flight: The flight.
            conclusive: Whether it has found out what the endpoint publishes, or that this cannot be found
                out.
            asked: Whether it has asked the endpoint.

        Returns:
            False for a flight that was given up, or left in the parent of this process: what it brings may
            be older than what is held.
        """
        if self._current is not flight:
            return False
        self._current = None
        if conclusive:
            self._last_conclusive = flight.number
        if asked or flight.trigger == "asked":  # which ends without asking only where it cannot
            self._last_asked = flight.number
        return True

    def concluded_since(self, started: int) -> bool:
        """Return whether a conclusive flight is over that started since then.

        Args:
            started: What `started` was then. It is a count, since a clock may show one time before and after.
        """
        return self._last_conclusive > started

    def asked_since(self, started: int) -> bool:
        """Return whether a flight is over that started since then and asked the endpoint.

        Args:
            started: As for `concluded_since`.
        """
        return self._last_asked > started

    def after_fork(self) -> None:
        """Start anew in a forked child, where no thread of the parent flies."""
        self._current = None
        self._hanging = ()
