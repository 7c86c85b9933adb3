"""``doorward gateway``: Cloud Run's front end before a service of this machine, until it is interrupted."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from doorward_integrations.cli.gateway_arguments import add_service_arguments, gateway_of
from doorward_integrations.cli.signals import EndedBySignal

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "guard a service of this machine, as Cloud Run's front end does"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the services and where to listen.

    Args:
        parser: The parser of the command.
    """
    add_service_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8088, help="the port (default: %(default)s)")
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for running requests, when it is stopped (default: %(default)s)",
    )


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        chosen: The parsed arguments.
        out: Where the access log goes, as lines of JSON.
        stdin: Not read.

    Returns:
        The exit status, 0: a signal ends it as it should.

    Raises:
        ConfigurationError: If an argument cannot work, the port is taken, or the extra is missing.
    """
    del stdin
    from doorward_integrations.gateway import GatewayServer  # noqa: PLC0415 - needs the extra `gateway`

    _log_to(out)
    server = GatewayServer(gateway_of(chosen), host=chosen.host, port=chosen.port, grace=chosen.grace)
    with contextlib.suppress(EndedBySignal), server:
        print(f"The gateway serves at {server.url}; Ctrl-C ends it.", file=sys.stderr, flush=True)
        threading.Event().wait()
    return 0


def _log_to(out: TextIO) -> None:
    from doorward_integrations.gateway.access_log import ACCESS_LOG  # noqa: PLC0415 - as above

    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s"))
    access = logging.getLogger(ACCESS_LOG)
    access.handlers[:] = [handler]
    access.setLevel(logging.INFO)
    access.propagate = False
    # Each refusal has its line there.
    logging.getLogger("doorward.door").setLevel(logging.ERROR)
