"""``doorward explain``: an account of one token and of the policy's decision, for a person to read."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final, TextIO

from doorward import InvokerPolicy, KeysUnavailableError, Verifier
from doorward.errors import Reason
from doorward.explain.token import Check, Outcome, TokenExplanation, explain_token
from doorward.policy.explanation import PolicyExplanation
from doorward_integrations.cli.verify import policy_of, read_token, request_of

__all__ = ["explain"]

_ADMITTED: Final = 0
_REFUSED: Final = 1
_UNKNOWN: Final = 3
_MARKS: Final = {Outcome.PASSED: "ok", Outcome.FAILED: "NO", Outcome.NOT_REACHED: "--"}


def explain(chosen: Namespace, out: TextIO, stdin: TextIO = sys.stdin) -> int:
    """Give an account of a token.

    Args:
        chosen: The parsed arguments.
        out: Where it goes; the token itself never does.
        stdin: Where the token comes from, if it is ``-``.

    Returns:
        0 if it would be admitted, 1 if it would be refused, 3 if that cannot be known now.

    Raises:
        ConfigurationError: If an audience or the policy cannot work.
    """
    verifier, policy = Verifier(chosen.audience), policy_of(chosen)
    token = explain_token(verifier, read_token(chosen.token, stdin))
    decided = None
    if token.principal is not None:
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


def _lines(
    token: TokenExplanation, decided: PolicyExplanation | None, policy: InvokerPolicy
) -> Iterator[str]:
    for check in token.checks:
        yield from _check_lines(check)
    if decided is None:
        yield ""
        yield "The token is not good: the policy was not asked."
        return
    yield ""
    yield from decided.lines()
    if not decided.decision.granted and decided.decision.unknown is None:
        yield f"  what to do: {Reason.PERMISSION_DENIED.advice} ({policy!r})"


def _check_lines(check: Check) -> Iterator[str]:
    yield f"{_MARKS[check.outcome]}  {check.name:<14}{check.seen}".rstrip()
    if check.outcome is Outcome.FAILED:
        yield f"    expected:     {check.expected}"
        yield f"    what to do:   {check.advice}"
