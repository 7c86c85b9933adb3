"""Policy files, in JSON or (with the extra ``yaml``) in YAML, read strictly.

A file that two readers could understand in two ways is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Final

from doorward.errors import ConfigurationError, PolicyError
from doorward.policy.files.encoding import LARGEST, decode_text
from doorward.policy.files.yaml_reader import read_yaml
from doorward.regular_file import read_regular_file
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["Parsed", "read_file", "read_json"]

Parsed = Mapping[str, object] | Sequence[object]
"""What a policy file holds: one object, or a list."""

_LISTED: Final = "listed"
_NOT_JSON: Final = "not UTF-8 JSON text"
# What the strict reader says of a text without saying where; the second also of an array with text behind it.
_VAGUE: Final = frozenset({_NOT_JSON, "a member name occurs twice", "not a JSON object"})


def read_file(path: str | os.PathLike[str]) -> Parsed:
    """Read a file that holds one object or a list, as JSON or as YAML.

    Args:
        path: The file. ``.json`` means JSON, ``.yaml`` and ``.yml`` mean YAML; in a file with another
            suffix an opening brace or bracket means JSON, and anything else YAML.

    Returns:
        The object or the list.

    Raises:
        PolicyError: If the file holds anything else.
        ConfigurationError: If it cannot be read, is not a regular file, or is larger than 1 MiB.
    """
    try:
        text = read_regular_file(path, LARGEST)
    except OSError as error:
        raise ConfigurationError(
            f"the policy file {os.fspath(path)!r} cannot be read: {error.strerror}"
        ) from error
    suffix = os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122 - pathlib is slow to import
    plain = decode_text(text)
    if suffix in (".yaml", ".yml") or (suffix != ".json" and not _looks_like_json(plain)):
        return read_yaml(plain)
    return read_json(plain)


def read_json(text: str | bytes) -> Parsed:
    """Read one JSON object or array.

    Args:
        text: The text; see `decode_text`.

    Returns:
        The object or the array.

    Raises:
        PolicyError: If the text is anything else, or larger than 1 MiB.
    """
    plain = decode_text(text)
    try:
        if plain.lstrip().startswith("["):
            # Only objects are read strictly: an array is read as the one member of one.
            members = read_object(f'{{"{_LISTED}":{plain}}}'.encode())
            listed = members.get(_LISTED)
            if len(members) == 1 and isinstance(listed, tuple):
                return listed
            raise StrictJSONError(_NOT_JSON)  # noqa: TRY301 - as for every other text
        return read_object(plain.encode())
    except StrictJSONError as error:
        raise PolicyError(f"not a policy in JSON: {_problem(plain, error)}") from None


def _looks_like_json(plain: str) -> bool:
    return plain.lstrip().startswith(("{", "["))


def _problem(plain: str, error: StrictJSONError) -> str:
    """Return what is wrong, and where if that is known, without a part of the text."""
    why = str(error)
    if why not in _VAGUE:
        return why
    try:
        # It is refused in any case; the strict reader has bounded its depth and the length of its numbers.
        json.loads(plain)
    except json.JSONDecodeError as found:
        where = f"line {found.lineno}, column {found.colno}"
        hint = (
            "" if _looks_like_json(plain) else "; a policy in YAML is read from a .yaml file, or by from_yaml"
        )
        return f"{found.msg}, {where}{hint}"
    except (ValueError, RecursionError):
        return why
    return why if _looks_like_json(plain) else "it is not one object or array"
