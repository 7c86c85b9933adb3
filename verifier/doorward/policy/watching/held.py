"""What a watched policy holds, and what decides in its place while that cannot be known."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.keys.flight import Flight
from doorward.policy.decision import Decision
from doorward.policy.iam import InvokerPolicy
from doorward.policy.request import RequestFacts
from doorward.policy.watching.file import FileVersion
from doorward.tokens.principal import Principal

__all__ = ["HeldPolicy", "UndecidedPolicy"]


@dataclass(frozen=True, slots=True)
class HeldPolicy:
    """The last good policy of the file; immutable, and replaced whole.

    Attributes:
        policy: The policy.
        version: The version of the file that it is of; None if the file changed while it was loaded.
        generation: Counts the policies that were taken.
        confirmed_at: When the look began that last found it in the file, on the monotonic clock, in seconds.
        confirmed_at_wall: The same on the wall clock, in seconds since the epoch.
        settled_until: The time on the monotonic clock before which nothing needs to be done.
        settled_until_wall: The same on the wall clock.
    """

    policy: InvokerPolicy
    version: FileVersion | None
    generation: int
    confirmed_at: float
    confirmed_at_wall: float
    settled_until: float
    settled_until_wall: float

    def age(self, now: float, wall: float) -> float:
        """Return the age in seconds, on the one of the two clocks that shows more.

        Args:
            now: The time on the monotonic clock, which stands still while an instance is frozen.
            wall: The time on the wall clock, which can be set back.
        """
        return max(0.0, now - self.confirmed_at, wall - self.confirmed_at_wall)


@dataclass(frozen=True, slots=True)
class UndecidedPolicy:
    """Grants nothing, and says that this cannot be known now: a door waits for the look, or answers 503.

    Attributes:
        public: Whether this is asked about callers without a good token too: while there is a look to wait
            for, and afterwards if the last good policy admitted everyone. Otherwise they are refused with
            401 or 403, as always.
        why: Why it cannot be known, for the operator's log.
        pending: The look to wait for; None if waiting does not help.
    """

    public: bool
    why: str
    pending: Flight | None

    def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
        """Decide nothing.

        Args:
            principal: The caller.
            request: The request.
            now: Seconds since the epoch.

        Returns:
            A decision that is not granted, and says why it is unknown.
        """
        del principal, request, now
        return Decision(granted=False, unknown=self.why, pending=self.pending)
