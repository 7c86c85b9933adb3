"""The directories of the metadata server, and the forms in which a value or a directory is answered.

The forms are those of https://cloud.google.com/compute/docs/metadata/querying-metadata: a directory is
listed, with a slash behind the names of directories, or answered whole with ``recursive=true``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

__all__ = ["MINTED", "Leaf", "Node", "as_json", "as_text", "etag_of", "is_directory", "listed", "walk"]

Leaf = str | int | tuple[str, ...]
"""A value: a text, a number or several texts."""

Node = Leaf | Mapping[str, "Node"] | list["Node"] | None
"""A value, a directory, a directory whose names are numbers, or `MINTED`."""

MINTED: Final = None
"""The place of a token: it is listed, and no part of what is answered whole."""

_ETAG_LENGTH: Final = 16


def _children(node: Mapping[str, Node] | list[Node]) -> Mapping[str, Node]:
    return node if isinstance(node, Mapping) else {str(at): one for at, one in enumerate(node)}


def is_directory(node: Node) -> bool:
    """Return whether a node has others in it.

    Args:
        node: Any node.
    """
    return isinstance(node, Mapping | list)


def walk(node: Node, names: Sequence[str]) -> Node:
    """Follow a path.

    Args:
        node: Where it begins.
        names: The names in the path, one after the other.

    Returns:
        The node that it leads to.

    Raises:
        KeyError: If it leads nowhere.
    """
    for name in names:
        if not isinstance(node, Mapping | list):
            raise KeyError(name)
        node = _children(node)[name]
    return node


def listed(node: Node) -> tuple[str, ...]:
    """Return the names in a directory, each directory's with a slash.

    Args:
        node: A directory.
    """
    assert isinstance(node, Mapping | list)  # noqa: S101 - the caller has looked
    return tuple(f"{name}/" if is_directory(one) else name for name, one in _children(node).items())


def as_json(node: Node) -> object:
    """Return a node whole, as JSON has it: ``project-id`` becomes ``projectId``, and no token is in it.

    Args:
        node: Any node.
    """
    if isinstance(node, Mapping):
        return {_camel(name): as_json(one) for name, one in node.items() if one is not MINTED}
    if isinstance(node, list | tuple):
        return [as_json(one) for one in node]
    return node


def as_text(node: Node) -> str:
    """Return a node as text: a directory as one line for each value, the path first.

    Args:
        node: Any node.
    """
    if not isinstance(node, Mapping | list):
        return "".join(f"{line}\n" for line in node) if isinstance(node, tuple) else str(node)
    return "".join(f"{path} {line}\n" for path, line in _lines(node, ""))


def etag_of(value: object) -> str:
    """Return the entity tag of what is answered: it changes when that does.

    Args:
        value: A JSON value.

    Returns:
        16 hexadecimal digits, in the form in which the real server gives them: without quotes.
    """
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:_ETAG_LENGTH]


def _lines(node: Mapping[str, Node] | list[Node], path: str) -> Iterator[tuple[str, str]]:
    for name, one in _children(node).items():
        where = f"{path}{name}"
        if isinstance(one, Mapping | list):
            yield from _lines(one, f"{where}/")
        elif one is not MINTED:
            yield from ((where, line) for line in (one if isinstance(one, tuple) else (str(one),)))


def _camel(name: str) -> str:
    # An account's address, and no other name, has an @.
    return name if "@" in name else re.sub("-(.)", lambda found: found[1].upper(), name)
