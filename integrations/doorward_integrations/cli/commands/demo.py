"""``doorward demo``: shows a guarded application, the emulator and Google's own client at work."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "show a guarded app, an emulator and Google's own client at work"


def add_arguments(parser: ArgumentParser) -> None:
    """Add nothing: the demo takes no arguments."""
    del parser


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Run the demo.

    Args:
        chosen: The parsed arguments.
        out: Where the table is printed.
        stdin: Not read.

    Returns:
        0 if every answer was as expected, else 1.

    Raises:
        ConfigurationError: If the environment keeps it from running.
    """
    del chosen, stdin
    from doorward_integrations.cli.demonstration import demo  # noqa: PLC0415 - needs the extra `demo`

    return demo(out)
