"""The syntax trees of CEL expressions, and how they are read from their serialized form.

An expression is serialized as ``cel.expr.ParsedExpr`` (``syntax.proto`` of the CEL specification,
https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto). Only what conditions may hold
is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from doorward.errors import PolicyError

__all__ = ["HAS", "Call", "Field", "Items", "Literal", "Name", "Node", "dotted_name", "read_tree"]


HAS: Final = "has"
"""The function of the call that stands for the macro ``has``; its argument is a `Field`."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, a whole number, true or false."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Name:
    """A name without an operand, as ``request``."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an operand, as ``.path``."""

    operand: Node
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function or an operator.

    Attributes:
        target: The operand before the dot; None if there is none.
        function: The name of the function; operators have names such as ``_==_``.
        arguments: The arguments, in order.
    """

    target: Node | None
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]


Node = Literal | Name | Field | Call | Items
"""Any node of a tree."""


def dotted_name(node: Node | None) -> str | None:
    """Return the name that a node writes, such as ``request.path``.

    Args:
        node: The node.

    Returns:
        The name; None if the node is anything but names and dots.
    """
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Field) and (operand := dotted_name(node.operand)) is not None:
        return f"{operand}.{node.name}"
    return None


def read_tree(serialized: bytes) -> Node:
    """Read the tree of a serialized expression.

    Args:
        serialized: A ``google.protobuf.Any`` that holds a ``cel.expr.ParsedExpr``.

    Returns:
        The tree.

    Raises:
        PolicyError: If it is not such a message, or has a part that conditions may not have: a macro, a
            map, a message, a number with a fraction, bytes or null.
    """
    try:
        parsed = _message(_first(_message(serialized), 2))
        return _node(_first(parsed, 2))
    except (IndexError, KeyError, TypeError) as error:
        raise PolicyError(
            "this version of cel-expr-python returns trees that are not understood: install the version that "
            "the extra 'cel' asks for"
        ) from error


# The wire format (https://protobuf.dev/programming-guides/encoding/), as far as trees need it.

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_WORD_BITS: Final = 64

_Message = dict[int, list[int | bytes]]


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
    """Yield the fields of a message: their numbers and values."""
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


def _message(data: int | bytes) -> _Message:
    if isinstance(data, int):
        raise TypeError
    found: _Message = {}
    for number, value in _parts(data):
        found.setdefault(number, []).append(value)
    return found


def _first(message: _Message, number: int) -> int | bytes:
    return message[number][0]


def _text(message: _Message, number: int) -> str:
    value = message.get(number, [b""])[0]
    if isinstance(value, int):
        raise TypeError
    return value.decode()


# cel.expr.Expr: the number of the field that is present is the kind of the node.
_CONSTANT, _IDENTIFIER, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)
_UNSUPPORTED: Final = {
    _STRUCT: "a map or a message",
    _COMPREHENSION: "a macro (all, exists, exists_one, filter, map)",
}
_TEST_ONLY: Final = 3  # of Expr.Select: the macro has()
_BOOL, _INT64, _STRING = 2, 3, 6  # of Constant


def _node(data: int | bytes) -> Node:
    message = _message(data)
    kind = next((number for number in message if number >= _CONSTANT), 0)
    if kind == _CONSTANT:
        return _literal(_message(_first(message, kind)))
    if kind in _UNSUPPORTED:
        raise PolicyError(f"conditions cannot have {_UNSUPPORTED[kind]}")
    inner = _message(_first(message, kind))
    if kind == _IDENTIFIER:
        return Name(_text(inner, 1).lstrip("."))
    if kind == _SELECT:
        field = Field(_node(_first(inner, 1)), _text(inner, 2))
        return Call(None, HAS, (field,)) if _TEST_ONLY in inner else field
    if kind == _CALL:
        target = _node(_first(inner, 1)) if 1 in inner else None
        return Call(target, _text(inner, 2), tuple(map(_node, inner.get(3, ()))))
    return Items(tuple(map(_node, inner.get(1, ()))))


def _literal(message: _Message) -> Literal:
    kind = next(iter(message))
    if kind == _STRING:
        return Literal(_text(message, kind))
    value = _first(message, kind)
    if kind == _BOOL:
        return Literal(bool(value))
    if kind == _INT64 and isinstance(value, int):
        return Literal(value - (1 << _WORD_BITS) if value >> (_WORD_BITS - 1) else value)
    raise PolicyError("the only literals that conditions can have are strings, whole numbers, true and false")
