"""``doorward explain``: explains one token and the decision of the policy, for a person to read."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final, TextIO

from doorward import InvokerPolicy, KeysUnavailableError
from doorward.errors import Reason
from doorward.explain.token import Check, Outcome, TokenExplanation, explain_token
from doorward.policy.explanation import PolicyExplanation
from doorward.policy.source import Policy
from doorward.tokens.principal import NO_ADDRESS
from doorward_integrations.cli.door_arguments import add_door_arguments, door_of, read_token, request_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "explain the decision on a token, check by check"

_ADMITTED: Final = 0
_REFUSED: Final = 1
_UNKNOWN: Final = 3
_MARKS: Final = {Outcome.PASSED: "ok", Outcome.FAILED: "NO", Outcome.NOT_REACHED: "--"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the token, the request and the door, and the form of the output.

    Args:
        parser: The parser of the command.
    """
    add_door_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the same explanation as one line of JSON")


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Explain a token.

    Args:
        chosen: The parsed arguments.
        out: Where the explanation goes; the token itself never does.
        stdin: Where the token comes from, if it is ``-``.

    Returns:
        0 if it would be admitted, 1 if it would be refused, 3 if that cannot be decided now.

    Raises:
        ConfigurationError: If an argument cannot work.
    """
    door = door_of(chosen)
    policy = door.policy
    token = explain_token(door.verifier, read_token(chosen.token, stdin))
    decided = None
    if token.principal is not None and isinstance(policy, InvokerPolicy):
        decided = policy.explain(token.principal, request_of(chosen), time.time())
    if chosen.json:
        print(json.dumps(_plain(token, decided), default=list), file=out)
    else:
        for line in _lines(token, decided, policy):
            print(line, file=out)
    if isinstance(token.error, KeysUnavailableError) or (decided is not None and decided.decision.unknown):
        return _UNKNOWN
    return _ADMITTED if decided is not None and decided.decision.granted else _REFUSED


def _plain(token: TokenExplanation, decided: PolicyExplanation | None) -> dict[str, Any]:
    return {
        "checks": [asdict(check) for check in token.checks],
        "principal": None if token.principal is None else str(token.principal),
        "reason": None if token.error is None else token.error.reason,
        "policy": None if decided is None else decided.as_dict(),
    }


def _lines(token: TokenExplanation, decided: PolicyExplanation | None, policy: Policy) -> Iterator[str]:
    for check in token.checks:
        yield from _check_lines(check)
    yield ""
    if isinstance(token.error, KeysUnavailableError):
        yield "It cannot be decided now whether the token is good: its key cannot be fetched."
    elif token.error is not None:
        yield "The token is not good: the policy was not asked."
    elif decided is None:
        yield f"The policy is a {type(policy).__name__}, which does not explain its decisions."
    else:
        yield from decided.lines()
        if not decided.decision.granted and decided.decision.unknown is None:
            yield f"  what to do: {Reason.PERMISSION_DENIED.advice} ({policy!r})"
            principal = token.principal
            if principal is not None and principal.google_account and principal.member is None:
                yield f"  what to do: {NO_ADDRESS}"


def _check_lines(check: Check) -> Iterator[str]:
    yield f"{_MARKS[check.outcome]}  {check.name:<14}{check.seen}".rstrip()
    if check.outcome is Outcome.FAILED:
        yield f"    expected:     {check.expected}"
        yield f"    what to do:   {check.advice}"
