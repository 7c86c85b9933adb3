"""What a door decides by: a policy, or a source of policies that may be replaced while the door is in use."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from doorward.errors import ConfigurationError
from doorward.loglimit import LogLimit
from doorward.policy.decision import Decision
from doorward.policy.request import RequestFacts
from doorward.tokens.principal import Principal

__all__ = ["FixedPolicy", "Policy", "PolicySource", "decide_every_reading", "source_of"]

_log: Final = logging.getLogger("doorward.policy")
_not_reused: Final = LogLimit(_log, logging.WARNING, "decisions that cannot be reused", lines=0)


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
            request: The request to decide on.
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
    """The facts of a request under one reading of its path. It records what a policy reads of them."""

    __slots__ = ("_reading", "_request", "read_path", "read_request")

    def __init__(self, request: RequestFacts, reading: str | None = None) -> None:
        self._request = request
        self._reading = reading
        self.read_request = False
        self.read_path = False

    @property
    def path(self) -> str:
        self.read_request = self.read_path = True
        if self._reading is None:
            # The first reading is the path, with the prefix that a proxy in front has removed.
            return next(iter(self._request.readings), self._request.path)
        return self._reading

    @property
    def sent_path(self) -> str:
        self.read_request = self.read_path = True
        return self._request.sent_path

    @property
    def readings(self) -> tuple[str, ...]:
        self.read_request = self.read_path = True
        return self._request.readings

    @property
    def method(self) -> str:
        self.read_request = True
        return self._request.method

    @property
    def websocket(self) -> bool:
        self.read_request = True
        return self._request.websocket

    @property
    def host(self) -> str:
        self.read_request = True
        return self._request.host


def decide_every_reading(policy: Policy, principal: Principal, request: RequestFacts, now: float) -> Decision:
    """Decide under every reading of the path: granted only if each of them is.

    Args:
        policy: The policy.
        principal: The verified caller, or the anonymous one.
        request: The request to decide on.
        now: Seconds since the epoch.

    Returns:
        The decision of the policy. If it depends on the path and differs between the readings, it is not
        granted, and `Decision.disagreed` names them. It is the same for every request only if the policy
        says so and has read nothing of this one.
    """
    facts = _Observed(request)
    decision = policy.decide(principal, facts, now)
    if not facts.read_request:
        return decision
    if decision.same_for_every_request:
        kind = type(policy).__name__
        if _not_reused.allows(kind):
            _log.warning(
                "%s read the request and returned a decision with same_for_every_request=True: it is not "
                "reused",
                kind,
            )
        decision = decision._replace(same_for_every_request=False)
    if not facts.read_path or len(readings := request.readings) == 1:
        return decision
    decided = [(reading, policy.decide(principal, _Observed(request, reading), now)) for reading in readings]
    refused = [decision for _, decision in decided if not decision.granted]
    if not refused:
        return decision
    # A refusal under one reading is a refusal, even if another reading cannot be decided now.
    chosen = next((decision for decision in refused if decision.unknown is None), refused[0])
    disagreed = tuple((reading, decision.granted) for reading, decision in decided)
    return chosen._replace(
        same_for_every_request=False, disagreed=disagreed if len(refused) < len(decided) else ()
    )


def source_of(policy: Policy | PolicySource) -> PolicySource:
    """Return the source of what a door was given to decide by.

    Args:
        policy: A policy, or a source of policies.

    Returns:
        The source.

    Raises:
        ConfigurationError: If it is neither.
    """
    source = policy if isinstance(policy, PolicySource) else FixedPolicy(policy)
    current = source.current
    decides = callable(getattr(current, "decide", None))
    if not decides or not isinstance(getattr(current, "public", None), bool):
        raise ConfigurationError(
            "a door needs a policy: InvokerPolicy.from_file(...), or "
            "InvokerPolicy.all_authenticated_users() if any Google account in the world may invoke"
        )
    return source
