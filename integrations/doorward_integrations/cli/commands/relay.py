"""``doorward relay``: a loopback port that attaches a token of the emulator's to every request."""

from __future__ import annotations

import contextlib
import threading
from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from doorward_integrations.cli.signals import EndedBySignal

__all__ = ["HELP", "add_arguments", "run", "serve_relay"]

HELP: Final = "attach a token to every request that passes a loopback port"


def add_arguments(parser: ArgumentParser) -> None:
    """Add whose tokens are attached, and where requests go.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("--to", required=True, metavar="URL", help="the service, here or with https")
    parser.add_argument("--as", dest="account", required=True, metavar="EMAIL", help="whose tokens")
    parser.add_argument("--audience", required=True, metavar="AUD", help="the audience of the tokens")
    parser.add_argument(
        "--header",
        default="authorization",
        choices=("authorization", "x-serverless-authorization"),
        help="where the token goes (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=0, help="the loopback port (default: a free one)")


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        chosen: The parsed arguments.
        out: Where the URL of the relay is printed.
        stdin: Not read.

    Returns:
        The exit status, 0: a signal ends it as it should.

    Raises:
        ConfigurationError: If an argument cannot work, or it is not known where the emulator is.
    """
    del stdin
    with contextlib.suppress(EndedBySignal):
        serve_relay(chosen, out, threading.Event())
    return 0


def serve_relay(chosen: Namespace, out: TextIO, stop: threading.Event) -> None:
    """Serve the relay.

    Args:
        chosen: The parsed arguments.
        out: Where its URL is printed.
        stop: Ends it when set.

    Raises:
        ConfigurationError: If an argument cannot work, or it is not known where the emulator is.
    """
    from doorward_integrations.emulator.relay import Relay  # noqa: PLC0415 - what only this command needs
    from doorward_integrations.emulator.senders import tokens_of_emulator  # noqa: PLC0415 - as above

    relay = Relay(
        chosen.to,
        tokens_of_emulator(),
        account=chosen.account,
        audience=chosen.audience,
        header=chosen.header,
    )
    with relay.serve(port=chosen.port) as running:
        print(f"Relay listening on {running.url}, to {chosen.to} as {chosen.account}.", file=out, flush=True)
        stop.wait()
