"""``doorward emulator``: what Google does for ID tokens, on this machine. Its commands are in this folder."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from typing import Any, Final, TextIO

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "issue ID tokens on this machine, as Google does"

_NAMES: Final = ("start", "exec", "env", "key", "status")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the commands.

    Args:
        parser: The parser of the command.
    """
    choices = parser.add_subparsers(dest="emulator_command", required=True, metavar="COMMAND")
    for name in _NAMES:
        command = _command(name)
        command.add_arguments(choices.add_parser(name, help=command.HELP, description=f"{command.HELP}."))


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Run one of the commands.

    Args:
        chosen: The parsed arguments.
        out: Where its output goes.
        stdin: Standard input.

    Returns:
        Its exit status.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    status: int = _command(chosen.emulator_command).run(chosen, out, stdin)
    return status


def _command(name: str) -> Any:  # noqa: ANN401 - a module: a `doorward_integrations.cli.command.Command`
    return importlib.import_module(f"{__name__}.{name}")
