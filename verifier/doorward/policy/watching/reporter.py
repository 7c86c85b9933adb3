"""Reporting to the listener of a watched policy: its events, and the changes of its state."""

from __future__ import annotations

import logging
from typing import Final

from doorward.keys.listening import EventQueue
from doorward.keys.state import KeyState
from doorward.policy.watching.events import PolicyEvent, PolicyListener, PolicyStateChanged

__all__ = ["PolicyReporter"]

_log: Final = logging.getLogger("doorward.policy")


class PolicyReporter(EventQueue[PolicyEvent]):
    """Hands the events of one watched policy to its listener, never in the thread of a request."""

    def __init__(self, path: str, listener: PolicyListener) -> None:
        """Start with nothing reported.

        Args:
            path: The policy file.
            listener: Receives the events.
        """
        super().__init__(
            listener, _log, KeyState.FRESH, lambda before, after: PolicyStateChanged(path, before, after)
        )
