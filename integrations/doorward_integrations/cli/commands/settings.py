"""``doorward settings``: shows the settings of a door that the environment gives, and checks them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from doorward_integrations.settings import settings
from doorward_integrations.settings.masking import masked

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "show the settings that the DOORWARD_ variables give, and check them"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the check.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--check", action="store_true", help="make the door too: files are read, and the platform is asked"
    )


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Show every setting, and by which name it was given.

    Args:
        chosen: The parsed arguments.
        out: Where the settings are printed, without what may be a secret in them.
        stdin: Not read.

    Returns:
        The exit status, 0.

    Raises:
        ConfigurationError: If a variable is mistaken or not known, or no door can be made.
    """
    del stdin
    found = settings()
    if chosen.check:
        found.door()
    for name, value, origin in found.rows():
        print(f"{name:<38}{value or '-':<40} {origin}".rstrip(), file=out)
    if chosen.check:
        print(masked(f"\n{found.verifier!r}\n{found.policy_source!r}"), file=out)
    return 0
