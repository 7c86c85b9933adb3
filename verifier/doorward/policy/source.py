"""What a door asks: a policy, or a source of policies that may be replaced while the door is in use."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from doorward.policy.decision import Decision
from doorward.policy.request import RequestFacts
from doorward.tokens.principal import Principal

__all__ = ["FixedPolicy", "Policy", "PolicySource", "decide_every_reading"]

_log: Final = logging.getLogger("doorward.policy")


class Policy(Protocol):
    """Decides whether a principal may invoke; `InvokerPolicy` is the one that ships. Immutable."""

    @property
    def public(self) -> bool:
        """Whether a request without a credential may be admitted at all."""
        ...

    def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
        """Decide whether a principal may invoke.

        Args:
            principal: The verified caller, or the anonymous one.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision; `Decision.same_for_every_request` if it would be the same for every request at any
            time.
        """
        ...


@runtime_checkable
class PolicySource(Protocol):
    """A policy that may be replaced while the door is in use."""

    @property
    def current(self) -> Policy:
        """The policy that decides now."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """The source of a policy that is never replaced.

    Attributes:
        current: The policy.
    """

    current: Policy


class _Observed:
    """The facts of a request under one reading of its path; notes what a policy reads of them."""

    __slots__ = ("_reading", "_request", "of_path", "of_request")

    def __init__(self, request: RequestFacts, reading: str | None = None) -> None:
        self._request = request
        self._reading = reading
        self.of_request = False
        self.of_path = False

    @property
    def path(self) -> str:
        self.of_request = self.of_path = True
        if self._reading is None:
            # The first reading is the path, with the prefix that a proxy in front has cut off.
            return next(iter(self._request.readings), self._request.path)
        return self._reading

    @property
    def sent_path(self) -> str:
        self.of_request = self.of_path = True
        return self._request.sent_path

    @property
    def readings(self) -> tuple[str, ...]:
        self.of_request = self.of_path = True
        return self._request.readings

    @property
    def method(self) -> str:
        self.of_request = True
        return self._request.method

    @property
    def websocket(self) -> bool:
        self.of_request = True
        return self._request.websocket

    @property
    def host(self) -> str:
        self.of_request = True
        return self._request.host


def decide_every_reading(policy: Policy, principal: Principal, request: RequestFacts, now: float) -> Decision:
    """Decide under every reading of the path: granted only if each of them is.

    Args:
        policy: The policy.
        principal: The verified caller, or the anonymous one.
        request: The request.
        now: Seconds since the epoch.

    Returns:
        The decision of the policy. Where it depends on the path and the readings disagree, it is not granted,
        and `Decision.disagreed` names them. It is the same for every request only if the policy says so and
        has read nothing of this one.
    """
    facts = _Observed(request)
    decision = policy.decide(principal, facts, now)
    if not facts.of_request:
        return decision
    if decision.same_for_every_request:
        _log.warning(
            "%s read the request, and called its decision the same for every request: it is not reused",
            type(policy).__name__,
        )
        decision = decision._replace(same_for_every_request=False)
    if not facts.of_path or len(readings := request.readings) == 1:
        return decision
    decided = [(reading, policy.decide(principal, _Observed(request, reading), now)) for reading in readings]
    against = [one for _, one in decided if not one.granted]
    if not against:
        return decision
    # What is refused under one reading is refused, also where another one cannot be decided now.
    chosen = next((one for one in against if one.unknown is None), against[0])
    disagreed = tuple((reading, one.granted) for reading, one in decided)
    return chosen._replace(
        same_for_every_request=False, disagreed=disagreed if len(against) < len(decided) else ()
    )
