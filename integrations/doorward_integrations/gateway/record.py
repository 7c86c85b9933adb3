"""What is noted of one request while it passes, for its line in the access log."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from typing import Final

__all__ = ["Record", "current"]


@dataclass(slots=True)
class Record:
    """One request.

    Attributes:
        service: The service that it is for; empty if there is one only, or none was found.
        member: The caller, as IAM names it; empty until one is verified.
        reason: Why it was refused, or did not go well; empty if nothing is to be said.
        error: The same in a sentence.
        status: The status of the answer; 0 until it is sent.
        trace_id: Its trace.
        received: Bytes of its body that were read.
        sent: Bytes of the body of the answer.
    """

    service: str = ""
    member: str = ""
    reason: str = ""
    error: str = ""
    status: int = 0
    trace_id: str = ""
    received: int = 0
    sent: int = 0


current: Final[contextvars.ContextVar[Record]] = contextvars.ContextVar("doorward_gateway_record")
"""The record of the request that this task answers."""
