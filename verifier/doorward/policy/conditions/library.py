r"""The CEL library that evaluates conditions: expressions to trees, and expressions to programs.

The library is ``cel-expr-python``, Google's own evaluator in C++ (the extra ``cel``). Only this module
imports it. It behaves in three ways that the rest of this package depends on:

- It cuts a string that it is given at the first NUL: ``"/public\0/admin"`` would equal ``"/public"``. So no
  string with a NUL may be bound; see `doorward.policy.conditions.condition`.
- It keeps 128 bytes for each call back into Python and never frees them. So it is given nothing that it could
  call.
- It returns the tree of an expression only in its serialized form; see `doorward.policy.conditions.syntax`.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from doorward.errors import PolicyError
from doorward.extras import needs_extra
from doorward.policy.conditions.syntax import Node, read_tree
from doorward.shown import shortened

__all__ = [
    "EXTRACTS",
    "HOST",
    "PATH",
    "PRESENCE",
    "TIME",
    "UNAVAILABLE",
    "check_library",
    "extract_variable",
    "parse",
    "program",
]

PATH: Final = "request.path"
HOST: Final = "request.host"
TIME: Final = "request.time"

UNAVAILABLE: Final = "unavailable"
"""The variable that is never bound: an expression that reads it fails."""

PRESENCE: Final[Mapping[str, str]] = MappingProxyType({PATH: "has_path", HOST: "has_host"})
"""The variables that say whether a request has an attribute, by the attribute."""

EXTRACTS: Final = 16
"""The largest number of different ``extract`` calls in one condition."""

_LIBRARY: Final = "cel_expr_python.cel"
_NOISE: Final = re.compile(r"^(?:[A-Z_]+: )?(?:ERROR: )?(?:<input>:)?(?:-?\d+:-?\d+: )?|\s*\[[A-Z_]+\]$")


def extract_variable(number: int) -> str:
    """Return the name of the variable that holds the result of an ``extract``.

    Args:
        number: The number of the ``extract`` in its condition, from 0.
    """
    return f"extracted{number}"


def program(expression: str) -> Any:  # noqa: ANN401 - the library is not typed
    """Compile an expression over the known variables.

    Args:
        expression: The expression.

    Returns:
        The program. Its ``eval(data=…)`` returns a value whose ``value()`` is True or False; or an error,
        whose ``value()`` is a sentence. Several threads may use it at once.

    Raises:
        PolicyError: If the types in the expression do not fit, or if its result is not a truth value.
    """
    compiled = _compile(expression, check=True)
    kind = compiled.return_type().name()
    if kind not in {"BOOL", "DYN"}:
        raise PolicyError(f"it must be true or false in the end, and is of type {kind}")
    return compiled


def parse(expression: str) -> Node:
    """Parse an expression, whatever the names in it mean.

    Args:
        expression: The expression.

    Returns:
        Its tree.

    Raises:
        PolicyError: If it is not CEL, nests too deeply (the library's limit, 32), or has a part that
            conditions may not have: a macro, a map, a message, a number with a fraction, bytes or null.
    """
    return read_tree(_compile(expression, check=False).serialize())


def check_library() -> None:
    """Check that the library is installed.

    Raises:
        PolicyError: If it is not.
    """
    _library()


def _library() -> Any:  # noqa: ANN401 - the library is not typed, and may not be installed
    try:
        with needs_extra("cel"):
            return importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise PolicyError(str(error)) from error


@functools.lru_cache(maxsize=1)
def _environment() -> Any:  # noqa: ANN401 - the library is not typed
    library = _library()
    text, time, anything = library.Type.STRING, library.Type.TIMESTAMP, library.Type.DYN
    variables = {PATH: text, HOST: text, TIME: time, UNAVAILABLE: anything}
    extracts = {extract_variable(number): text for number in range(EXTRACTS)}
    presence = dict.fromkeys(PRESENCE.values(), library.Type.BOOL)
    return library.NewEnv(variables={**variables, **extracts, **presence})


def _compile(expression: str, *, check: bool) -> Any:  # noqa: ANN401 - the library is not typed
    _library()
    try:
        return _environment().compile(expression, disable_check=not check)
    except (RuntimeError, TypeError, ValueError) as error:
        raise PolicyError(_plain(str(error), position=not check)) from None


def _plain(message: str, *, position: bool) -> str:
    """Return the first line of an error message of the library, without its codes."""
    first = message.partition("\n")[0].strip()
    # Where it has no position, the library writes -1 as a number without a sign.
    where = re.search(r"<input>:(\d{1,6}:\d+):", first) if position else None
    text = shortened(_NOISE.sub("", first))
    return f"{text} (line {where[1].replace(':', ', column ')})" if where is not None else text
