"""The door: the whole decision for one request, in one place."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from doorward.door.credentials import (
    AUTHORIZATION,
    FindCredential,
    RawHeaders,
    find_credential,
    why_no_token,
)
from doorward.door.forwarding import WATCHED, forward_admitted, forward_anonymous, without_signature
from doorward.door.log import log_refusal
from doorward.door.refusal import Refusal, RefusalStyle, cloud_run
from doorward.errors import (
    ConfigurationError,
    CredentialError,
    KeysUnavailableError,
    PermissionDeniedError,
    Reason,
    RefusedError,
)
from doorward.policy.decision import Decision
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.roles import INVOKE
from doorward.tokens.memo import Verified
from doorward.tokens.principal import ANONYMOUS, Principal
from doorward.tokens.verifier import Verifier

__all__ = ["Admission", "Door", "Policy", "PolicySource"]

_log = logging.getLogger("doorward.door")
_PATIENCE: Final = 3.0  # seconds that a request waits at most for what its policy must look up


class Policy(Protocol):
    """Whatever can say whether a principal may invoke; `InvokerPolicy` is the one that ships. Immutable."""

    @property
    def public(self) -> bool:
        """Whether somebody without a credential may be admitted at all."""
        ...

    def decide(self, principal: Principal, request: RequestFacts, now: float, /) -> Decision:
        """Say whether a principal may invoke.

        Args:
            principal: The verified caller, or the anonymous one.
            request: What is asked for.
            now: Seconds since the epoch.

        Returns:
            The decision; `Decision.lasting` if it would be the same for every request at any time.
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
class _Fixed:
    """The source of a policy that is never replaced."""

    current: Policy


@dataclass(slots=True)  # made for each request: to seal it would take longer than to make it
class Admission:
    """A request that is let through.

    Attributes:
        principal: Who is calling; anonymous where the policy admits everybody and nobody said who they are.
        headers: The headers for the application, in the order they came.
        decision: What the policy granted it by.
    """

    principal: Principal
    headers: list[tuple[bytes, bytes]]
    decision: Decision


