"""What a door decides, as metrics and on spans."""

from __future__ import annotations

from typing import Final

from doorward.door.events import Decided, DoorListener
from doorward.extras import needs_extra

with needs_extra("otel"):
    from opentelemetry.metrics import Meter, get_meter
    from opentelemetry.trace import get_current_span

__all__ = ["DoorMetrics", "DoorSpans"]


class DoorMetrics:
    """A listener of doors that counts their decisions; it counts also what the log only sums up.

    Counter: ``doorward.door.decisions`` by ``doorward.outcome`` (``admitted``, ``anonymous``, ``exempt`` or
    ``refused``) and, of a refusal, ``doorward.reason`` and ``http.response.status_code``.
    """

    def __init__(self, meter: Meter | None = None, *, then: DoorListener | None = None) -> None:
        """Make the instrument.

        Args:
            meter: Creates the instrument; by default the meter ``doorward`` of the global provider, which may
                be set later.
            then: Receives every decision afterwards.
        """
        meter = meter if meter is not None else get_meter("doorward")
        self._then: Final = then
        self._decisions: Final = meter.create_counter(
            "doorward.door.decisions", "{request}", "Requests that a door has decided on."
        )

    def __call__(self, event: Decided) -> None:
        """Count a decision, and pass it on.

        Args:
            event: The decision.
        """
        about: dict[str, str | int] = {"doorward.outcome": event.outcome}
        if event.reason is not None and event.status is not None:
            about |= {"doorward.reason": str(event.reason), "http.response.status_code": event.status}
        self._decisions.add(1, about)
        if self._then is not None:
            self._then(event)


class DoorSpans:
    """A listener of doors that writes their decisions on the current span, which is that of the request.

    The instrumentation of the server or the framework makes that span, and must stand in front of the door.
    Attributes: ``doorward.outcome``; of a refusal ``doorward.reason``; and ``enduser.id`` where it is asked
    for. Without a span that is recorded nothing is done.
    """

    def __init__(self, *, enduser_id: bool = False, then: DoorListener | None = None) -> None:
        """Choose the attributes.

        Args:
            enduser_id: Whether to write who calls, as ``enduser.id``: the e-mail of the verified end user, or
                of the caller where there is none, and the unique id where a token vouches for no e-mail. That
                is personal data (https://opentelemetry.io/docs/specs/semconv/registry/attributes/enduser/),
                so it is off by default.
            then: Receives every decision afterwards, such as `DoorMetrics`.
        """
        self._enduser_id: Final = enduser_id
        self._then: Final = then

    def __call__(self, event: Decided) -> None:
        """Write a decision on the current span, and pass it on.

        Args:
            event: The decision.
        """
        span = get_current_span()
        if span.is_recording():
            span.set_attribute("doorward.outcome", event.outcome)
            if event.reason is not None:
                span.set_attribute("doorward.reason", str(event.reason))
            user = event.end_user or event.caller
            if self._enduser_id and user is not None and (name := user.email or user.subject) is not None:
                span.set_attribute("enduser.id", name)
        if self._then is not None:
            self._then(event)
