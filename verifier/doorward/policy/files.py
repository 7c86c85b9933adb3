"""Policy files, in JSON or (with the extra ``yaml``) in YAML, read strictly.

A file that two readers could understand in two ways is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from doorward.errors import ConfigurationError, PolicyError
from doorward.regular_file import read_regular_file
from doorward.strictjson import StrictJSONError, read_object

if TYPE_CHECKING:
    import yaml

__all__ = ["read_file", "read_json", "read_yaml"]

_LARGEST: Final = 1024 * 1024  # bytes
_MAX_VALUES: Final = 100_000
_MAX_DEPTH: Final = 64
_TAG: Final = "tag:yaml.org,2002:"


def read_file(path: str | os.PathLike[str]) -> Mapping[str, object]:
    """Read a file that holds one object, as JSON or as YAML.

    Args:
        path: The file. ``.json`` means JSON, ``.yaml`` and ``.yml`` mean YAML; in a file with another
            suffix an opening brace means JSON, and anything else YAML.

    Returns:
        The object.

    Raises:
        PolicyError: If the file holds anything else.
        ConfigurationError: If it cannot be read, is not a regular file, or is larger than 1 MiB.
    """
    try:
        text = read_regular_file(path, _LARGEST)
    except OSError as error:
        raise ConfigurationError(
            f"the policy file {os.fspath(path)!r} cannot be read: {error.strerror}"
        ) from error
    suffix = os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122 - pathlib is slow to import
    if suffix in (".yaml", ".yml") or (suffix != ".json" and not text.lstrip().startswith(b"{")):
        return read_yaml(text)
    return read_json(text)


def read_json(text: str | bytes) -> Mapping[str, object]:
    """Read one JSON object.

    Args:
        text: The text; bytes are UTF-8.

    Returns:
        The object.

    Raises:
        PolicyError: If the text is anything else, or larger than 1 MiB.
    """
    try:
        raw = text.encode() if isinstance(text, str) else text
        _check_size(raw)
        return read_object(raw)
    except (StrictJSONError, UnicodeEncodeError) as error:
        raise PolicyError(f"not a policy in JSON: {error}; print it with --format=json") from None


def read_yaml(text: str | bytes) -> Mapping[str, object]:
    """Read one YAML mapping. It may hold plain values only, and no member twice.

    Args:
        text: The text; bytes are UTF-8.

    Returns:
        The mapping.

    Raises:
        PolicyError: If the text is anything else, larger than 1 MiB, or holds more than 100,000 values once
            its aliases are expanded; or if the extra ``yaml`` is not installed.
    """
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        raise PolicyError(
            "a policy in YAML needs PyYAML: pip install 'doorward[yaml]', or print it with --format=json"
        ) from None
    try:
        raw = text.encode() if isinstance(text, str) else text
        _check_size(raw)
        loader = (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)(raw.decode("utf-8"))
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        found = _PlainValues().value(node, 0) if node is not None else None
    except RecursionError:
        raise PolicyError("not a policy in YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, PolicyError):
            raise
        raise PolicyError(f"not a policy in YAML: {_problem(error)}") from None
    if not isinstance(found, dict):
        raise PolicyError("not a policy in YAML: it is not a mapping")
    return found


def _check_size(raw: bytes) -> None:
    if len(raw) > _LARGEST:
        raise PolicyError(f"a policy file is at most {_LARGEST} bytes")


def _problem(error: Exception) -> str:
    """Return what is wrong, and in which line, without a part of the text."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not UTF-8 YAML text"
    return problem if mark is None else f"{problem}, line {mark.line + 1}"


class _PlainValues:
    """Makes plain values of a graph of nodes. It expands aliases, up to a number of values in all."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def value(self, node: yaml.Node, depth: int) -> object:
        import yaml  # noqa: PLC0415 - loaded already

        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise PolicyError(
                "not a policy in YAML: nested too deeply, or too large once its aliases are expanded"
            )
        if not isinstance(node, yaml.ScalarNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            raise PolicyError(f"not a policy in YAML: a value is tagged {node.tag!r}")
        if isinstance(node, yaml.MappingNode):
            return self._members(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return _scalar(node.tag.removeprefix(_TAG), node.value)

    def _members(self, node: yaml.MappingNode, depth: int) -> dict[str, object]:
        members: dict[str, object] = {}
        for name_node, value_node in node.value:
            name = self.value(name_node, depth + 1)
            if not isinstance(name, str):
                raise PolicyError(f"not a policy in YAML: {name!r} is not the name of a member")
            if name in members:
                raise PolicyError(f"not a policy in YAML: the member {name!r} occurs twice")
            members[name] = self.value(value_node, depth + 1)
        return members


def _scalar(tag: str, text: str) -> object:
    match tag:
        case "str" | "timestamp":  # to IAM a text that looks like a date is a text
            return text
        case "null":
            return None
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "int" if text.lstrip("-").isascii() and text.lstrip("-").isdigit():
            return int(text)
        case "float" | "int":
            return text
        case _:
            raise PolicyError(f"not a policy in YAML: a value is tagged {tag!r}")
