"""The ``doorward`` command: what can be asked of it, and how it says what is wrong."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from doorward import ConfigurationError
from doorward_integrations.cli.explain import explain
from doorward_integrations.cli.verify import add_token_arguments, verify

__all__ = ["main"]

_USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line without the program's name; the process's own by default.

    Returns:
        The exit status: 0 if all went well, 1 if something was not as it should be, 2 if it was called wrong.
    """
    parser = argparse.ArgumentParser(
        prog="doorward", description="Cloud Run's invoker check on your machine."
    )
    parser.add_argument("--version", action="version", version=f"doorward {version('doorward')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="show a guarded app, an emulator and Google's own client at work")
    emulator = commands.add_parser("emulator", help="issue ID tokens on this machine, as Google does")
    emulator.add_argument(
        "--port", type=int, default=8099, help="the loopback port to listen on (default: %(default)s)"
    )
    emulator.add_argument(
        "--account", metavar="EMAIL", help="the service account that the metadata server speaks for"
    )
    add_token_arguments(commands.add_parser("verify", help="decide on a token: JSON, and an exit status"))
    account = commands.add_parser("explain", help="account for the decision on a token, check by check")
    add_token_arguments(account)
    account.add_argument("--json", action="store_true", help="the same account as one line of JSON")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return _run(chosen)
    except ConfigurationError as error:
        print(f"doorward {chosen.command}: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("doorward"):
            raise
        remedy = f"{error.name} is not installed: pip install 'doorward[{chosen.command}]'"
        print(f"doorward {chosen.command}: {remedy}", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read our output has seen enough: the interpreter must not write the rest on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(chosen: argparse.Namespace) -> int:
    if chosen.command == "demo":
        from doorward_integrations.cli.demo import demo  # noqa: PLC0415 - needs extras that the others do not

        return demo(sys.stdout)
    if chosen.command == "emulator":
        from doorward_integrations.cli.serve import serve_emulator  # noqa: PLC0415 - as above

        return serve_emulator(chosen.port, chosen.account, sys.stdout)
    return (verify if chosen.command == "verify" else explain)(chosen, sys.stdout, sys.stdin)
