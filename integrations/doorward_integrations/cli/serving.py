"""The arguments of the commands that serve an emulator, and the emulator that they describe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from doorward_integrations.emulator import Emulator

__all__ = ["DEFAULT_PORT", "add_emulator_arguments", "emulator_of"]

DEFAULT_PORT: Final = 8099
"""The port of ``doorward emulator start``, where other commands look for it."""


def add_emulator_arguments(parser: ArgumentParser) -> None:
    """Add what describes an emulator.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--account", metavar="EMAIL", help="the service account that the metadata server speaks for"
    )
    parser.add_argument(
        "--identities", metavar="FILE", help="who there is, and who may act as whom (JSON or YAML)"
    )
    parser.add_argument("--project", metavar="ID", help="the id of the project, where no file says it")
    parser.add_argument(
        "--state", metavar="FOLDER", help="the folder that keeps keys and policies from one start to the next"
    )
    parser.add_argument(
        "--rotate-every",
        type=float,
        metavar="SECONDS",
        help="how long a key signs, of every issuer (default: until a rotation is asked for)",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        metavar="SECONDS",
        help="how long a replaced key is still published (default: until the next one is replaced)",
    )


def emulator_of(chosen: Namespace) -> Emulator:
    """Make the emulator that the arguments describe.

    Args:
        chosen: The parsed arguments.

    Returns:
        The emulator; nothing listens yet.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    from doorward_integrations.emulator import Emulator, RotationSchedule  # noqa: PLC0415 - needs the extra `emulator`

    identities = None
    if chosen.identities is not None:
        from doorward_integrations.emulator.identities.file import (  # noqa: PLC0415 - only where there is one
            read_identities,
        )

        identities = read_identities(chosen.identities)
    return Emulator(
        identities=identities,
        account=chosen.account,
        project=chosen.project,
        rotation=RotationSchedule(every=chosen.rotate_every, overlap=chosen.overlap),
        state=chosen.state,
    )
