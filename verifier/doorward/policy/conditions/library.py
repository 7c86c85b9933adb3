r"""The CEL library behind conditions: expressions to trees, and expressions to programs.

The library is ``cel-expr-python``, Google's own evaluator in C++ (the extra ``cel``). Only this module knows
it. Its quirks that matter here:

- It cuts a string that it is given at the first NUL: ``"/public\0/admin"`` would equal ``"/public"``. Whoever
  binds a string must not let one through that holds a NUL; see `doorward.policy.conditions.condition`.
- It keeps 128 bytes for each call back into Python, for good. So it is given nothing that it could call.
- It gives the tree of an expression only in its serialized form (``cel.expr.ParsedExpr``, syntax.proto of the
  CEL specification), which is read here.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from doorward.errors import PolicyError

__all__ = [
    "EXTRACTS",
    "UNAVAILABLE",
    "Call",
    "Field",
    "Items",
    "Literal",
    "Name",
    "Node",
    "extracted",
    "parse",
    "program",
]

UNAVAILABLE: Final = "unavailable"
"""The variable that is never bound: whatever asks for it is an error."""

EXTRACTS: Final = 16
"""How many different ``extract`` one condition may have."""

_LIBRARY: Final = "cel_expr_python.cel"
_SHOWN: Final = 200
_NOISE: Final = re.compile(r"^(?:[A-Z_]+: )?(?:ERROR: )?(?:<input>:)?(?:-?\d+:-?\d+: )?|\s*\[[A-Z_]+\]$")


def extracted(number: int) -> str:
    """Name the variable that holds what an ``extract`` gave.

    Args:
        number: Which one, from 0.

    Returns:
        The name.
    """
    return f"extracted{number}"


# Trees.


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, a whole number, true or false."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Name:
    """A name that stands alone."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of something."""

    operand: Node
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function or an operator; ``target`` is what stands before the dot, if anything does."""

    target: Node | None
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]


Node = Literal | Name | Field | Call | Items


# The library.


def _library() -> Any:  # noqa: ANN401 - the library is not typed, and may not be there
    try:
        return importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise PolicyError(
            "a policy with conditions needs the extra 'cel': pip install 'doorward[cel]'"
        ) from error


@functools.lru_cache(maxsize=1)
def _environment() -> Any:  # noqa: ANN401 - the library is not typed
    library = _library()
    text, time, anything = library.Type.STRING, library.Type.TIMESTAMP, library.Type.DYN
    variables = {"request.path": text, "request.host": text, "request.time": time, UNAVAILABLE: anything}
    return library.NewEnv(variables={**variables, **{extracted(number): text for number in range(EXTRACTS)}})


def _compile(expression: str, *, check: bool) -> Any:  # noqa: ANN401 - the library is not typed
    _library()
    try:
        return _environment().compile(expression, disable_check=not check)
    except (RuntimeError, TypeError, ValueError) as error:
        raise PolicyError(_plain(str(error), position=not check)) from None


def _plain(message: str, *, position: bool) -> str:
    """Give the first line of what the library says, without its frame."""
    first = message.partition("\n")[0].strip()
    where = re.search(r"<input>:(\d+:\d+):", first) if position else None
    text = _NOISE.sub("", first)[:_SHOWN]
    return f"{text} (line {where[1].replace(':', ', column ')})" if where is not None else text


def program(expression: str) -> Any:  # noqa: ANN401 - the library is not typed
    """Make a program of an expression over the known variables.

    Args:
        expression: The expression.

    Returns:
        The program. Its ``eval(data=…)`` gives a value whose ``value()`` is True or False; or an error, whose
        ``value()`` is a sentence. It may be used by several threads at once.

    Raises:
        PolicyError: If the types in it do not fit, or it is neither true nor false in the end.
    """
    compiled = _compile(expression, check=True)
    kind = compiled.return_type().name()
    if kind not in {"BOOL", "DYN"}:
        raise PolicyError(f"it must be true or false in the end, and is of type {kind}")
    return compiled


def parse(expression: str) -> Node:
    """Read an expression, without knowing what the names in it mean.

    Args:
        expression: The expression.

    Returns:
        Its tree.

    Raises:
        PolicyError: If it is not CEL, nests too deeply (the library's limit, 32), or has in it what no
            condition needs: a macro, a map, a message, a number with a fraction, bytes or null.
    """
    serialized = _compile(expression, check=False).serialize()
    try:
        message = _fields(_one(_fields(serialized), 2))  # google.protobuf.Any holds it
        return _node(_one(message, 2))
    except (IndexError, KeyError, TypeError) as error:
        raise PolicyError("this version of cel-expr-python gives trees that are not understood") from error


# The wire format (https://protobuf.dev/programming-guides/encoding/), as far as trees need it.

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_WORD: Final = 64


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says whether another byte follows
            return value, at
        shift += 7


def _parts(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = _varint(data, at) if kind == _BYTES else ({_FIXED64: 8}[kind], at)
        yield key >> 3, data[at : at + size]
        at += size


def _fields(data: int | bytes) -> dict[int, list[int | bytes]]:
    if isinstance(data, int):
        raise TypeError
    found: dict[int, list[int | bytes]] = {}
    for number, value in _parts(data):
        found.setdefault(number, []).append(value)
    return found


def _one(message: dict[int, list[int | bytes]], number: int) -> int | bytes:
    return message[number][0]


def _text(message: dict[int, list[int | bytes]], number: int) -> str:
    value = message.get(number, [b""])[0]
    if isinstance(value, int):
        raise TypeError
    return value.decode()


# Expr of syntax.proto: which field says what kind it is.
_CONSTANT, _IDENTIFIER, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)
_KINDS: Final = {
    _STRUCT: "a map or a message",
    _COMPREHENSION: "a macro (all, exists, exists_one, filter, map)",
}
_BOOL, _INT64, _STRING = 2, 3, 6


def _node(data: int | bytes) -> Node:
    message = _fields(data)
    kind = next((number for number in message if number >= _CONSTANT), 0)
    if kind == _CONSTANT:
        return _constant(_fields(_one(message, kind)))
    if kind in _KINDS:
        raise PolicyError(f"conditions cannot have {_KINDS[kind]}")
    inner = _fields(_one(message, kind))
    if kind == _IDENTIFIER:
        return Name(_text(inner, 1).lstrip("."))
    if kind == _SELECT:
        if 3 in inner:  # noqa: PLR2004 - test_only
            raise PolicyError("conditions cannot have a macro (has)")
        return Field(_node(_one(inner, 1)), _text(inner, 2))
    if kind == _CALL:
        target = _node(_one(inner, 1)) if 1 in inner else None
        return Call(target, _text(inner, 2), tuple(map(_node, inner.get(3, ()))))
    return Items(tuple(map(_node, inner.get(1, ()))))


def _constant(message: dict[int, list[int | bytes]]) -> Literal:
    kind = next(iter(message))
    if kind == _STRING:
        return Literal(_text(message, kind))
    value = _one(message, kind)
    if kind == _BOOL:
        return Literal(bool(value))
    if kind == _INT64 and isinstance(value, int):
        return Literal(value - (1 << _WORD) if value >> (_WORD - 1) else value)
    raise PolicyError("the only literals that conditions can have are strings, whole numbers, true and false")
