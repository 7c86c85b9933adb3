"""The ``doorward`` command: parses the command line, runs one command, reports mistakes in one line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import metadata, version

from doorward import ConfigurationError
from doorward_integrations.cli.command import find_commands
from doorward_integrations.cli.signals import EndedBySignal, ending_in_order

__all__ = ["main"]

_USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line without the program's name; the process's own by default.

    Returns:
        The exit status: that of the command, 2 if it was called wrong, or 128 and the number of the signal
        (130 for SIGINT, 143 for SIGTERM) that ended it, in order, before it had a result.
    """
    parser = argparse.ArgumentParser(
        prog="doorward", description="Cloud Run's invoker check on your machine."
    )
    parser.add_argument("--version", action="version", version=f"doorward {version('doorward')}")
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = find_commands()
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
    except ModuleNotFoundError as error:
        extras = metadata("doorward").get_all("Provides-Extra") or ()
        if error.name is None or error.name.startswith("doorward") or chosen.command not in extras:
            raise
        remedy = f"{error.name} is not installed: pip install 'doorward[{chosen.command}]'"
        print(f"doorward {chosen.command}: {remedy}", file=sys.stderr)
        return _USAGE_ERROR
    except EndedBySignal as ended:
        return ended.status
    except BrokenPipeError:
        # The reader of the output has closed it: the interpreter must not write the rest as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
