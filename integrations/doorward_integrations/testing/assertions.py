"""Assertions on what a door has decided, whose failures say why.

A refusal does not say to its caller why it was made, so the reason is not in the response: it comes from what
the door decided in this test, which the kit keeps for every door that it watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from doorward import ConfigurationError, Principal, Reason
from doorward_integrations.testing import decisions
from doorward_integrations.testing.answers import request_of, status_of
from doorward_integrations.testing.decisions import Decision
from doorward_integrations.testing.doors import verifiers_of
from doorward_integrations.testing.running import require
from doorward_integrations.testing.seam import watch

__all__ = ["assert_admitted", "assert_refused", "watching"]

_REFUSED: Final = frozenset(reason.status for reason in Reason)


@contextmanager
def watching(*targets: object) -> Iterator[None]:
    """Keep what doors decide in a block, for `assert_refused` and `assert_admitted`; nothing else is changed.

    `as_principal` and an issuer that stands in do this, too.

    Args:
        *targets: Doors, applications or clients.

    Raises:
        ConfigurationError: If no test is running here, or a target has no door.
    """
    require("watching(...)")
    with ExitStack() as stack:
        for target in targets:
            for door in verifiers_of(target)[0]:
                stack.callback(watch(door))
        yield


def assert_refused(response: Any, reason: Reason | str | None = None) -> Decision:  # noqa: ANN401 - of any library
    """Assert that a door has refused a request, and why.

    Args:
        response: The response, of the client of any framework (see `doorward_integrations.testing.answers`);
            of a call of gRPC its error.
        reason: Why it must have been refused, a `doorward.Reason` or its code; any reason by default.

    Returns:
        The decision.

    Raises:
        AssertionError: If it was not refused, or for another reason.
        ConfigurationError: If no door was watched.
    """
    decided, status = _decision_on(response), status_of(response)
    if decided.reason is None or (reason is not None and decided.reason != reason):
        raise AssertionError(_failure(f"refused{_because(reason)}", status, decided))
    if status != decided.status:
        raise AssertionError(
            _failure(f"answered with the {decided.status} of the door", status, decided)
            + "\n  Something in front of the door, or a handler of its refusals, answers differently."
        )
    return decided


def assert_admitted(response: Any, caller: Principal | str | None = None) -> Decision:  # noqa: ANN401 - of any library
    """Assert that a door has admitted a request, and as whom.

    Args:
        response: As for `assert_refused`.
        caller: The caller that it must have been admitted as; an address, a member of IAM, or a principal.

    Returns:
        The decision.

    Raises:
        AssertionError: If it was refused, or admitted as another caller.
        ConfigurationError: If no door was watched.
    """
    decided, status = _decision_on(response), status_of(response)
    wanted = f"admitted as {caller}" if caller else "admitted"
    if decided.reason is not None:
        raise AssertionError(_failure(wanted, status, decided))
    name = decided.caller or ""
    if caller is not None and str(caller) not in (name, name.partition(":")[2]):
        raise AssertionError(_failure(wanted, status, decided))
    return decided


def _because(reason: Reason | str | None) -> str:
    return "" if reason is None else f" because of {reason}"


def _decision_on(response: Any) -> Decision:  # noqa: ANN401 - of any library
    """Return the last decision on the request that a response answers."""
    require("assert_refused(...) and assert_admitted(...)")
    made = decisions.made()
    if not made:
        raise ConfigurationError(
            "no door that is watched has decided on anything since this test began: make the request within "
            "as_principal(...), after issuer.stand_in_for(app), or in `with watching(app):`"
        )
    request = request_of(response)
    fitting = [one for one in made if request is None or (one.method, one.path) == request]
    return (fitting or made)[-1]


def _failure(wanted: str, status: int, decided: Decision) -> str:
    lines = [
        f"expected the request to be {wanted}",
        f"  the door:     {decided}",
        f"  the response: {status}",
    ]
    if decided.reason is None and status in _REFUSED:
        lines.append("  The door has let it in, and the application itself answers so.")
    return "\n".join(lines)
