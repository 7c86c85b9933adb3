"""How a condition is rewritten to what the library can evaluate.

The attribute reference of IAM (https://cloud.google.com/iam/docs/conditions-attribute-reference) lists what
conditions may hold. The tree of a condition is written out again, with these changes:

- An attribute that Cloud Run does not offer becomes a variable that is never bound, together with every
  function of it. In CEL, to read it is an error, and errors are the third truth value of Kleene's logic: the
  negation of an error is an error, ``error || true`` is true, ``error && false`` is false. So such a part
  never grants, neither does its opposite, and the other parts may.
- ``date("2023-02-01")``, which only IAM has, becomes a timestamp.
- ``ATTRIBUTE.extract("TEMPLATE")``, which only IAM has, and ``has(ATTRIBUTE)`` become variables that are
  bound before the evaluation.
- A function that has the same answer for every request to invoke becomes that answer; see
  `doorward.policy.conditions.functions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from doorward.errors import PolicyError
from doorward.policy.conditions.extract import Extract, Template
from doorward.policy.conditions.functions import constant_call
from doorward.policy.conditions.library import (
    EXTRACTS,
    HOST,
    PATH,
    PRESENCE,
    TIME,
    UNAVAILABLE,
    extract_variable,
)
from doorward.policy.conditions.literals import (
    CONVERSIONS,
    check_pattern,
    check_zone,
    converted,
    is_valid,
    literal,
)
from doorward.policy.conditions.resource_tags import ResourceTags
from doorward.policy.conditions.syntax import HAS, Call, Field, Items, Literal, Node, dotted_name
from doorward.shown import quoted

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
    "_*_": "*",
    "_/_": "/",
    "_%_": "%",
    "@in": "in",
}
_FORMS: Final = {"!_": "!{}", "-_": "(-{})", "_?_:_": "({} ? {} : {})"}
_LOGIC: Final = {"_&&_": "&&", "_||_": "||"}
_TEXT_FUNCTIONS: Final = frozenset({"startsWith", "endsWith", "contains", "matches", "size", "extract"})
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


@dataclass(frozen=True, slots=True)
class RewrittenCondition:
    """A condition, rewritten to what the library can evaluate.

    Attributes:
        expression: The expression for the library.
        attributes: The attributes of the request that it reads.
        presence: The attributes of which it asks whether the request has them.
        unavailable: The attributes that it reads and Cloud Run does not offer, in order.
        extracts: What is to be extracted before the evaluation; the result of each is bound to
            `doorward.policy.conditions.library.extract_variable` of its position.
        invalid_literal: Why the condition never holds: it has a literal that is not valid. Empty if it has
            none.
    """

    expression: str
    attributes: frozenset[str]
    presence: frozenset[str]
    unavailable: tuple[str, ...]
    extracts: tuple[Extract, ...]
    invalid_literal: str


def rewrite(tree: Node, tags: ResourceTags | None = None) -> RewrittenCondition:
    """Rewrite a condition to what the library can evaluate.

    Args:
        tree: The tree of the condition.
        tags: The tags of the service; None if they are not known.

    Returns:
        The condition, rewritten.

    Raises:
        PolicyError: If it has a function or an operator that conditions do not have.
    """
    writer = _Writer(tags)
    expression = writer.write(tree)
    return RewrittenCondition(
        expression,
        frozenset(writer.attributes),
        frozenset(writer.presence),
        tuple(writer.unavailable),
        tuple(writer.extracts),
        writer.invalid_literal,
    )


class _Writer:
    """Writes out a tree, and collects what it reads."""

    def __init__(self, tags: ResourceTags | None) -> None:
        self._tags = tags
        self.attributes: set[str] = set()
        self.presence: set[str] = set()
        self.unavailable: list[str] = []
        self.extracts: list[Extract] = []
        self.invalid_literal = ""

    def write(self, node: Node) -> str:
        if (constant := constant_call(node, self._tags)) is not None:
            return self.write(constant)
        if (missing := self._unavailable(node)) is not None:
            if missing not in self.unavailable:
                self.unavailable.append(missing)
            return UNAVAILABLE
        if (name := dotted_name(node)) is not None:
            self.attributes.add(name)
            return name
        if isinstance(node, Literal):
            return literal(node.value)
        if isinstance(node, Items):
            return f"[{', '.join(map(self.write, node.items))}]"
        if isinstance(node, Call):
            return self._call(node)
        raise PolicyError("only attributes have fields")

    def _unavailable(self, node: Node) -> str | None:
        """Return the attribute that a value is taken from, if Cloud Run does not offer it; None otherwise."""
        if (name := dotted_name(node)) is not None:
            return None if name in _ATTRIBUTES else name
        if isinstance(node, Field):
            return self._unavailable(node.operand)
        if isinstance(node, Call) and node.target is not None:
            if constant_call(node.target, self._tags) is not None:
                return None
            found = self._unavailable(node.target)
            own = found is not None and found == dotted_name(node.target)
            return f"{found}.{node.function}()" if own and node.function not in _TEXT_FUNCTIONS else found
        if isinstance(node, Call) and node.function == "_[_]":
            return self._unavailable(node.arguments[0])
        return None

    def _call(self, call: Call) -> str:
        target, function, arguments = call.target, call.function, call.arguments
        if function in _LOGIC:
            # A chain needs no parentheses, and so does not nest more deeply than it did.
            return f"({f' {_LOGIC[function]} '.join(map(self.write, _chain(call, function)))})"
        if function in _OPERATORS:
            left, right = map(self.write, arguments)
            return f"({left} {_OPERATORS[function]} {right})"
        if function in _FORMS:
            return _FORMS[function].format(*map(self.write, arguments))
        if target is None:
            return self._function(function, arguments)
        if function == "extract":
            return self._extract(target, arguments)
        if function in _TEXT_FUNCTIONS or function in _TIME_FUNCTIONS:
            if function in _TIME_FUNCTIONS:
                check_zone(function, arguments)
            if function == "matches" and len(arguments) == 1:
                check_pattern(arguments[0])
            return f"{self.write(target)}.{function}({', '.join(map(self.write, arguments))})"
        raise _unsupported(function)

    def _function(self, function: str, arguments: tuple[Node, ...]) -> str:
        """Write a function without a target."""
        match function, arguments:
            case str(), (argument,) if function == HAS:
                return self._presence(argument)
            case "size", (argument,):
                return f"size({self.write(argument)})"
            case "matches", (text, pattern):
                check_pattern(pattern)
                return f"matches({self.write(text)}, {self.write(pattern)})"
            case str(), (argument,) if function in CONVERSIONS:
                return self._conversion(function, argument)
            case _:
                raise _unsupported(function)

    def _presence(self, field: Node) -> str:
        name = dotted_name(field)
        if name == TIME:
            return "true"
        if name is None or name not in PRESENCE:
            return self.write(field)  # it is not available, and so is not known to be absent either
        self.presence.add(name)
        return PRESENCE[name]

    def _conversion(self, function: str, argument: Node) -> str:
        written = converted(function, self.write(argument))
        text = argument.value if isinstance(argument, Literal) else None
        if isinstance(text, str) and not self.invalid_literal and not is_valid(function, text):
            self.invalid_literal = f"{function}({quoted(text)}) is not valid"
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


def _chain(node: Node, operator: str) -> list[Node]:
    """Return the operands of ``a && b && c``."""
    if isinstance(node, Call) and node.function == operator:
        return [operand for argument in node.arguments for operand in _chain(argument, operator)]
    return [node]


def _unsupported(function: str) -> PolicyError:
    name = function if function[0].isalpha() else function.replace("_", "")
    return PolicyError(
        f"{quoted(name)} is not supported; conditions have && || ! ?: == != < <= > >= + - * / % in, "
        "startsWith, endsWith, contains, matches, size, has, extract, timestamp, date, duration and the "
        "functions of time (getHours, ...)"
    )
