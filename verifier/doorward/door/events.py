"""What a door has decided, as plain data for one listener: to count, to measure, to alarm on.

An event is made after the decision and holds nothing that a caller has sent, but whom a verified token names:
a listener can change nothing, and no caller can make it keep much.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from doorward.door.admission import EXEMPT, Admission
from doorward.door.refusal import Refusal
from doorward.errors import Reason
from doorward.loglimit import LogLimit
from doorward.tokens.principal import ANONYMOUS, Principal

__all__ = ["Decided", "DoorListener", "Outcome", "event_of", "report"]

_log: Final = logging.getLogger("doorward.door")
_failures: Final = LogLimit(_log, logging.ERROR, "decisions on which the listener failed", lines=0)

Outcome = Literal["admitted", "anonymous", "exempt", "refused"]
"""``admitted``: a verified caller. ``anonymous``: the policy admits everyone, and no caller was verified.
``exempt``: admitted unread. ``refused``: answered by the door."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A door has decided on a request.

    Attributes:
        outcome: How.
        reason: Why it refuses; None if it admits.
        status: The status of the refusal; None if it admits.
        caller: The verified caller of an admitted request; else None. Personal data: it is shown and compared
            by nothing here.
        end_user: The verified user on whose behalf it calls, if the door looks for one; else None.
    """

    outcome: Outcome
    reason: Reason | None = None
    status: int | None = None
    caller: Principal | None = field(default=None, repr=False, compare=False)
    end_user: Principal | None = field(default=None, repr=False, compare=False)


DoorListener = Callable[[Decided], None]
"""Receives the decisions of a door, in the thread that decides, before the answer is given: it must return at
once. An exception that it raises is logged, and changes nothing."""


def report(listener: DoorListener, event: Decided) -> None:
    """Hand a decision to a listener, and log an exception that it raises.

    Args:
        listener: Receives it.
        event: The decision.
    """
    try:
        listener(event)
    except Exception as error:  # noqa: BLE001 - the listener is the user's, and may raise anything
        if _failures.allows(type(error).__name__):
            _log.exception("the listener of the door failed on %s", event)


def event_of(decided: Admission | Refusal) -> Decided:
    """Return the event that says how a door has decided.

    Args:
        decided: Its decision.
    """
    if isinstance(decided, Refusal):
        return Decided("refused", decided.reason, decided.status)
    if decided.decision is EXEMPT:
        return Decided("exempt")
    if decided.principal is ANONYMOUS:
        return Decided("anonymous")
    return Decided("admitted", caller=decided.principal, end_user=decided.end_user)
