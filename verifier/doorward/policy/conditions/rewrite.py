"""From what a condition says to what can be evaluated: attributes, functions and operators, each by name.

What IAM offers in conditions is in its attribute reference
(https://cloud.google.com/iam/docs/conditions-attribute-reference). A tree is written out again with these
changes, and nothing in it is left to guess:

- An attribute that Cloud Run does not offer, and all that is done to one, becomes a variable that is never
  bound. In CEL asking for it is an error, and errors are what the third truth value is in Kleene's logic: an
  error remains one under ``!``, ``error || true`` is true, ``error && false`` is false. So such a part never
  grants, and neither does its opposite, while the other parts may.
- ``date("2023-02-01")``, which only IAM has, becomes a timestamp.
- ``ATTRIBUTE.extract("TEMPLATE")``, which only IAM has, becomes a variable that is worked out beforehand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.policy.conditions.library import (
    EXTRACTS,
    UNAVAILABLE,
    Call,
    Field,
    Items,
    Literal,
    Name,
    Node,
    extracted,
    program,
)

__all__ = ["HOST", "PATH", "TIME", "Extract", "Rewrite", "Template"]

PATH: Final = "request.path"
HOST: Final = "request.host"
TIME: Final = "request.time"
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
_TEXT: Final = frozenset({"startsWith", "endsWith", "extract"})
_GETTERS: Final = frozenset(
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
_LITERALS: Final = {
    "timestamp": re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
    ),
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "duration": re.compile(r"[-+0-9.a-z]+", re.ASCII),
}
_OFFSET: Final = re.compile(r"[+-]?(?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z][\w+-]*(?:/[\w+-]+)*", re.ASCII)
_LOCAL: Final = frozenset({"localtime", "posixrules"})
_TEMPLATE: Final = re.compile(r"([^{}]*)\{\w+\}([^{}]*)", re.ASCII | re.DOTALL)
_ESCAPED: Final = re.compile(r'[^ -~]|["\\]')


@dataclass(frozen=True, slots=True)
class Template:
    """What `extract` takes out of a text.

    Attributes:
        prefix: What stands before it; empty for the start of the text.
        suffix: What stands after it; empty for the end of the text.
    """

    prefix: str
    suffix: str

    @classmethod
    def read(cls, text: str) -> Template:
        """Read a template.

        Args:
            text: As conditions spell it: ``prefix{identifier}suffix``.

        Returns:
            The template.

        Raises:
            PolicyError: If it is none.
        """
        if (found := _TEMPLATE.fullmatch(text)) is None:
            raise PolicyError(
                f"extract: the template {text!r} must hold one name in braces, as in '/items/{{item}}/'"
            )
        return cls(found[1], found[2])

    def __call__(self, text: str) -> str:
        """Take it out.

        Args:
            text: The text.

        Returns:
            What is between the first prefix and the first suffix after it; empty if either is missing.
        """
        _, prefix, rest = text.partition(self.prefix) if self.prefix else ("", "", text)
        if prefix != self.prefix:
            return ""
        if not self.suffix:
            return rest
        inside, suffix, _ = rest.partition(self.suffix)
        return inside if suffix else ""


@dataclass(frozen=True, slots=True)
class Extract:
    """One ``extract`` of a condition.

    Attributes:
        attribute: What it reads, `PATH` or `HOST`.
        template: What it takes out.
    """

    attribute: str
    template: Template


@dataclass(slots=True)
class Rewrite:
    """A condition, written out again; see the module.

    Attributes:
        attributes: The attributes that it asks for.
        unavailable: What it asks for that Cloud Run does not offer, in order.
        extracts: What is to be extracted beforehand, in the order of `doorward.policy.conditions.library.extracted`.
        invalid: Why it never holds, whatever else it says; empty if nothing is wrong.
    """

    attributes: set[str] = field(default_factory=set)
    unavailable: list[str] = field(default_factory=list)
    extracts: list[Extract] = field(default_factory=list)
    invalid: str = ""

    def write(self, node: Node) -> str:
        """Write a tree, and note what it asks for.

        Args:
            node: The tree.

        Returns:
            The text.

        Raises:
            PolicyError: If it has a function or an operator that conditions do not have.
        """
        if (missing := _unavailable(node)) is not None:
            if missing not in self.unavailable:
                self.unavailable.append(missing)
            return UNAVAILABLE
        if (name := _dotted(node)) is not None:
            self.attributes.add(name)
            return name
        if isinstance(node, Literal):
            return _written(node.value)
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
        if function in _TEXT or function in _GETTERS:
            if function in _GETTERS:
                _check_zone(function, arguments)
            return f"{self.write(target)}.{function}({', '.join(map(self.write, arguments))})"
        raise _unsupported(function)

    def _conversion(self, function: str, arguments: tuple[Node, ...]) -> str:
        if function not in _LITERALS or len(arguments) != 1:
            raise _unsupported(function)
        (argument,) = arguments
        text = self.write(argument)
        written = (
            f"timestamp({text} + {_written(_MIDNIGHT)})" if function == "date" else f"{function}({text})"
        )
        if isinstance(argument, Literal) and isinstance(argument.value, str):
            valid = _LITERALS[function].fullmatch(argument.value) and _evaluate(f"{written} == {written}")
            if not valid and not self.invalid:
                self.invalid = f"{function}({argument.value!r}) is not valid, so that it never holds"
        return written

    def _extract(self, target: Node, arguments: tuple[Node, ...]) -> str:
        attribute = _dotted(target)
        if attribute not in {PATH, HOST}:
            raise PolicyError(f"extract: it reads {PATH} or {HOST} and nothing else")
        if len(arguments) != 1 or not isinstance(template := getattr(arguments[0], "value", None), str):
            raise PolicyError("extract: the template must be one literal string")
        self.attributes.add(attribute)
        extract = Extract(attribute, Template.read(template))
        if extract not in self.extracts:
            self.extracts.append(extract)
        if len(self.extracts) > EXTRACTS:
            raise PolicyError(f"extract: more than {EXTRACTS} different ones")
        return extracted(self.extracts.index(extract))


def _dotted(node: Node | None) -> str | None:
    """Give the name of an attribute; None for what is none."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Field) and (operand := _dotted(node.operand)) is not None:
        return f"{operand}.{node.name}"
    return None