class Door:
    """Decides on requests: it admits, or it refuses.

    One door serves any number of threads and event loops. Every adapter asks it, and decides nothing by
    itself.
    """

    def __init__(
        self,
        verifier: Verifier,
        policy: Policy | PolicySource,
        *,
        credential: FindCredential = find_credential,
        exempt: Iterable[tuple[str, str]] = (),
        style: RefusalStyle = cloud_run,
    ) -> None:
        """Put a policy behind a verifier.

        Args:
            verifier: Says who is calling.
            policy: Says whether they may; or a source of it, such as a watched file.
            credential: Where a request carries its credential: as Cloud Run looks for it, or
                `find_iap_assertion`.
            exempt: Pairs of method and path that are let through unread, such as ``("GET", "/healthz")`` or a
                preflight's ``("OPTIONS", "/orders")``. Compared exactly, the path decoded. Cloud Run exempts
                nothing.
            style: How refusals are answered: `cloud_run`, `problem_details`, or one of your own.

        Raises:
            ConfigurationError: If either is missing or something else, or an exemption is not a pair.
        """
        if not isinstance(verifier, Verifier):
            raise ConfigurationError(
                f"a door needs a Verifier, not {type(verifier).__name__}: Door(Verifier(...), policy)"
            )
        source = policy if isinstance(policy, PolicySource) else _Fixed(policy)
        current = source.current
        decides = callable(getattr(current, "decide", None))
        if not decides or not isinstance(getattr(current, "public", None), bool):
            raise ConfigurationError(
                "a door needs a policy: InvokerPolicy.from_file(...), or "
                "InvokerPolicy.all_authenticated_users() if any Google account in the world may invoke"
            )
        self._verifier: Final = verifier
        self._source: Final[PolicySource] = source
        self._find: Final = credential
        self._exempt: Final = _exemptions(exempt)
        self._style: Final = style

    @property
    def verifier(self) -> Verifier:
        """The verifier behind the door."""
        return self._verifier

    def glance(self, headers: RawHeaders, method: str, path: str) -> Admission | None:
        """Admit a request at once, if all that decides on it is remembered.

        It comes to what `admit` would come to, by the shortest way: one ordinary credential, whose token was
        verified before, and a policy that has granted it whatever the request.

        Args:
            headers: All its headers, names in lower case.
            method: Its method.
            path: Its decoded path.

        Returns:
            The admission; None says nothing: ask `admit` or `aadmit`.
        """
        position = -1
        for index, (name, _) in enumerate(headers):
            if name in WATCHED:
                if position >= 0 or name != AUTHORIZATION:
                    return None
                position = index
        if position < 0 or self._find is not find_credential:
            return None
        if self._exempt and (method, path) in self._exempt:
            return None
        value = headers[position][1]
        if value[:7] != b"Bearer " or (entry := self._verifier.recall(value[7:])) is None:
            return None
        note: _Note | None = entry.note
        if note is None or note[0] is not self._source.current or not note[1].granted:
            return None
        return Admission(entry.principal, without_signature(headers, position), note[1])

    def admit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        """Decide on a request.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.

        Returns:
            An admission, or a refusal with the answer to give. Hostile input never raises.
        """
        if self._exempt and (request.method, request.path) in self._exempt:
            return _unread(headers)
        token = b""
        try:
            credential = self._find(headers)
            if credential is None:
                raise _no_credential()
            position, token = credential
            verified = self._verifier.look(token)
            if not isinstance(verified, Verified):
                verified = self._verifier.ask(verified)
        except RefusedError as error:
            return self._unverified(why_no_token(token) or error, headers, request)
        decision = self._ask(verified, request)
        if decision.pending is not None:
            until = time.monotonic() + _PATIENCE
            while decision.pending is not None and (left := until - time.monotonic()) > 0:
                decision.pending.wait(left)
                decision = self._ask(verified, request)
        return self._conclude(decision, headers, position, verified, request)

    async def aadmit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        """Do as `admit` does, waiting for a fetch without blocking the event loop.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.

        Returns:
            As `admit`.
        """
        if self._exempt and (request.method, request.path) in self._exempt:
            return _unread(headers)
        token = b""
        try:
            credential = self._find(headers)
            if credential is None:
                raise _no_credential()
            position, token = credential
            verified = self._verifier.look(token)
            if not isinstance(verified, Verified):
                verified = await self._verifier.aask(verified)
        except RefusedError as error:
            return self._unverified(why_no_token(token) or error, headers, request)
        decision = self._ask(verified, request)
        if decision.pending is not None:
            until = time.monotonic() + _PATIENCE
            while decision.pending is not None and (left := until - time.monotonic()) > 0:
                await decision.pending.wait_async(left)
                decision = self._ask(verified, request)
        return self._conclude(decision, headers, position, verified, request)

    def _ask(self, verified: Verified, request: RequestFacts) -> Decision:
        """Ask the policy, or remember what it said of this token."""
        policy = self._source.current
        note: _Note | None = verified.note
        # The policy stands for its door: what one policy has said of a token, no other has.
        if note is not None and note[0] is policy:
            return note[1]
        decision = policy.decide(verified.principal, request, self._verifier.now())
        if decision.lasting:
            verified.note = (policy, decision)
        return decision

    def _conclude(
        self,
        decision: Decision,
        headers: RawHeaders,
        position: int,
        verified: Verified,
        request: RequestFacts,
    ) -> Admission | Refusal:
        """Let a verified caller through, or not: nobody who was recognised passes as somebody unknown."""
        principal = verified.principal
        if decision.granted:
            return Admission(principal, forward_admitted(headers, position), decision)
        if decision.unknown is not None:
            return self._refuse(KeysUnavailableError(decision.unknown), request)
        denied = f" (denied by {decision.denied_by})" if decision.denied_by is not None else ""
        permission = getattr(self._source.current, "permission", INVOKE)
        return self._refuse(PermissionDeniedError(f"{principal} does not hold {permission}{denied}"), request)

    def _unverified(
        self, error: RefusedError, headers: RawHeaders, request: RequestFacts
    ) -> Admission | Refusal:
        """Let whoever did not prove who they are through as nobody, where anybody may come."""
        policy = self._source.current
        if policy.public and error.reason is not Reason.SIGNATURE_REMOVED:
            decision = policy.decide(ANONYMOUS, request, self._verifier.now())
            if decision.granted:
                _log.info("admitted as anonymous: %s", error)
                return Admission(ANONYMOUS, forward_anonymous(headers), decision)
        return self._refuse(error, request)

    def _refuse(self, error: RefusedError, request: RequestFacts) -> Refusal:
        refusal = self._style(error, request.sent_path)
        log_refusal(refusal, request)
        return refusal


_Note = tuple[Policy, Decision]


def _no_credential() -> CredentialError:
    return CredentialError(
        Reason.NO_CREDENTIAL, "the request was not authenticated: it carries no credential"
    )


def _exemptions(exempt: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    # One text is an iterable of texts: it is wrapped, so that it is shown whole.
    pairs: list[tuple[str, str]] = [] if isinstance(exempt, str) else list(exempt)
    wrong = (
        exempt if isinstance(exempt, str) else next((pair for pair in pairs if not _is_exemption(pair)), None)
    )
    if wrong is not None or None in pairs:
        raise ConfigurationError(
            f"exempt={wrong!r} must be pairs of a method in capitals and a path from its '/' on: "
            '[("GET", "/healthz")]'
        )
    return frozenset(pairs)


def _is_exemption(pair: object) -> bool:
    match pair:
        case (str(method), str(path)):
            return isinstance(pair, tuple) and method == method.upper() and path.startswith("/")
        case _:
            return False


def _unread(headers: RawHeaders) -> Admission:
    """Let an exempt request through: nothing of it is parsed, and nobody is behind it."""
    return Admission(ANONYMOUS, forward_anonymous(headers), Decision(granted=True))
