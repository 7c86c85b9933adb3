"""``doorward verify``: decides on one token, as JSON and as an exit status, for scripts."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Final, TextIO

from doorward import Admission
from doorward.errors import UnavailableError
from doorward_integrations.cli.door_arguments import (
    add_door_arguments,
    door_of,
    header_of,
    read_token,
    request_of,
)

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "decide on a token: JSON, and an exit status"

_ADMITTED: Final = 0
_REFUSED: Final = 1
_UNKNOWN: Final = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add the token, the request and the door.

    Args:
        parser: The parser of the command.
    """
    add_door_arguments(parser)


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Decide on a token.

    Args:
        chosen: The parsed arguments.
        out: Where the JSON goes: one object on one line, which never holds the token.
        stdin: Where the token comes from, if it is ``-``.

    Returns:
        0 if it is admitted, 1 if it is refused, 3 if that cannot be decided now.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    door, token = door_of(chosen), read_token(chosen.token, stdin)
    outcome = door.admit([header_of(door, token)], request_of(chosen))
    if isinstance(outcome, Admission):
        principal = {name: value for name, value in outcome.principal.as_dict().items() if name != "claims"}
        granted = {"member": outcome.decision.member, "role": outcome.decision.role}
        print(json.dumps({"admitted": True, "principal": principal, **granted}), file=out)
        return _ADMITTED
    error = outcome.error
    refused = {"admitted": False, "status": outcome.status, "reason": error.reason, "message": error.message}
    print(json.dumps(refused | {"claim": error.claim}), file=out)
    return _UNKNOWN if isinstance(error, UnavailableError) else _REFUSED
