"""Conditions of bindings: expressions in CEL under which a binding grants.

A condition that cannot be evaluated grants nothing. On Cloud Run a condition can read three attributes:
``request.path``, ``request.host`` and ``request.time``
(https://cloud.google.com/iam/docs/conditions-attribute-reference). Conditions need the extra ``cel``, which
installs ``cel-expr-python``, the evaluator in C++ by the authors of CEL. Two others were measured:

- ``cel-python`` (in Python) takes 100 to 700 us for a condition where this one takes 3 to 6, needs seven more
  packages, three of them compiled, and accepts ``timestamp("2024-03-31")``.
- ``common-expression-language`` (in Rust) is as fast, but its functions of time take no time zone, so that
  each would have to be written here, and it needs fourteen more packages for a command line that is not
  used here.

`doorward.policy.conditions.rewrite` says what a condition may hold and how it is rewritten,
`doorward.policy.conditions.library` what the library does. ``docs/conditions.md`` is for authors of policies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.conditions.functions import missing_reason
from doorward.policy.conditions.library import HOST, PATH, PRESENCE, TIME, extract_variable, parse, program
from doorward.policy.conditions.resource_tags import ResourceTags
from doorward.policy.conditions.rewrite import RewrittenCondition, rewrite
from doorward.policy.request import RequestFacts
from doorward.shown import shortened

__all__ = ["LONGEST", "Condition", "compile_condition"]

LONGEST: Final = 4096
"""The longest expression, in characters. The bound is doorward's own: Google documents none."""

_UNENCODABLE: Final = re.compile("[\0\ud800-\udfff]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; see `compile_condition`. Several threads may evaluate it at once.

    Attributes:
        expression: The expression, as the policy has it.
        title: The title, as the policy has it.
        depends_on_request: Whether another request may have another outcome.
        depends_on_time: Whether another time may have another outcome.
    """

    expression: str
    title: str
    depends_on_request: bool
    depends_on_time: bool
    _program: Any = field(repr=False, compare=False)
    _rewritten: RewrittenCondition = field(repr=False, compare=False)

    def holds(self, request: RequestFacts, now: float) -> bool:
        """Return whether the condition holds; False if it cannot be evaluated. This method never raises.

        Args:
            request: The request to decide on.
            now: Seconds since the epoch.
        """
        return self._evaluate(request, now)[0] is True

    def explain(self, request: RequestFacts, now: float) -> tuple[bool, str]:
        """Return whether the condition holds, and why.

        Args:
            request: The request to decide on.
            now: Seconds since the epoch.

        Returns:
            What `holds` returns, and a sentence.
        """
        outcome, values = self._evaluate(request, now)
        rewritten = self._rewritten
        if isinstance(outcome, bool):
            return outcome, "it holds" if outcome else rewritten.invalid_literal or "it does not hold"
        missing = [missing_reason(name) for name in rewritten.unavailable]
        if values is not None:
            absent = sorted(rewritten.attributes - values.keys())
            missing += [f"this request has no usable {name}" for name in absent]
        return False, "; ".join(missing) or f"it cannot be evaluated: {shortened(outcome)}"

    def outcome(self, request: RequestFacts, now: float) -> bool | None:
        """Return whether the condition holds; None if that cannot be evaluated. This method never raises.

        Args:
            request: The request to decide on.
            now: Seconds since the epoch.
        """
        found = None if self._rewritten.invalid_literal else self._evaluate(request, now)[0]
        return found if isinstance(found, bool) else None

    def _evaluate(self, request: RequestFacts, now: float) -> tuple[bool | str, dict[str, Any] | None]:
        """Return the outcome, or what went wrong; and the values that were bound, None without any."""
        if self._rewritten.invalid_literal:
            return False, None
        values = None
        try:
            values = _values(self._rewritten, request, now)
            outcome = self._program.eval(data=values).value()
        except Exception as error:  # noqa: BLE001 - no error may grant anything, or make the request fail
            return type(error).__name__, values
        return outcome if isinstance(outcome, bool) else str(outcome), values


def _values(rewritten: RewrittenCondition, request: RequestFacts, now: float) -> dict[str, Any]:
    """Return the values of the variables; what the request lacks is not bound, so that reading it fails."""
    values: dict[str, Any] = {}
    for name in rewritten.attributes:
        if name == TIME:
            # Timestamps have millisecond precision (the attribute reference says so). Binary fractions of a
            # second fall just below it, hence the rounding to microseconds first.
            values[name] = _EPOCH + timedelta(milliseconds=round(now * 1_000_000) // 1000)
        elif text := _attribute(request, name):
            values[name] = text
    for name in rewritten.presence:
        values[PRESENCE[name]] = bool(_attribute(request, name))
    for number, extract in enumerate(rewritten.extracts):
        if extract.attribute in values:
            values[extract_variable(number)] = extract.template.extract(values[extract.attribute])
    return values


def _attribute(request: RequestFacts, name: str) -> str:
    """Return an attribute of a request; empty if it has a NUL, where the library would cut it."""
    text = request.path if name == PATH else request.host
    return "" if "\0" in text else text


def compile_condition(expression: str, title: str = "", tags: ResourceTags | None = None) -> Condition:
    """Compile a condition.

    Args:
        expression: The expression, in IAM's dialect of CEL.
        title: The title, as the policy has it.
        tags: The tags of the service; None if they are not known.

    Returns:
        The condition, to be evaluated for every request.

    Raises:
        PolicyError: If the expression is not understood, too long, or not a truth value; or if the extra
            ``cel`` is not installed.
    """
    if len(expression) > LONGEST:
        raise PolicyError(f"it has {len(expression)} characters; at most {LONGEST} are read")
    if _UNENCODABLE.search(expression):
        raise PolicyError("it holds a NUL or half of a surrogate pair: remove the character")
    rewritten = rewrite(parse(expression), tags)
    read = rewritten.attributes | rewritten.presence
    constant = bool(rewritten.invalid_literal)
    return Condition(
        expression=expression,
        title=title,
        depends_on_request=not constant and not read.isdisjoint({PATH, HOST}),
        depends_on_time=not constant and TIME in rewritten.attributes,
        _program=program(rewritten.expression),
        _rewritten=rewritten,
    )
