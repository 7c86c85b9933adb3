"""Policies in YAML, as gcloud prints them by default: plain values only, each with one reading.

A policy is made of the events of the parser, one after the other, and not of a tree of nodes: to build that
tree, PyYAML's parser in C calls itself for each level of nesting, which ends the process where there are too
many, and looks at every open level for each token, which takes time in the square of the levels. Here the
first level that is too deep ends the reading. So no level below it is ever parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from doorward.errors import PolicyError
from doorward.extras import needs_extra
from doorward.policy.files.encoding import decode_text
from doorward.shown import quoted, shortened

if TYPE_CHECKING:
    import yaml

__all__ = ["read_yaml"]

_MAX_VALUES: Final = 100_000
_MAX_DEPTH: Final = 64
_MAX_DIGITS: Final = 18
_TAG: Final = "tag:yaml.org,2002:"
_UNSPECIFIC: Final = (None, "!")
# A parser compares each directive with all before it, and a policy needs none. These are the line breaks of
# YAML 1.1 (section 4.2).
_DIRECTIVE: Final = re.compile("(?:^|[\r\n\x85\u2028\u2029])%")


def read_yaml(text: str | bytes) -> dict[str, object] | list[object]:
    """Read one YAML mapping or sequence. It may hold plain values only, and no member twice.

    Args:
        text: The text; see `decode_text`.

    Returns:
        The mapping or the sequence.

    Raises:
        PolicyError: If the text is anything else, larger than 1 MiB, nested more than 64 levels deep, or
            holds more than 100,000 values once its aliases are expanded; or if the extra ``yaml`` is not
            installed.
    """
    try:
        with needs_extra("yaml", ", or print it with --format=json"):
            import yaml  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise PolicyError(str(error)) from None
    plain = decode_text(text)
    if _DIRECTIVE.search(plain):
        raise _refused("it has a directive, a line that begins with %")
    try:
        loader = (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)(plain)
        try:
            found = _Document(loader).read()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _refused(_problem(error)) from None
    if not isinstance(found, dict | list):
        raise _refused("it is neither a mapping nor a list")
    return found


def _refused(why: str) -> PolicyError:
    return PolicyError(f"not a policy in YAML: {why}")


def _problem(error: Exception) -> str:
    """Return what is wrong, and in which line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    # The parser names what it did not expect, which may be as long as the file.
    return shortened(str(problem)) if mark is None else f"{shortened(str(problem))}, line {mark.line + 1}"


class _Value(NamedTuple):
    """A value that has been read, with the levels of nesting in it and the number of values in it."""

    value: object
    height: int
    size: int


class _Collection:
    """A mapping or a sequence whose end has not been read yet."""

    __slots__ = ("_members", "_name", "anchor", "before", "height")

    def __init__(self, anchor: str | None, before: int, *, mapping: bool) -> None:
        self.anchor = anchor
        self.before = before
        self.height = 0
        self._members: dict[str, object] | list[object] = {} if mapping else []
        self._name: str | None = None

    def add(self, found: _Value) -> None:
        self.height = max(self.height, found.height)
        if isinstance(self._members, list):
            self._members.append(found.value)
        elif self._name is not None:
            self._members[self._name] = found.value
            self._name = None
        elif not isinstance(found.value, str):
            raise _refused(f"{quoted(found.value)} is not the name of a member")
        elif found.value in self._members:
            raise _refused(f"the member {quoted(found.value)} occurs twice")
        else:
            self._name = found.value

    def close(self, count: int) -> _Value:
        return _Value(self._members, self.height + 1, count - self.before)


class _Document:
    """Makes plain values of the events of one document."""

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 - the two loaders have no common type
        import yaml  # noqa: PLC0415 - loaded already

        self._yaml = yaml
        self._loader = loader
        self._count = 0
        # None as long as the value has not been read whole.
        self._anchors: dict[str, _Value | None] = {}

    def read(self) -> object:
        yaml, next_event = self._yaml, self._loader.get_event
        next_event()  # the start of the stream
        if isinstance(next_event(), yaml.StreamEndEvent):
            return None
        found = self._value()
        next_event()  # the end of the document
        if not isinstance(next_event(), yaml.StreamEndEvent):
            raise _refused("it holds more than one document")
        return found

    def _value(self) -> object:
        yaml = self._yaml
        opened: list[_Collection] = []
        while True:
            event = self._loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append(self._open(event))
                self._check_depth(len(opened))
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                collection = opened.pop()
                found, anchor = collection.close(self._count), collection.anchor
            elif isinstance(event, yaml.AliasEvent):
                found, anchor = self._named(event.anchor), None
                self._check_depth(len(opened) + found.height)
            else:
                found, anchor = self._scalar(event), event.anchor
            if anchor is not None:
                self._anchors[anchor] = found
            if not opened:
                return found.value
            opened[-1].add(found)

    def _open(self, event: yaml.CollectionStartEvent) -> _Collection:
        mapping = isinstance(event, self._yaml.MappingStartEvent)
        if event.tag not in (*_UNSPECIFIC, f"{_TAG}map" if mapping else f"{_TAG}seq"):
            raise _refused(f"a value is tagged {quoted(event.tag)}")
        self._reserve(event.anchor)
        self._add_to_count(1)
        return _Collection(event.anchor, self._count - 1, mapping=mapping)

    def _scalar(self, event: yaml.ScalarEvent) -> _Value:
        self._reserve(event.anchor)
        self._add_to_count(1)
        tag = event.tag
        if tag in _UNSPECIFIC:
            tag = self._loader.resolve(self._yaml.ScalarNode, event.value, event.implicit)
        return _Value(_scalar(tag, event.value), 0, 1)

    def _named(self, anchor: str | None) -> _Value:
        found = None if anchor is None else self._anchors.get(anchor)
        if found is None:
            raise _refused(f"the alias {quoted(anchor)} names nothing that comes before it")
        self._add_to_count(found.size)
        return found

    def _reserve(self, anchor: str | None) -> None:
        if anchor is None:
            return
        if anchor in self._anchors:
            raise _refused(f"the anchor {quoted(anchor)} occurs twice")
        self._anchors[anchor] = None

    def _add_to_count(self, size: int) -> None:
        self._count += size
        if self._count > _MAX_VALUES:
            raise _refused(f"it holds more than {_MAX_VALUES} values once its aliases are expanded")

    @staticmethod
    def _check_depth(depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise _refused("nested too deeply")


def _scalar(tag: str, text: str) -> object:
    digits = text.removeprefix("-")
    match tag.removeprefix(_TAG):
        case "str" | "timestamp":  # to IAM a text that looks like a date is a text
            return text
        case "null":
            return None
        case "bool" if text.lower() in ("yes", "true", "on", "no", "false", "off"):
            return text.lower() in ("yes", "true", "on")
        case "int" if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS:
            return int(text)
        case "float" | "int":
            return text
        case _:
            raise _refused(f"a value is tagged {quoted(tag)}")
