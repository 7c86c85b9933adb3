"""What each answer of the soak should be, and the verdict on it.

A fact that servers learn with a delay (a policy, the keys of an issuer) has a history. An answer is right if
it fits a state of the fact that a server may have known between the request and the answer.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

__all__ = ["Answer", "Fact", "Tally", "Verdict", "judge"]


class Fact:
    """Something that is true or false, and changes; every server acts on a change within its delay.

    Args:
        value: Its first value.
    """

    def __init__(self, *, value: bool) -> None:
        self._changes: list[tuple[float, float, bool | None]] = [(0.0, 0.0, value)]
        self._lock = threading.Lock()

    def change(self, at: float, within: float = 0.0, *, value: bool | None) -> None:
        """Note a change.

        Args:
            at: When, on the clock of the answers.
            within: Seconds after which no server may act on the value before.
            value: The value from then on; None while servers cannot know it.
        """
        with self._lock:
            self._changes.append((at, at + within, value))

    def possible(self, began: float, ended: float) -> set[bool]:
        """Return the values by which a server may have decided between two times."""
        with self._lock:
            changes = list(self._changes)
        # A value counts from its change until the one after it must be known.
        last_known = [until for _, until, _ in changes[1:]] + [float("inf")]
        seen = {
            value
            for (at, _, value), until in zip(changes, last_known, strict=True)
            if at <= ended and until > began
        }
        return {True, False} if None in seen else {value for value in seen if value is not None}


@dataclass(frozen=True)
class Answer:
    """One request and its answer.

    Attributes:
        kind: The kind of request.
        status: The status; 0 where the connection broke.
        caller: Whom the application saw, where it was reached.
        began: When the request began, in seconds.
        ended: When the answer was there.
    """

    kind: str
    status: int
    caller: str
    began: float
    ended: float


Verdict = str
"""``right``, ``wrong`` (admitted, and should not be; or as another caller), ``refused`` (though good),
``odd`` (any other answer that does not fit), ``broken`` (no answer), or ``cut off`` (none, where that may
be)."""


def judge(answer: Answer, member: str | None, granted: set[bool], *, unknown_allowed: bool) -> Verdict:
    """Judge one answer.

    Args:
        answer: The answer.
        member: Whom the application must see; None if no one may pass.
        granted: Whether the request should be admitted: one value, or both where either is right.
        unknown_allowed: Whether a server may say that it cannot know (503).
    """
    if answer.status == 0:
        return "broken"
    if answer.status == 200:
        right = True in granted and member is not None and answer.caller == member
        return "right" if right else "wrong"
    if answer.status == 503 and unknown_allowed:
        return "right"
    if False in granted and answer.status in (401, 403):
        return "right"
    return "refused" if True in granted and False not in granted else "odd"


@dataclass
class Tally:
    """The verdicts of one soak, by phase, and how long answers took."""

    verdicts: dict[str, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    examples: dict[Verdict, list[str]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, phase: str, server: str, answer: Answer, verdict: Verdict, *, known: bool) -> None:
        """Count one verdict.

        Args:
            phase: The phase in which the request began.
            server: The server that answered.
            answer: The answer.
            verdict: The verdict.
            known: Whether it was a good token under a known key, whose time is measured.
        """
        with self._lock:
            self.verdicts[phase][verdict] += 1
            if known and answer.status:
                self.seconds[phase, server].append(answer.ended - answer.began)
            if verdict != "right" and len(self.examples[verdict]) < 5:
                self.examples[verdict].append(f"{phase}: {server}: {answer}")

    def count(self, verdict: Verdict) -> int:
        """Return how many answers had a verdict."""
        return sum(counts[verdict] for counts in self.verdicts.values())

    def p99(self, phase: str, server: str) -> float:
        """Return the 99th percentile of the seconds of known tokens; 0.0 if there was none."""
        found = sorted(self.seconds[phase, server])
        return found[min(len(found) - 1, len(found) * 99 // 100)] if found else 0.0
