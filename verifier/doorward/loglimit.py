"""Keeps a log short whatever callers send: of a flood of lines most are only counted.

Who can send requests can have lines written. Without a limit, a flood of bad requests fills the disk, and
hides the lines that matter.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypedDict

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children

__all__ = ["SUMMARY", "Later", "LogLimit", "LogSummary", "in_a_thread"]

SUMMARY: Final = "doorward_summary"
"""The attribute of a log record that holds the `LogSummary`."""

_KINDS: Final = 64
"""Kinds that one window distinguishes; all further ones are one kind, so that no caller can make many."""

_OTHER: Final = "other"
_THREAD: Final = "doorward-log"

Later = Callable[[float, Callable[[], None]], None]
"""Calls a function after so many seconds, in another thread; or never, if no thread can be started."""


class LogSummary(TypedDict):
    """What the record of a summary carries, in its attribute ``doorward_summary``: plain data only.

    Attributes:
        seconds: The length of the window.
        held_back: How many lines of each kind were counted and not written, the most frequent first.
    """

    seconds: float
    held_back: dict[str, int]


def in_a_thread(seconds: float, work: Callable[[], None]) -> None:
    """Call a function later, in a thread that does not keep the process from ending.

    Args:
        seconds: Seconds until then.
        work: What to call.
    """
    timer = threading.Timer(seconds, work)
    timer.name, timer.daemon = _THREAD, True
    # Where no thread can be started, the next line or the end of the process brings the summary.
    with contextlib.suppress(RuntimeError):
        timer.start()


@dataclass(slots=True)
class _Window:
    """What has happened since the first line of a window of time."""

    began: float
    written: int = 0
    kinds: set[str] = field(default_factory=set)
    held_back: dict[str, int] = field(default_factory=dict)


class LogLimit:
    """Says which lines of one sort are written, and sums up the others.

    Time is cut into windows, the first of which begins with the first line. In each of them the first line of
    each kind is written, and some more; the rest is counted, and summed up in one line: ``1,204 more refused
    in 10 s: 900 bad_signature, 304 expired``. The summary is logged at the end of its window by a thread that
    exists only while something is held back, so that it comes also where the flood ends and no line follows;
    where that thread could not run, by the next line, or as the process ends.

    It serves any number of threads. A forked process begins with nothing counted: its parent has the counts.
    """

    def __init__(
        self,
        logger: logging.Logger,
        level: int,
        what: str,
        *,
        lines: int = 20,
        seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        """Begin with nothing counted.

        Args:
            logger: Where the lines and their summaries go.
            level: The level of both.
            what: What the lines are about, for the summary: ``refused``.
            lines: Lines of a window that are written besides the first one of each kind.
            seconds: The length of a window.
            monotonic: A clock that never goes back, in seconds.
            later: Calls a function at the end of a window; in a thread by default.

        Raises:
            ConfigurationError: If `lines` is negative or no whole number, or `seconds` is not positive.
        """
        if type(lines) is not int or lines < 0 or not 0 < seconds < threading.TIMEOUT_MAX:
            raise ConfigurationError(
                f"lines={lines!r} must be a whole number from 0 up, and seconds={seconds!r} more than 0: how "
                "many log lines are written in how many seconds"
            )
        self._logger: Final = logger
        self._level: Final = level
        self._what: Final = what
        self._lines: Final = lines
        self._seconds: Final = seconds
        self._monotonic: Final = monotonic
        self._later: Final[Later] = in_a_thread if later is None else later
        self._begin()
        renew_in_children(self, LogLimit._begin)
        _limits.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._window: _Window | None = None

    def allows(self, kind: str) -> bool:
        """Count a line, and say whether it is to be written; writes the summary of a window that is over.

        Args:
            kind: Its kind: one of few, and nothing that a caller chooses.

        Returns:
            Whether to write it; False also where the logger writes no line of this level.
        """
        if not self._logger.isEnabledFor(self._level):
            return False
        now = self._monotonic()
        held_back, begins = None, False
        with self._lock:
            window = self._window
            if window is None or not now < window.began + self._seconds:
                held_back = None if window is None else window.held_back
                window = self._window = _Window(now)
            if kind not in window.kinds and len(window.kinds) >= _KINDS:
                kind = _OTHER
            first = kind not in window.kinds
            window.kinds.add(kind)
            writes = first or window.written < self._lines
            if not writes:
                begins = not window.held_back
                window.held_back[kind] = window.held_back.get(kind, 0) + 1
            elif not first:
                window.written += 1
        # Nothing below is done under the lock: a handler may be slow, and may log itself.
        self._sum_up(held_back)
        if begins:
            self._end_later(window, window.began + self._seconds - now)
        return writes

    def flush(self) -> None:
        """Write the summary of what is held back now, as at the end of the process."""
        self._end(self._window)

    def _end_later(self, window: _Window, seconds: float) -> None:
        # Weak: the thread must not keep alive what the application has dropped.
        me = weakref.ref(self)

        def end() -> None:
            if (limit := me()) is not None:
                limit._end(window)  # noqa: SLF001 - the same class

        self._later(seconds, end)

    def _end(self, window: _Window | None) -> None:
        """End a window and sum it up, unless a line has done so."""
        with self._lock:
            if window is None or self._window is not window:
                return
            self._window = None
        self._sum_up(window.held_back)

    def _sum_up(self, held_back: Mapping[str, int] | None) -> None:
        if not held_back:
            return
        most = dict(sorted(held_back.items(), key=lambda item: -item[1]))
        counts = ", ".join(f"{count:,} {kind}" for kind, count in most.items())
        self._logger.log(
            self._level,
            "%s more %s in %g s: %s",
            f"{sum(most.values()):,}",
            self._what,
            self._seconds,
            counts,
            extra={SUMMARY: LogSummary(seconds=self._seconds, held_back=most)},
        )


_limits: Final[weakref.WeakSet[LogLimit]] = weakref.WeakSet()


def _at_exit() -> None:
    for limit in list(_limits):
        limit.flush()


# Registered after that of `logging`, which is imported above, and so called before it closes the handlers.
atexit.register(_at_exit)
