"""The events of a watched policy, which one listener receives.

Events are plain data, made after the fact: a listener can count, log or export them, and cannot change what
happens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from doorward.keys.state import KeyState

__all__ = ["LookFinished", "PolicyEvent", "PolicyListener", "PolicyStateChanged", "log_policy_event"]

_log: Final = logging.getLogger("doorward.policy")


@dataclass(frozen=True, slots=True)
class LookFinished:
    """A look at the policy file is over.

    Attributes:
        path: The file.
        outcome: ``changed`` (another policy decides from now on), ``unchanged`` or ``failed``.
        seconds: How long it took, in seconds.
        generation: Counts the policies that were taken.
        stage: Where it failed: ``read`` (the file cannot be read), ``content`` (it is not a policy), ``load``
            (what makes the policy raised another error), ``deadline`` (the look did not end) or ``thread``
            (no thread could be started); None if it did not fail.
        error: Why it failed; None if it did not.
        repeated: Whether the look before failed in the same way, on the same content.
        usable_for: Seconds for which the last good policy may still decide; None without a bound.
    """

    path: str
    outcome: str
    seconds: float
    generation: int
    stage: str | None
    error: str | None
    repeated: bool
    usable_for: float | None


@dataclass(frozen=True, slots=True)
class PolicyStateChanged:
    """A request or a look saw the watched policy in another state than the one before.

    Attributes:
        path: The file.
        before: The state that was seen last.
        after: The state now.
    """

    path: str
    before: KeyState
    after: KeyState


PolicyEvent = LookFinished | PolicyStateChanged
"""Any event of a watched policy."""

PolicyListener = Callable[[PolicyEvent], None]
"""Receives the events of a watched policy, one at a time, in a thread that no request waits for. An exception
that it raises is logged, and changes nothing."""


def log_policy_event(event: PolicyEvent) -> None:
    """Log what an operator wants to read, to the logger ``doorward.policy``; the default listener.

    Looks that find nothing new, and failures that are repeated, are logged at level DEBUG.

    Args:
        event: What happened.
    """
    match event:
        case LookFinished(outcome="failed", repeated=False):
            _log.error("the policy file %s cannot be used, %s: %s", event.path, _goes_on(event), event.error)
        case LookFinished(outcome="changed"):
            _log.info("the policy file %s has changed and was taken", event.path)
        case PolicyStateChanged(after=KeyState.DEAD):
            _log.error("the policy of %s is %s: no request is decided by it", event.path, event.after)
        case PolicyStateChanged(after=KeyState.STALE):
            _log.warning("the policy of %s is %s", event.path, event.after)
        case PolicyStateChanged(before=KeyState.STALE | KeyState.DEAD):
            _log.info("the policy of %s is %s again", event.path, event.after)
        case _:
            _log.debug("%s", event)


def _goes_on(event: LookFinished) -> str:
    if event.usable_for is None:
        return "the last good policy goes on without an end, as max_stale=inf asks"
    if event.usable_for <= 0:
        return "the last good policy does not decide any more"
    return f"the last good policy decides for another {event.usable_for:.0f} s"
