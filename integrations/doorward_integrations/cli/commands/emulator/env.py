"""``doorward emulator env``: prints the variables that lead clients and services to the running emulator."""

from __future__ import annotations

import json
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Final, TextIO

from doorward_integrations.cli.running import add_running_arguments, running_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "print the variables that lead to the emulator that is running"


def _quoted(value: str) -> str:
    # What every reader of such files takes as it stands needs no quotes; the others differ in what they undo.
    return value if shlex.quote(value) == value else json.dumps(value)


_FORMATS: Final[dict[str, Callable[[dict[str, str]], str]]] = {
    "sh": lambda variables: "\n".join(f"export {name}={shlex.quote(one)}" for name, one in variables.items()),
    "json": json.dumps,
    "dotenv": lambda variables: "\n".join(f"{name}={_quoted(one)}" for name, one in variables.items()),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the form, and where the emulator is.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--format", choices=list(_FORMATS), default="sh", help="the form of the output (default: %(default)s)"
    )
    add_running_arguments(parser)


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Print the variables.

    Args:
        chosen: The parsed arguments.
        out: Where to print.
        stdin: Not read.

    Returns:
        0.

    Raises:
        ConfigurationError: If no emulator is running there.
    """
    del stdin
    running = running_of(chosen)
    running.health()
    from doorward_integrations.emulator.environment import environment_of  # noqa: PLC0415 - needs the extra

    print(_FORMATS[chosen.format](environment_of(running.host)), file=out)
    return 0
