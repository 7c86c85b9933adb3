"""``doorward emulator status``: says whether an emulator is running, for people and for scripts."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from doorward.errors import ConfigurationError
from doorward_integrations.cli.running import add_running_arguments, running_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "say whether an emulator is running: exit status 0, or 1"

_STOPPED: Final = 1


def add_arguments(parser: ArgumentParser) -> None:
    """Add the form, and where the emulator is.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("--json", action="store_true", help="what the emulator says of itself, as JSON")
    add_running_arguments(parser)


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Say whether an emulator is running.

    Args:
        chosen: The parsed arguments.
        out: Where to say so.
        stdin: Not read.

    Returns:
        0 if it is running, else 1.

    Raises:
        ConfigurationError: If the arguments name no port of this machine.
    """
    del stdin
    try:
        running = running_of(chosen)
        health = running.health()
    except ConfigurationError as error:
        print(json.dumps({"status": "stopped", "reason": str(error)}) if chosen.json else error, file=out)
        return _STOPPED
    if chosen.json:
        print(json.dumps({"url": running.url} | health), file=out)
    else:
        print(f"running at {running.url}, process {health['pid']}", file=out)
        print(f"issues ID tokens for {health['account']}, project {health['project']}", file=out)
        others = [one for one in health["accounts"] if one != health["account"]]
        if others:
            print(f"further accounts of the metadata server: {', '.join(others)}", file=out)
        print(f"keeps keys and policies in {health['state'] or 'memory only'}", file=out)
        print(f"policies set: {', '.join(health['services']) or 'none'}", file=out)
    return 0
