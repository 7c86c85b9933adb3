"""``doorward token``: mints an ID token from the running emulator, for curl and for scripts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Final, TextIO

from doorward_integrations.cli.running import add_running_arguments, running_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "mint an ID token from the emulator that is running"

_TOKENS_PATH: Final = "/_doorward/tokens"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the token says, and where the emulator is.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("--audience", metavar="AUD", required=True, help="the audience: the URL of a service")
    parser.add_argument(
        "--as", dest="account", metavar="EMAIL", help="the account (default: that of the emulated machine)"
    )
    parser.add_argument(
        "--format",
        choices=["standard", "full"],
        default="standard",
        help="full describes the machine, if the emulator has one (default: %(default)s)",
    )
    parser.add_argument(
        "--expires",
        type=int,
        default=3_600,
        metavar="SECONDS",
        help="seconds from now; less than 0 for one that has expired (default: %(default)s)",
    )
    add_running_arguments(parser)


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Mint a token.

    Args:
        chosen: The parsed arguments.
        out: Where the token goes, and nothing else.
        stdin: Not read.

    Returns:
        0.

    Raises:
        ConfigurationError: If no emulator is running there, or it refuses.
    """
    del stdin
    asked: dict[str, Any] = {
        "audience": chosen.audience,
        "format": chosen.format,
        "expires": chosen.expires,
    }
    if chosen.account is not None:
        asked["account"] = chosen.account
    print(running_of(chosen).post(_TOKENS_PATH, asked)["token"], file=out)
    return 0
