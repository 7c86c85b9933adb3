"""How a condition is rewritten to what the library can evaluate.

The attribute reference of IAM (https://cloud.google.com/iam/docs/conditions-attribute-reference) lists what
conditions may hold. The tree of a condition is written out again, with these changes:

- An attribute that Cloud Run does not offer becomes a variable that is never bound, together with every
  function of it. In CEL, to read it is an error, and errors are the third truth value of Kleene's logic: the
  negation of an error is an error, ``error || true`` is true, ``error && false`` is false. So such a part
  never grants, neither does its opposite, and the other parts may.
- ``date("2023-02-01")``, which only IAM has, becomes a timestamp.
- ``ATTRIBUTE.extract("TEMPLATE")``, which only IAM has, becomes a variable that is bound before the
  evaluation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.conditions.extract import Extract, Template
from doorward.policy.conditions.library import (
    EXTRACTS,
    HOST,
    PATH,
    TIME,
    UNAVAILABLE,
    extract_variable,
    program,
)
from doorward.policy.conditions.syntax import Call, Field, Items, Literal, Node, dotted_name

__all__ = ["RewrittenCondition", "rewrite"]

_ATTRIBUTES: Final = frozenset({PATH, HOST, TIME})

_OPERATORS: Final = {
    "_==_": "==",
    "_!=_": "!=",
    "_<_": "<",
    "_<=_": "<=",
    "_>_": ">",
    "_>=_": ">=",
    "_+_": "+",
    "_-_": "-",
    "@in": "in",
}
_LOGIC: Final = {"_&&_": "&&", "_||_": "||"}
_TEXT_FUNCTIONS: Final = frozenset({"startsWith", "endsWith", "extract"})
_TIME_FUNCTIONS: Final = frozenset(
    {
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getFullYear",
        "getHours",
        "getMilliseconds",
        "getMinutes",
        "getMonth",
        "getSeconds",
    }
)
_MIDNIGHT: Final = "T00:00:00Z"
_CONVERSIONS: Final = {
    "timestamp": re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
    ),
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "duration": re.compile(r"[-+0-9.a-z]+", re.ASCII),
}
_OFFSET: Final = re.compile(r"[+-]?(?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)
_ZONE_NAME: Final = re.compile(r"[A-Za-z][\w+-]*(?:/[\w+-]+)*", re.ASCII)
_LOCAL_ZONES: Final = frozenset({"localtime", "posixrules"})
_ESCAPED: Final = re.compile(r'[^ -~]|["\\]')


@dataclass(frozen=True, slots=True)
class RewrittenCondition:
    """A condition, rewritten to what the library can evaluate.

    Attributes:
        expression: The expression for the library.
        attributes: The attributes of the request that it reads.
        unavailable: The attributes that it reads and Cloud Run does not offer, in order.
        extracts: What is to be extracted before the evaluation; the result of each is bound to
            `doorward.policy.conditions.library.extract_variable` of its position.
        invalid_literal: Why the condition never holds: it has a literal that is not valid. Empty if it has
            none.
    """

    expression: str
    attributes: frozenset[str]
    unavailable: tuple[str, ...]
    extracts: tuple[Extract, ...]
    invalid_literal: str


def rewrite(tree: Node) -> RewrittenCondition:
    """Rewrite a condition to what the library can evaluate.

    Args:
        tree: The tree of the condition.

    Returns:
        The condition, rewritten.

    Raises:
        PolicyError: If it has a function or an operator that conditions do not have.
    """
    writer = _Writer()
    expression = writer.write(tree)
    return RewrittenCondition(
        expression,
        frozenset(writer.attributes),
        tuple(writer.unavailable),
        tuple(writer.extracts),
        writer.invalid_literal,
    )


class _Writer:
    """Writes out a tree, and collects what it reads."""

    def __init__(self) -> None:
        self.attributes: set[str] = set()
        self.unavailable: list[str] = []
        self.extracts: list[Extract] = []
        self.invalid_literal = ""

    def write(self, node: Node) -> str:
        if (missing := _unavailable(node)) is not None:
            if missing not in self.unavailable:
                self.unavailable.append(missing)
            return UNAVAILABLE
        if (name := dotted_name(node)) is not None:
            self.attributes.add(name)
            return name
        if isinstance(node, Literal):
            return _literal(node.value)
        if isinstance(node, Items):
            return f"[{', '.join(map(self.write, node.items))}]"
        if isinstance(node, Call):
            return self._call(node)
        raise PolicyError("only attributes have fields")

    def _call(self, call: Call) -> str:
        target, function, arguments = call.target, call.function, call.arguments
        if function in _LOGIC:
            # A chain needs no parentheses, and so does not nest more deeply than it did.
            return f"({f' {_LOGIC[function]} '.join(map(self.write, _chain(call, function)))})"
        if function in _OPERATORS:
            left, right = map(self.write, arguments)
            return f"({left} {_OPERATORS[function]} {right})"
        if function == "!_":
            return f"!{self.write(arguments[0])}"
        if target is None:
            return self._conversion(function, arguments)
        if function == "extract":
            return self._extract(target, arguments)
        if function in _TEXT_FUNCTIONS or function in _TIME_FUNCTIONS:
            if function in _TIME_FUNCTIONS:
                _check_zone(function, arguments)
            return f"{self.write(target)}.{function}({', '.join(map(self.write, arguments))})"
        raise _unsupported(function)

    def _conversion(self, function: str, arguments: tuple[Node, ...]) -> str:
        if function not in _CONVERSIONS or len(arguments) != 1:
            raise _unsupported(function)
        (argument,) = arguments
        text = self.write(argument)
        written = (
            f"timestamp({text} + {_literal(_MIDNIGHT)})" if function == "date" else f"{function}({text})"
        )
        if isinstance(argument, Literal) and isinstance(argument.value, str):
            valid = _CONVERSIONS[function].fullmatch(argument.value) and _is_true(f"{written} == {written}")
            if not valid and not self.invalid_literal:
                self.invalid_literal = (
                    f"{function}({argument.value!r}) is not valid, so the condition never holds"
                )
        return written

    def _extract(self, target: Node, arguments: tuple[Node, ...]) -> str:
        attribute = dotted_name(target)
        if attribute not in {PATH, HOST}:
            raise PolicyError(f"extract: it reads {PATH} or {HOST} and nothing else")
        if len(arguments) != 1 or not isinstance(template := getattr(arguments[0], "value", None), str):
            raise PolicyError("extract: the template must be one literal string")
        self.attributes.add(attribute)
        extract = Extract(attribute, Template.read(template))
        if extract not in self.extracts:
            self.extracts.append(extract)
        if len(self.extracts) > EXTRACTS:
            raise PolicyError(f"extract: the condition has more than {EXTRACTS} different ones")
        return extract_variable(self.extracts.index(extract))


def _unavailable(node: Node) -> str | None:
    """Return the attribute that a value is taken from, if Cloud Run does not offer it; None otherwise."""
    if (name := dotted_name(node)) is not None:
        return None if name in _ATTRIBUTES else name
    if isinstance(node, Field):
        return _unavailable(node.operand)
    if isinstance(node, Call) and node.target is not None:
        found = _unavailable(node.target)
        own = found is not None and found == dotted_name(node.target) and node.function not in _TEXT_FUNCTIONS
        return f"{found}.{node.function}()" if own else found
    if isinstance(node, Call) and node.function == "_[_]":
        return _unavailable(node.arguments[0])
    return None


def _chain(node: Node, operator: str) -> list[Node]:
    """Return the operands of ``a && b && c``."""
    if isinstance(node, Call) and node.function == operator:
        return [operand for argument in node.arguments for operand in _chain(argument, operator)]
    return [node]


def _literal(value: str | int | bool) -> str:  # noqa: FBT001 - literals are of these types
    if isinstance(value, str):
        return '"' + _ESCAPED.sub(lambda found: f"\\U{ord(found[0]):08x}", value) + '"'
    return str(value).lower()


def _check_zone(function: str, arguments: tuple[Node, ...]) -> None:
    if not arguments:
        return
    zone: Any = getattr(arguments[0], "value", None)
    if len(arguments) != 1 or not isinstance(zone, str):
        raise PolicyError(f"{function}: the time zone must be one literal string")
    if _OFFSET.fullmatch(zone) or (_ZONE_NAME.fullmatch(zone) and _is_system_zone(zone)):
        return
    raise PolicyError(
        f"{function}: the system does not know the time zone {zone!r}: write it like 'Europe/Berlin' or "
        "'+01:00', and install the time zone database of the system (on Debian: the package tzdata)"
    )


def _is_system_zone(zone: str) -> bool:
    """Return whether the time zone database of the system has a zone, other than that of the machine."""
    midnight = f"timestamp({_literal('1970-01-01' + _MIDNIGHT)})"
    return zone.lower() not in _LOCAL_ZONES and _is_true(f"{midnight}.getHours({_literal(zone)}) >= 0")


def _is_true(expression: str) -> bool:
    """Return whether an expression without variables is true."""
    return program(expression).eval(data={}).value() is True


def _unsupported(function: str) -> PolicyError:
    name = function if function[0].isalpha() else function.replace("_", "")
    return PolicyError(
        f"{name!r} is not supported; conditions have && || ! == != < <= > >= + - in, startsWith, endsWith, "
        "extract, timestamp, date, duration and the functions of time (getHours, ...)"
    )
