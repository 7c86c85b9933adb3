"""What watched policies do, as metrics."""

from __future__ import annotations

from typing import Final

from doorward import WatchedPolicy
from doorward.extras import needs_extra
from doorward.policy.watching.events import LookFinished, PolicyEvent, PolicyListener, log_policy_event
from doorward_integrations.opentelemetry.observed import Observed, state_change

with needs_extra("otel"):
    from opentelemetry.metrics import Meter, get_meter

__all__ = ["PolicyMetrics"]


class PolicyMetrics:
    """A listener of watched policies that counts their events.

    Counters: ``doorward.policy.looks`` by ``doorward.outcome`` (and ``error.type``, the stage of the failure,
    see `doorward.policy.watching.events.LookFinished`), and ``doorward.policy.state_changes`` by
    ``doorward.before`` and ``doorward.after``. Gauges, for each policy given to `observe`:
    ``doorward.policy.age``, in seconds, and ``doorward.policy.state``, 1 for the current ``doorward.state``
    and 0 for the others.
    """

    def __init__(self, meter: Meter | None = None, *, then: PolicyListener | None = log_policy_event) -> None:
        """Make the instruments.

        Args:
            meter: As for `KeyMetrics`.
            then: Receives every event afterwards; by default it is logged, as by a policy without a listener
                of its own. None if an event is only counted.
        """
        meter = meter if meter is not None else get_meter("doorward")
        self._then: Final = then
        self._looks: Final = meter.create_counter(
            "doorward.policy.looks", "{look}", "Looks at a policy file that have finished."
        )
        self._state_changes: Final = meter.create_counter(
            "doorward.policy.state_changes", "{change}", "Changes of the observed state of a policy."
        )
        self._policies: Final[Observed[WatchedPolicy]] = Observed(
            meter,
            "doorward.policy",
            lambda policy: {"file.path": str(policy.path)},
            "Time since the file was last seen to hold the policy.",
            "{policy}",
        )

    def observe(self, policy: WatchedPolicy) -> None:
        """Report the age and the state of a policy each time that metrics are collected.

        Args:
            policy: A policy. Observe one for each file, since two of them would share their time series.
        """
        self._policies.add(policy)

    def __call__(self, event: PolicyEvent) -> None:
        """Count an event, and pass it on.

        Args:
            event: What happened.
        """
        about = {"file.path": event.path}
        if isinstance(event, LookFinished):
            about["doorward.outcome"] = event.outcome
            if event.stage is not None:
                about["error.type"] = event.stage
            self._looks.add(1, about)
        else:
            self._state_changes.add(1, {**about, **state_change(event.before, event.after)})
        if self._then is not None:
            self._then(event)
