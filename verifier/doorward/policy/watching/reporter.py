"""Reporting to the listener of a watched policy: what a listener does cannot break the policy."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from doorward.forks import renew_in_children
from doorward.keys.flight import FOLLOW_UP_THREAD
from doorward.keys.state import KeyState
from doorward.policy.watching.events import PolicyEvent, PolicyListener, PolicyStateChanged

__all__ = ["PolicyReporter"]

_log: Final = logging.getLogger("doorward.policy")

_LONGEST_QUEUE: Final = 100  # events; the oldest is dropped first


class PolicyReporter:
    """Hands the events of one watched policy to its listener: one at a time, and while no lock is held.

    No request waits for it: a listener that never returns holds up the one thread that called it.
    """

    def __init__(self, path: str, listener: PolicyListener) -> None:
        """Start with nothing reported.

        Args:
            path: The policy file.
            listener: Receives the events.
        """
        self._path: Final = path
        self._listener: Final = listener
        self._last_state = KeyState.FRESH
        self._begin()
        renew_in_children(self, PolicyReporter._begin)

    def _begin(self) -> None:
        """Begin with nothing to report: in a forked child, the parent reports what has happened."""
        self._stating = threading.Lock()
        self._delivering = threading.Lock()
        self._queue: deque[PolicyEvent] = deque(maxlen=_LONGEST_QUEUE)

    def queue(self, event: PolicyEvent) -> None:
        """Keep an event until it is delivered; may be called while a lock is held.

        Args:
            event: What happened.
        """
        self._queue.append(event)

    def queue_state(self, state: Callable[[], KeyState]) -> bool:
        """Keep a change of state until it is delivered, if this is another state than the last one.

        Args:
            state: Returns the state now. It is asked again under a lock, so that two threads that see a
                change at once report it once, and in its order.

        Returns:
            Whether there is something to deliver.
        """
        if state() is self._last_state:
            return False
        with self._stating:
            before, after = self._last_state, state()
            self._last_state = after
            if before is not after:
                self.queue(PolicyStateChanged(self._path, before, after))
            return before is not after

    def deliver(self) -> None:
        """Hand what is queued to the listener, unless another thread does so already."""
        lock = self._delivering
        while self._queue and lock.acquire(blocking=False):
            try:
                if self._queue:
                    self._deliver_one(self._queue.popleft())
            finally:
                lock.release()

    def _deliver_one(self, event: PolicyEvent) -> None:
        try:
            self._listener(event)
        except Exception:  # noqa: BLE001 - the listener is the user's, and may raise anything
            _log.exception("the listener failed on %s", type(event).__name__)

    def deliver_aside(self) -> None:
        """Deliver in a thread of its own; if none can be started, with what is delivered next."""
        try:
            threading.Thread(target=self.deliver, name=FOLLOW_UP_THREAD, daemon=True).start()
        except RuntimeError:
            _log.debug("no thread could be started to report events")
