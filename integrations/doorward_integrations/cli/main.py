"""The ``doorward`` command: parses the command line, runs one command, reports mistakes in one line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from doorward.errors import ConfigurationError
from doorward_integrations.cli.command import Command, command_names, find_commands
from doorward_integrations.cli.signals import EndedBySignal, ending_in_order

__all__ = ["main"]

_USAGE_ERROR = 2


class _Version(argparse.Action):
    """Prints the version, which takes a while to look up, only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:  # noqa: ANN401 - as its base class
        from importlib.metadata import version  # noqa: PLC0415 - 40 ms, which each command would wait for

        print(f"doorward {version('doorward')}")
        parser.exit()


def _commands_for(arguments: Sequence[str]) -> dict[str, Command]:
    """Import the command that is called; all of them where none is, for the help and for errors."""
    named = [name for name in arguments[:1] if name in command_names()]
    return find_commands(named or None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line without the program's name; the process's own by default.

    Returns:
        The exit status: that of the command, 2 if it was called wrong, or 128 and the number of the signal
        (130 for SIGINT, 143 for SIGTERM) that ended it, in order, before it had a result.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="doorward", description="Cloud Run's invoker check on your machine."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = _commands_for(arguments)
    for name, command in commands.items():
        command.add_arguments(choices.add_parser(name, help=command.HELP, description=f"{command.HELP}."))
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        with ending_in_order():
            return commands[chosen.command].run(chosen, sys.stdout, sys.stdin)
    except ConfigurationError as error:
        print(f"doorward {chosen.command}: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except EndedBySignal as ended:
        return ended.status
    except BrokenPipeError:
        # The reader of the output has closed it: the interpreter must not write the rest as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
