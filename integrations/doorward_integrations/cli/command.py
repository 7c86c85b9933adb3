"""What a command is, and how the commands are found."""

from __future__ import annotations

import importlib
import pkgutil
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Protocol, TextIO, cast

from doorward_integrations.cli import commands

__all__ = ["Command", "command_names", "find_commands"]


class Command(Protocol):
    """One command: a module in the folder ``commands``.

    It imports what needs an extra inside of `run`, so that ``doorward --help`` works without any.

    Attributes:
        HELP: What it does, in one line without a full stop.
    """

    HELP: str

    def add_arguments(self, parser: ArgumentParser, /) -> None:
        """Add the arguments of the command.

        Args:
            parser: The parser of the command.
        """
        ...

    def run(self, chosen: Namespace, out: TextIO, stdin: TextIO, /) -> int:
        """Run the command.

        Args:
            chosen: The parsed arguments.
            out: Where its output goes.
            stdin: Standard input.

        Returns:
            The exit status.

        Raises:
            ConfigurationError: If an argument cannot work.
        """
        ...


def command_names() -> list[str]:
    """Look for the commands, without importing them.

    Returns:
        Their names, sorted.
    """
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def find_commands(names: Iterable[str] | None = None) -> dict[str, Command]:
    """Import commands.

    Args:
        names: Their names; all commands by default.

    Returns:
        The commands by name, sorted.
    """
    return {
        name: cast("Command", importlib.import_module(f"{commands.__name__}.{name}"))
        for name in sorted(command_names() if names is None else names)
    }