def _unavailable(node: Node) -> str | None:
    """Give what Cloud Run does not offer, if a value comes out of nothing but that; None if it does not."""
    if (name := _dotted(node)) is not None:
        return None if name in _ATTRIBUTES else name
    if isinstance(node, Field):
        return _unavailable(node.operand)
    if isinstance(node, Call) and node.target is not None:
        found = _unavailable(node.target)
        own = found is not None and found == _dotted(node.target) and node.function not in _TEXT
        return f"{found}.{node.function}()" if own else found
    if isinstance(node, Call) and node.function == "_[_]":
        return _unavailable(node.arguments[0])
    return None


def _chain(node: Node, operator: str) -> list[Node]:
    """Give the parts of ``a && b && c``."""
    if isinstance(node, Call) and node.function == operator:
        return [part for argument in node.arguments for part in _chain(argument, operator)]
    return [node]


def _written(value: str | int | bool) -> str:  # noqa: FBT001 - literals are of these types
    if isinstance(value, str):
        return '"' + _ESCAPED.sub(lambda found: f"\\U{ord(found[0]):08x}", value) + '"'
    return str(value).lower()


def _check_zone(function: str, arguments: tuple[Node, ...]) -> None:
    if not arguments:
        return
    zone: Any = getattr(arguments[0], "value", None)
    if len(arguments) != 1 or not isinstance(zone, str):
        raise PolicyError(f"{function}: the time zone must be one literal string")
    named = _ZONE.fullmatch(zone) and zone.lower() not in _LOCAL
    if _OFFSET.fullmatch(zone) or (
        named
        and _evaluate(f"timestamp({_written('1970-01-01' + _MIDNIGHT)}).getHours({_written(zone)}) >= 0")
    ):
        return
    raise PolicyError(
        f"{function}: the time zone {zone!r} is not known here; spell it like 'Europe/Berlin' or '+01:00', "
        "and see that the system has its time zone database (on Debian: the package tzdata)"
    )


def _evaluate(expression: str) -> bool:
    """Tell whether an expression without variables is true."""
    return program(expression).eval(data={}).value() is True


def _unsupported(function: str) -> PolicyError:
    name = function if function[0].isalpha() else function.replace("_", "")
    return PolicyError(
        f"{name!r} is not supported; conditions have && || ! == != < <= > >= + - in, startsWith, endsWith, "
        "extract, timestamp, date, duration and the functions of time (getHours, ...)"
    )
