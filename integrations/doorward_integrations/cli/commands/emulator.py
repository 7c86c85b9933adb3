"""``doorward emulator``: serves the emulator on a port of this machine, until it is interrupted."""

from __future__ import annotations

import contextlib
import threading
from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from doorward_integrations.cli.signals import EndedBySignal

__all__ = ["HELP", "add_arguments", "run", "serve_emulator"]

HELP: Final = "issue ID tokens on this machine, as Google does"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the port and the account.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--port", type=int, default=8099, help="the loopback port to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--account", metavar="EMAIL", help="the service account that the metadata server speaks for"
    )


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        chosen: The parsed arguments.
        out: Where the variables that lead to the emulator are printed.
        stdin: Not read.

    Returns:
        The exit status, 0: a signal ends it as it should.

    Raises:
        ConfigurationError: If the port is taken, or the account is not a service account.
    """
    del stdin
    with contextlib.suppress(EndedBySignal):
        serve_emulator(chosen.port, chosen.account, out, threading.Event())
    return 0


def serve_emulator(port: int, account: str | None, out: TextIO, stop: threading.Event) -> None:
    """Serve the emulator, and print the variables that lead clients and services to it.

    Args:
        port: The loopback port; 0 takes a free one.
        account: The service account that the metadata server speaks for; None for the emulator's own.
        out: Where to print.
        stop: Ends it when set.

    Raises:
        ConfigurationError: If the port is taken, or the account is not a service account.
    """
    from doorward_integrations.emulator import (  # noqa: PLC0415 - needs the extra `emulator`
        DEFAULT_ACCOUNT,
        Emulator,
    )

    emulator = Emulator(account=account or DEFAULT_ACCOUNT)
    with emulator.serve(port=port) as running:
        print(
            f"Issuing ID tokens for {emulator.accounts.default.email} at {running.url}. Start clients and",
            file=out,
        )
        print("services with these variables; Ctrl-C ends it.\n", file=out)
        for name, value in running.environment().items():
            print(f"export {name}={value}", file=out, flush=True)
        stop.wait()
