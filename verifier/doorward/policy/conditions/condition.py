"""Conditions of bindings: when a binding grants, said in CEL. What cannot be evaluated grants nothing.

On Cloud Run a condition knows three attributes: ``request.path``, ``request.host`` and ``request.time``
(https://cloud.google.com/iam/docs/conditions-attribute-reference). Conditions need the extra ``cel``. It
brings ``cel-expr-python``, the evaluator in C++ by the authors of CEL. The others that were tried:

- ``cel-python`` (in Python): 100 to 700 us for a condition where this one takes 3 to 6, and seven more
  packages, three of them compiled; it takes ``timestamp("2024-03-31")`` for valid.
- ``common-expression-language`` (in Rust): as fast, but its functions of time take no time zone, so that each
  would have had to be written here; and fourteen more packages for a command line that nobody here needs.

`doorward.policy.conditions.rewrite` says what a condition may hold and what becomes of it, `doorward.policy.conditions.library` what
the library does. ``docs/conditions.md`` is for those who write policies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.conditions.library import extracted, parse, program
from doorward.policy.conditions.rewrite import HOST, PATH, TIME, Rewrite
from doorward.policy.request import RequestFacts

__all__ = ["LONGEST", "Condition", "compile_condition"]

LONGEST: Final = 4096
"""The longest expression, in characters. The bound is doorward's own: Google's is not documented."""

_UNSPEAKABLE: Final = re.compile("[\0\ud800-\udfff]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, ready to be evaluated, by several threads at once too. `compile_condition` makes it.

    Attributes:
        expression: What the policy says.
        title: What the policy calls it.
        depends_on_request: Whether another request may have another outcome.
        depends_on_time: Whether another time may have another outcome.
    """

    expression: str
    title: str
    depends_on_request: bool
    depends_on_time: bool
    _program: Any = field(repr=False, compare=False)
    _form: Rewrite = field(repr=False, compare=False)

    def holds(self, request: RequestFacts, now: float) -> bool:
        """Tell whether it holds. What cannot be evaluated does not; this never raises.

        Args:
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            Whether it holds.
        """
        return self._evaluate(request, now)[0] is True

    def account(self, request: RequestFacts, now: float) -> tuple[bool, str]:
        """Tell whether it holds, and why.

        Args:
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            Whether it holds, and a sentence.
        """
        outcome, bound = self._evaluate(request, now)
        if isinstance(outcome, bool):
            return outcome, "it holds" if outcome else self._form.invalid or "it does not hold"
        missing = [f"{name} is not available on Cloud Run" for name in self._form.unavailable]
        if bound is not None:
            absent = sorted(self._form.attributes - bound.keys())
            missing += [f"{name} is not to be had from this request" for name in absent]
        return False, "; ".join(missing) or f"it cannot be evaluated: {outcome}"

    def _evaluate(self, request: RequestFacts, now: float) -> tuple[bool | str, dict[str, Any] | None]:
        """Evaluate it; a sentence where that fails. And give the values that it was given."""
        if self._form.invalid:
            return False, None
        bound = None
        try:
            bound = _bindings(self._form, request, now)
            value = self._program.eval(data=bound).value()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, it grants nothing and breaks nothing
            return type(error).__name__, bound
        return value if isinstance(value, bool) else str(value), bound


def _bindings(form: Rewrite, request: RequestFacts, now: float) -> dict[str, Any]:
    """Give the values that a condition asks for, as far as there are any: what stays unbound is an error."""
    found: dict[str, Any] = {}
    for name in form.attributes:
        if name == TIME:
            # Timestamps have millisecond precision (the attribute reference says so); binary fractions of a
            # second fall just below it.
            found[name] = _EPOCH + timedelta(milliseconds=round(now * 1_000_000) // 1000)
        elif text := _usable(request, name):
            found[name] = text
    for number, extract in enumerate(form.extracts):
        if extract.attribute in found:
            found[extracted(number)] = extract.template(found[extract.attribute])
    return found


def _usable(request: RequestFacts, name: str) -> str:
    """Give an attribute of a request; empty if it has none, or it holds a NUL: the library would cut it."""
    text = request.path if name == PATH else request.host
    return "" if "\0" in text else text


def compile_condition(expression: str, title: str = "") -> Condition:
    """Make a condition ready, once; every request evaluates what this gives.

    Args:
        expression: The expression, in CEL, as far as IAM has it.
        title: What the policy calls it.

    Returns:
        The condition.

    Raises:
        PolicyError: If it is not understood, too long, or never true nor false; or the extra ``cel`` is
            not installed.
    """
    if len(expression) > LONGEST:
        raise PolicyError(f"it has {len(expression)} characters; at most {LONGEST} are read")
    if _UNSPEAKABLE.search(expression):
        raise PolicyError("it holds a NUL or half of a surrogate pair")
    form = Rewrite()
    text = form.write(parse(expression))
    return Condition(
        expression=expression,
        title=title,
        depends_on_request=not form.invalid and not form.attributes.isdisjoint({PATH, HOST}),
        depends_on_time=not form.invalid and TIME in form.attributes,
        _program=program(text),
        _form=form,
    )
