"""``doorward token``: mints an ID token from the running emulator, for curl and for scripts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Final, TextIO

from doorward_integrations.cli.running import add_running_arguments, running_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "mint an ID token from the emulator that is running"

_GOOGLE: Final = "google"
_TOKENS_PATH: Final = "/doorward/v1/tokens"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the token says, and where the emulator is.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--audience", metavar="AUD", help="the audience: the URL of a service (default, for a user: gcloud's)"
    )
    parser.add_argument(
        "--issuer",
        default=_GOOGLE,
        metavar="NAME",
        help="google, iap, firebase, oidc:NAME, or a service account that signs for itself "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--as", dest="account", metavar="EMAIL", help="the account (default: that of the emulated machine)"
    )
    parser.add_argument(
        "--format",
        choices=["standard", "full"],
        help="full describes the machine, if the emulator has one (default: standard)",
    )
    parser.add_argument(
        "--expires",
        type=int,
        metavar="SECONDS",
        help="seconds from now; less than 0 for one that has expired (default: as long as the issuer's last)",
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
        "issuer": chosen.issuer,
        "audience": chosen.audience,
        # Of another issuer, the address is a claim: it has no accounts to choose from.
        "account" if chosen.issuer == _GOOGLE else "email": chosen.account,
        "format": chosen.format,
        "expires": chosen.expires,
    }
    print(running_of(chosen).post(_TOKENS_PATH, asked)["token"], file=out)
    return 0
