"""The door: the whole decision for one request, in one place."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from doorward.door.credentials import (
    CredentialHeaders,
    FindCredential,
    RawHeaders,
    explain_no_token,
    find_credential,
)
from doorward.door.events import Decided, DoorListener, report
from doorward.door.exemptions import Exemptions, is_exempt, read_exemptions
from doorward.door.forwarding import Forwarding, without_signature
from doorward.door.log import DoorLog
from doorward.door.refusal import Refusal, RefusalStyle, cloud_run
from doorward.errors import (
    ConfigurationError,
    CredentialError,
    KeysUnavailableError,
    PermissionDeniedError,
    Reason,
    RefusedError,
)
from doorward.keys.waiting import BLOCKING, IN_LOOP, Waits, run_blocking
from doorward.policy.decision import Decision
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.roles import INVOKE
from doorward.policy.source import FixedPolicy, Policy, PolicySource, decide_every_reading
from doorward.tokens.engine import NeedsKey
from doorward.tokens.principal import ANONYMOUS, NO_ADDRESS, Principal
from doorward.tokens.token_cache import VerifiedToken
from doorward.tokens.verifier import Verifier, engine_of

__all__ = ["Admission", "Door"]

# A token without its signature shows that another check is in front; a path that cannot be read is not
# decided on.
_NEVER_ANONYMOUS: Final = frozenset({Reason.SIGNATURE_REMOVED, Reason.UNREADABLE_PATH})

_PATIENCE: Final = 3.0  # seconds that a request waits at most for what its policy must look up
_EXEMPT: Final = Decision(granted=True)


@dataclass(slots=True)  # made for each request: to seal it would take longer than to make it
class Admission:
    """A request that is admitted.

    Attributes:
        principal: The caller; anonymous where the policy admits everyone and no caller was verified.
        headers: The headers for the application, in the order they came.
        decision: What the policy granted it by.
    """

    principal: Principal
    headers: list[tuple[bytes, bytes]]
    decision: Decision


@final
class _Paused(NamedTuple):
    """A decision that has to wait: for a key, or for what the policy must look up."""

    position: int
    token: bytes
    found: VerifiedToken | NeedsKey


class Door:
    """Decides on requests: it admits, or it refuses.

    One door serves any number of threads and event loops. Every adapter asks it, and decides nothing itself.

    Args:
        verifier: Verifies the token of a request.
        policy: Decides whether its principal may invoke; or a source of policies, such as a watched file.
        credential: Where a request carries its credential: as Cloud Run looks for it, or
            `find_iap_assertion`.
        exempt: Pairs of method and path that are admitted unread, such as ``("GET", "/healthz")`` or a
            preflight's ``("OPTIONS", "/orders")``. Compared exactly, with every reading of the path: ``HEAD``
            and a slash at the end are pairs of their own, and so is a websocket, ``("WEBSOCKET", "/live")``.
            Cloud Run exempts nothing.
        style: How refusals are answered: `cloud_run`, `problem_details`, or one of your own.
        listener: Receives every decision (`doorward.door.events`), such as a counter of metrics. With one,
            each decision takes the full way, since the shortest reports nothing.
        log: Logs refusals, within a limit; one with other settings, or that several doors share.

    Raises:
        ConfigurationError: If either is missing or something else, or an exemption is not a pair.
    """

    def admit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        """Decide on a request.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.

        Returns:
            An admission, or a refusal with the answer to give. Hostile input never raises.
        """
        decided = self._start(headers, request)
        if type(decided) is _Paused:
            decided = run_blocking(self._resume(decided, headers, request, BLOCKING))
        return decided if self._listener is None else self._report(decided)

    async def aadmit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        """Decide on a request, waiting for a fetch without blocking the event loop.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.

        Returns:
            As `admit`.
        """
        decided = self._start(headers, request)
        if type(decided) is _Paused:
            decided = await self._resume(decided, headers, request, IN_LOOP)
        return decided if self._listener is None else self._report(decided)

    def admit_cached(self, headers: RawHeaders, method: str, path: str) -> Admission | None:
        """Admit a request at once, if all that decides on it is cached.

        The result is what `admit` would return, in the shortest way: one ordinary credential, whose token was
        verified before, and a policy that has granted it whatever the request.

        Args:
            headers: All its headers, names in lower case.
            method: Its method.
            path: Its decoded path.

        Returns:
            The admission; None if undecided: ask `admit` or `aadmit`.
        """
        position = -1
        watched = self._watched
        for index, (name, _) in enumerate(headers):
            if name in watched:
                if position >= 0 or name not in self._with_scheme:
                    return None
                position = index
        if position < 0 or not path.isascii() or (self._exempt and (method, path) in self._exempt):
            return None
        value = headers[position][1]
        if value[:7] != b"Bearer " or (verified := self._engine.find_cached(value[7:])) is None:
            return None
        kept: _Kept | None = verified.decision
        if kept is None or kept[0] is not self._source.current or not kept[1].granted:
            return None
        return Admission(verified.principal, without_signature(headers, position), kept[1])

    @property
    def verifier(self) -> Verifier:
        """The verifier behind the door."""
        return self._verifier

    @property
    def policy(self) -> Policy:
        """The policy that decides now."""
        return self._source.current

    @property
    def policy_source(self) -> PolicySource:
        """Where that policy comes from, such as a watched file."""
        return self._source

    @property
    def credential(self) -> FindCredential:
        """Finds the credential of a request."""
        return self._credential

    def __init__(
        self,
        verifier: Verifier,
        policy: Policy | PolicySource,
        *,
        credential: FindCredential = find_credential,
        exempt: Iterable[tuple[str, str]] = (),
        style: RefusalStyle = cloud_run,
        listener: DoorListener | None = None,
        log: DoorLog | None = None,
    ) -> None:
        """Put a policy behind a verifier; see the class."""
        if not isinstance(verifier, Verifier):
            raise ConfigurationError(
                f"a door needs a Verifier, not {type(verifier).__name__}: Door(Verifier(...), policy)"
            )
        source = policy if isinstance(policy, PolicySource) else FixedPolicy(policy)
        current = source.current
        decides = callable(getattr(current, "decide", None))
        if not decides or not isinstance(getattr(current, "public", None), bool):
            raise ConfigurationError(
                "a door needs a policy: InvokerPolicy.from_file(...), or "
                "InvokerPolicy.all_authenticated_users() if any Google account in the world may invoke"
            )
        self._verifier: Final = verifier
        self._engine: Final = engine_of(verifier)
        self._source: Final[PolicySource] = source
        self._credential: Final = credential
        # The bound method is found in a shorter way than the method of an object that is called.
        self._find: Final[FindCredential] = (
            credential.__call__ if isinstance(credential, CredentialHeaders) else credential
        )
        self._forwarding: Final = Forwarding(credential)
        self._watched: Final = self._forwarding.watched
        # The headers that `admit_cached` reads: none where a listener wants to know of each decision.
        self._with_scheme: Final[tuple[bytes, ...]] = (
            credential.names
            if isinstance(credential, CredentialHeaders) and credential.scheme and listener is None
            else ()
        )
        self._exempt: Final[Exemptions] = read_exemptions(exempt)
        self._style: Final = style
        self._listener: Final = listener
        self._log: Final = DoorLog() if log is None else log

    def _start(self, headers: RawHeaders, request: RequestFacts) -> Admission | Refusal | _Paused:
        """Decide as far as that goes without waiting."""
        if self._exempt and is_exempt(self._exempt, request):
            # Nothing of an exempt request is parsed, and it has no principal.
            return Admission(ANONYMOUS, self._forwarding.anonymous(headers), _EXEMPT)
        token = b""
        try:
            if not request.path.isascii():
                _check_path(request)
            credential = self._find(headers)
            if credential is None:
                raise _no_credential()
            position, token = credential
            found = self._engine.start(token)
        except RefusedError as error:
            return self._not_verified(explain_no_token(token) or error, headers, request)
        if type(found) is NeedsKey:
            return _Paused(position, token, found)
        # The kept decision is reused for as long as the policy is the one that made it.
        kept: _Kept | None = found.decision
        if kept is not None and kept[0] is self._source.current:
            decision = kept[1]
        else:
            decision = self._ask_policy(found, request)
        if decision.granted:
            return Admission(found.principal, self._forwarding.admitted(headers, position), decision)
        if decision.pending is not None:
            return _Paused(position, token, found)
        return self._deny(decision, found.principal, request)

    async def _resume(
        self, paused: _Paused, headers: RawHeaders, request: RequestFacts, waits: Waits
    ) -> Admission | Refusal:
        """Go on with a decision that has to wait, in one of the two ways of waiting."""
        position, token, found = paused
        if isinstance(found, NeedsKey):
            try:
                found = await self._engine.finishing(found, waits)
            except RefusedError as error:
                return self._not_verified(explain_no_token(token) or error, headers, request)
        decision = self._ask_policy(found, request)
        until = time.monotonic() + _PATIENCE
        while decision.pending is not None and (left := until - time.monotonic()) > 0:
            await waits.flight(decision.pending, left)
            decision = self._ask_policy(found, request)
        if decision.granted:
            return Admission(found.principal, self._forwarding.admitted(headers, position), decision)
        return self._deny(decision, found.principal, request)

    def _ask_policy(self, verified: VerifiedToken, request: RequestFacts) -> Decision:
        """Ask the policy, and keep its decision with the token where it is the same for every request."""
        policy = self._source.current
        decision = decide_every_reading(policy, verified.principal, request, self._engine.clock())
        if decision.same_for_every_request:
            verified.decision = (policy, decision)
        return decision

    def _deny(self, decision: Decision, principal: Principal, request: RequestFacts) -> Refusal:
        """Refuse a verified caller, who never passes as an anonymous one."""
        if decision.unknown is not None:
            return self._refuse(KeysUnavailableError(decision.unknown), request)
        why = f" (denied by {decision.denied_by})" if decision.denied_by is not None else ""
        why += _disagreement(decision)
        if principal.google_account and principal.member is None:
            why += f"; {NO_ADDRESS}"
        permission = getattr(self._source.current, "permission", INVOKE)
        return self._refuse(PermissionDeniedError(f"{principal} does not hold {permission}{why}"), request)

    def _not_verified(
        self, error: RefusedError, headers: RawHeaders, request: RequestFacts
    ) -> Admission | Refusal:
        """Admit a request without a verified caller as anonymous, where the policy admits everyone."""
        policy = self._source.current
        if policy.public and error.reason not in _NEVER_ANONYMOUS:
            decision = decide_every_reading(policy, ANONYMOUS, request, self._engine.clock())
            if decision.granted:
                self._log.admitted_as_anonymous(error)
                return Admission(ANONYMOUS, self._forwarding.anonymous(headers), decision)
            error.message += _disagreement(decision)
        return self._refuse(error, request)

    def _refuse(self, error: RefusedError, request: RequestFacts) -> Refusal:
        # The frames of an error hold the token: nothing that leaves the door may lead to them.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        refusal = self._style(error, request.sent_path)
        self._log.refused(refusal, request)
        return refusal

    def _report(self, decided: Admission | Refusal) -> Admission | Refusal:
        """Report a decision to the listener, and return it."""
        assert self._listener is not None  # noqa: S101 - the callers have looked
        if isinstance(decided, Refusal):
            event = Decided("refused", decided.reason, decided.status)
        elif decided.decision is _EXEMPT:
            event = Decided("exempt")
        else:
            event = Decided("anonymous" if decided.principal is ANONYMOUS else "admitted")
        report(self._listener, event)
        return decided


_Kept = tuple[Policy, Decision]


def _no_credential() -> CredentialError:
    return CredentialError(
        Reason.NO_CREDENTIAL, "the request was not authenticated: it carries no credential"
    )


def _disagreement(decision: Decision) -> str:
    """Name the readings of the path, where they disagree."""
    if not decision.disagreed:
        return ""
    ways = (f"{way!r} {'would' if granted else 'would not'}" for way, granted in decision.disagreed)
    return f"; the path can be read in ways that disagree on what is granted: {', '.join(ways)}"


def _check_path(request: RequestFacts) -> None:
    if not request.readings:
        raise CredentialError(Reason.UNREADABLE_PATH, "the path of the request is not Unicode text")
