"""``doorward verify``: the decision on one token, as JSON and as an exit status, for scripts."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final, TextIO

from doorward import (
    Admission,
    Door,
    InvokerPolicy,
    KeysUnavailableError,
    PlainRequest,
    Principal,
    RefusedError,
    Verifier,
)

__all__ = ["add_token_arguments", "door_of", "policy_of", "read_token", "request_of", "verify"]

_ADMITTED: Final = 0
_REFUSED: Final = 1
_UNKNOWN: Final = 3


def add_token_arguments(parser: ArgumentParser) -> None:
    """Add what `verify` and ``explain`` take.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("token", metavar="TOKEN", help="the ID token, or - to read it from standard input")
    parser.add_argument(
        "--audience",
        action="append",
        required=True,
        metavar="AUD",
        help="an accepted audience (may be repeated)",
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="the IAM policy, as gcloud prints it; else any Google account"
    )
    parser.add_argument(
        "--path", default="/", help="the path of the request, for conditions (default: %(default)s)"
    )
    parser.add_argument("--host", default="", help="the host of the request, for conditions")


def read_token(argument: str, stdin: TextIO) -> str:
    """Take the token from the command line, or from standard input, which others cannot read.

    Args:
        argument: What stands on the command line.
        stdin: Standard input.

    Returns:
        The token, without white space around it, and without the scheme of a header that it was copied from.
    """
    text = (stdin.read() if argument == "-" else argument).strip()
    scheme, space, rest = text.partition(" ")
    return rest.strip() if space and scheme.lower() == "bearer" else text


def door_of(chosen: Namespace) -> Door:
    """Make the door that the arguments describe.

    Args:
        chosen: The parsed arguments.

    Returns:
        The door.

    Raises:
        ConfigurationError: If an audience or the policy cannot work.
    """
    return Door(Verifier(chosen.audience), policy_of(chosen))


def policy_of(chosen: Namespace) -> InvokerPolicy:
    """Read the policy that the arguments name.

    Args:
        chosen: The parsed arguments.

    Returns:
        The policy; without one, any Google account may invoke.

    Raises:
        ConfigurationError: If it cannot work.
    """
    return (
        InvokerPolicy.from_file(chosen.policy) if chosen.policy else InvokerPolicy.all_authenticated_users()
    )


def request_of(chosen: Namespace) -> PlainRequest:
    """Make the request that the arguments describe.

    Args:
        chosen: The parsed arguments.

    Returns:
        The request.
    """
    return PlainRequest(chosen.path, host=chosen.host)


def verify(chosen: Namespace, out: TextIO, stdin: TextIO = sys.stdin) -> int:
    """Decide on a token.

    Args:
        chosen: The parsed arguments.
        out: Where the JSON goes: one object on one line, which never holds the token.
        stdin: Where the token comes from, if it is ``-``.

    Returns:
        0 if it is admitted, 1 if it is refused, 3 if that cannot be known now.

    Raises:
        ConfigurationError: If an audience or the policy cannot work.
    """
    credential = b"Bearer " + read_token(chosen.token, stdin).encode("utf-8", "surrogateescape")
    outcome = door_of(chosen).admit([(b"authorization", credential)], request_of(chosen))
    if isinstance(outcome, Admission):
        granted = {"member": outcome.decision.member, "role": outcome.decision.role}
        print(json.dumps({"admitted": True, "principal": _plain(outcome.principal), **granted}), file=out)
        return _ADMITTED
    error: RefusedError = outcome.error
    refused = {"admitted": False, "status": outcome.status, "reason": error.reason, "message": error.message}
    print(json.dumps(refused | {"claim": error.claim}), file=out)
    return _UNKNOWN if isinstance(error, KeysUnavailableError) else _REFUSED


def _plain(principal: Principal) -> dict[str, Any]:
    return {
        "kind": principal.kind,
        "member": principal.member,
        "email": principal.email,
        "subject": principal.subject,
        "issuer": principal.issuer,
    }
