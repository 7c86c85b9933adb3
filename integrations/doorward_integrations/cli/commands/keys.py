"""``doorward keys``: lists, rotates and revokes the keys of a running emulator."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from doorward.errors import ConfigurationError
from doorward_integrations.cli.running import add_running_arguments, running_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "list, rotate or revoke the keys of a running emulator"

_PATH: Final = "/doorward/v1/keys"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what to do, the issuer and the emulator.

    Args:
        parser: The parser of the command.
    """
    choices = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_action(choices.add_parser("list", help="print the published keys of every issuer"))
    rotate = choices.add_parser("rotate", help="sign with a new key from now on")
    rotate.add_argument(
        "--withdraw", action="store_true", help="publish the key that signed until now no longer"
    )
    revoke = choices.add_parser("revoke", help="publish a key no longer, at once")
    revoke.add_argument("kid", metavar="KID", help="the id of the key, as 'doorward keys list' prints it")
    for action in (rotate, revoke):
        _add_action(action)
        action.add_argument("--issuer", default="google", help="whose key (default: %(default)s)")


def _add_action(parser: ArgumentParser) -> None:
    add_running_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Ask the emulator, and print the keys that are published now.

    Args:
        chosen: The parsed arguments.
        out: Where they are printed: one line for each key, or JSON.
        stdin: Not read.

    Returns:
        The exit status, 0.

    Raises:
        ConfigurationError: If there is no emulator, or it refuses.
    """
    del stdin
    running = running_of(chosen)
    if chosen.action == "list":
        answer = running.get(_PATH)
    elif chosen.action == "rotate":
        answer = running.post(f"{_PATH}:rotate", {"issuer": chosen.issuer, "withdraw": chosen.withdraw})
    else:
        answer = running.post(f"{_PATH}:revoke", {"issuer": chosen.issuer, "kid": chosen.kid})
    if not isinstance(answer.get("keys"), list):
        raise ConfigurationError(f"what answers at {running.url} cannot be asked for keys")
    if chosen.json:
        print(json.dumps({"keys": answer["keys"]}), file=out)
        return 0
    for key in answer["keys"]:
        print("  ".join(_columns(key)), file=out)
    return 0


def _columns(key: Mapping[str, Any]) -> tuple[str, ...]:
    state = str(key["state"])
    if key["until"] is not None:
        state += f" until {_date(key['until'])}"
    return (str(key["issuer"]), str(key["kid"]), str(key["algorithm"]), f"since {_date(key['since'])}", state)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
