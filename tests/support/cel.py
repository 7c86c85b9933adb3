"""What the tests of conditions in CEL evaluate them on. Conditions need the extra ``cel``."""

from __future__ import annotations

from datetime import datetime

from doorward import PlainRequest
from doorward.policy.conditions.condition import compile_condition

YES, NO = True, False
PATH, HOST = "/v1/items/7", "api.example.com"
REQUEST = PlainRequest(PATH, host=HOST)

NOT_OFFERED = 'resource.name == "x"'
"""A part that reads an attribute that Cloud Run does not offer: an error, so that it never grants."""


def at(text: str) -> float:
    """Return the seconds since the epoch of a time."""
    return datetime.fromisoformat(text).timestamp()


NOW = at("2024-03-31T00:59:59.123Z")
"""A Sunday, the 91st day of a leap year; 877 ms later clocks in Berlin go from 02:00 to 03:00."""


def outcome(expression: str, request: PlainRequest = REQUEST, now: float = NOW) -> bool:
    """Return whether a condition holds, and check that its explanation agrees."""
    condition = compile_condition(expression)
    holds = condition.holds(request, now)
    assert holds is condition.explain(request, now)[0]
    return holds
