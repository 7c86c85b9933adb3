"""What the doors of a test have decided, and why: a response does not say it, for good reason."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from doorward import Admission, Refusal
from doorward.door.base import BaseDoor
from doorward.door.events import Outcome, event_of
from doorward.errors import Reason
from doorward.policy.request import RequestFacts
from doorward_integrations.testing.running import on_begin

__all__ = ["Decision", "forget", "made", "record"]

_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What a door has decided on one request.

    Attributes:
        door: The door.
        outcome: ``admitted``, ``anonymous``, ``exempt`` or ``refused``.
        method: The method of the request.
        path: Its decoded path.
        caller: The principal that was admitted; None if it was refused.
        reason: Why it was refused; None if it was not.
        status: The status of the refusal; None if it was admitted.
        sentence: The sentence for the operator's log.
    """

    door: BaseDoor
    outcome: Outcome
    method: str
    path: str
    caller: str | None = None
    reason: Reason | None = None
    status: int | None = None
    sentence: str = ""

    def __str__(self) -> str:
        """Say it in one line, with what to do about a refusal."""
        request = f"{self.method} {self.path}"
        if self.reason is None:
            return f"{request}: {self.outcome}" + (f" as {self.caller}" if self.outcome == "admitted" else "")
        return f"{request}: refused with {self.status}: {self.reason}: {self.sentence}. {self.reason.advice}"


_made: Final[deque[Decision]] = deque(maxlen=_KEPT)


def made() -> list[Decision]:
    """Return the decisions of this test so far, the last one at the end; the last 1,000 of them."""
    return list(_made)


def forget() -> None:
    """Forget them: another test begins."""
    _made.clear()


on_begin(forget)


def record(door: BaseDoor, outcome: Admission | Refusal, request: RequestFacts) -> None:
    """Keep a decision.

    Args:
        door: The door that made it.
        outcome: The decision.
        request: What is known of the request.
    """
    event = event_of(outcome)
    if isinstance(outcome, Refusal):
        _made.append(
            Decision(
                door,
                event.outcome,
                request.method,
                request.path,
                reason=outcome.reason,
                status=outcome.status,
                sentence=outcome.error.message,
            )
        )
    else:
        caller = str(outcome.principal)
        _made.append(Decision(door, event.outcome, request.method, request.path, caller=caller))
