"""The door: the whole decision for one request, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Unpack, final

from doorward.door.admission import EXEMPT, Admission
from doorward.door.base import BaseDoor
from doorward.door.credentials import (
    CredentialHeaders,
    FindCredential,
    RawHeaders,
    explain_no_token,
    find_credential,
    names_with_scheme,
)
from doorward.door.end_user import EndUserSettings, read_end_users
from doorward.door.events import DoorListener, event_of, report
from doorward.door.exemptions import Exemptions, is_exempt, read_exemptions
from doorward.door.forwarding import Forwarding, forwarding_for, without_signature
from doorward.door.log import DoorLog
from doorward.door.refusal import Refusal, RefusalStyle, cloud_run
from doorward.door.wording import denied, no_credential, unreadable_path
from doorward.errors import ConfigurationError, PolicyUnavailableError, Reason, RefusedError
from doorward.keys.waiting import BLOCKING, IN_LOOP, Waits, run_blocking
from doorward.policy.decision import Decision
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.roles import INVOKE
from doorward.policy.source import Policy, PolicySource, decide_every_reading, source_of
from doorward.tokens.engine import NeedsKey
from doorward.tokens.principal import ANONYMOUS, Principal
from doorward.tokens.token_cache import VerifiedToken
from doorward.tokens.verifier import Verifier, engine_of

__all__ = ["Door"]

# A token without its signature shows that another check is in front; a path that cannot be read is not
# decided on.
_NEVER_ANONYMOUS: Final = frozenset({Reason.SIGNATURE_REMOVED, Reason.UNREADABLE_PATH})

_PATIENCE: Final = 3.0  # seconds that a request waits at most for what its policy must look up


@final
class _Paused(NamedTuple):
    """A decision that has to wait: for a key, or for what the policy must look up."""

    position: int
    token: bytes
    found: VerifiedToken | NeedsKey | RefusedError
    decision: Decision = Decision(granted=False)


class Door(BaseDoor):
    """Decides on the requests of one service: it admits, or it refuses.

    One door serves any number of threads and event loops. Every adapter asks it, and decides nothing itself.

    Args:
        verifier: Verifies the token of a request.
        policy: Decides whether its principal may invoke; or a source of policies, such as a watched file.
        credential: Where a request carries its credential: as Cloud Run looks for it, or
            `find_iap_assertion`.
        exempt: Pairs of method and path that are admitted unread, such as ``("GET", "/healthz")`` or, for all
            preflights, ``("OPTIONS", "/{path:path}")``; see `doorward.door.exemptions`. Cloud Run has none.
        style: How refusals are answered: `cloud_run`, `problem_details`, or one of your own.
        listener: Receives every decision (`doorward.door.events`), such as a counter of metrics. With one,
            each decision takes the full way, since the shortest reports nothing.
        log: Logs refusals, within a limit; one with other settings, or that several doors share.
        end_user: Verifies the token of the user on whose behalf a service calls, which it passes on in
            ``Authorization`` beside its own in ``X-Serverless-Authorization``; see `Admission.end_user`.
        end_user_callers: The members of IAM whose word on the user is taken; from all others a second token
            is neither believed nor passed on.
        end_user_credential: Where the user's token is, if not in ``Authorization``.
        end_user_required: Whether a request without an end user is refused.
        unsafe_invoker_check_is_on: Confirms that on Cloud Run its own invoker check stands in front and is
            on, as `UnsafeStrippedVerifier` needs it: there, tokens whose signature it has removed are read.
            Elsewhere nothing changes. The policy decides in both places.

    Attributes:
        style: How refusals are answered.
        forwarding: Which headers the application receives.
        end_user_verifier: Verifies the tokens of end users; None if this door does not look for them.

    Raises:
        ConfigurationError: If a setting is missing or cannot work.
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
        return decided if self._alone else run_blocking(self._finish(decided, headers, request, BLOCKING))

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
        return decided if self._alone else await self._finish(decided, headers, request, IN_LOOP)

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
    def clock(self) -> Callable[[], float]:
        """The clock by which it decides, in seconds since the epoch."""
        return self._engine.clock

    @property
    def leeway(self) -> float:
        """Seconds by which the clocks of an issuer and of this machine may differ."""
        return self._engine.leeway

    @property
    def parts(self) -> tuple[tuple[Verifier, PolicySource], ...]:
        """What decides: the verifier, and where the policy comes from."""
        return ((self._verifier, self._source),)

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
        unsafe_invoker_check_is_on: bool = False,
        **end_users: Unpack[EndUserSettings],
    ) -> None:
        """Put a policy behind a verifier; see the class."""
        super().__init__(style, listener, log)
        if not isinstance(verifier, Verifier):
            raise ConfigurationError(
                f"a door needs a Verifier, not {type(verifier).__name__}: Door(Verifier(...), policy)"
            )
        self._verifier: Final = verifier
        self._engine: Final = engine_of(verifier)
        self._source: Final = source_of(policy)
        self.credential: FindCredential = credential
        # The bound method is found in a shorter way than the method of an object that is called.
        self._find: FindCredential = (
            credential.__call__ if isinstance(credential, CredentialHeaders) else credential
        )
        self.end_user_verifier: Verifier | None = end_users.get("end_user")
        self._end_users: Final = read_end_users(credential, end_users)
        further = () if self._end_users is None else (self._end_users.header,)
        self.forwarding: Forwarding = forwarding_for(credential, further)
        self._watched: Final = self.forwarding.watched
        # Whether a decision on the caller is all: nothing is verified or reported besides.
        self._alone: Final = listener is None and self._end_users is None
        # The headers that `admit_cached` reads.
        self._with_scheme: Final = names_with_scheme(credential) if self._alone else ()
        # None for the engine's own start, whose method is called in a shorter way than what is kept of it.
        self._read: Callable[[bytes], VerifiedToken | NeedsKey] | None = None
        if unsafe_invoker_check_is_on is not False:
            from doorward.door.stripped import read_stripped  # noqa: PLC0415 - what few doors need

            self._find, self._read = read_stripped(verifier, credential, unsafe_invoker_check_is_on)
        self._exempt: Final[Exemptions] = read_exemptions(exempt)

    def _start(self, headers: RawHeaders, request: RequestFacts) -> Admission | Refusal | _Paused:
        """Decide as far as that goes without waiting."""
        if self._exempt and is_exempt(self._exempt, request):
            # Nothing of an exempt request is parsed, and it has no principal.
            return Admission(ANONYMOUS, self.forwarding.anonymous(headers), EXEMPT)
        token = b""
        try:
            if not request.path.isascii() and not request.readings:
                raise unreadable_path()
            credential = self._find(headers)
            if credential is None:
                raise no_credential()
            position, token = credential
            found = self._engine.start(token) if self._read is None else self._read(token)
        except RefusedError as error:
            return self._not_verified(explain_no_token(token) or error, headers, request)
        if type(found) is NeedsKey:
            return _Paused(position, token, found)
        kept: _Kept | None = found.decision  # as `_ask_policy`, in the shortest way
        if kept is not None and kept[0] is self._source.current and (decision := kept[1]).granted:
            return Admission(found.principal, self.forwarding.admitted(headers, position), decision)
        return self._decide(found, position, headers, request)

    async def _resume(
        self, paused: _Paused, headers: RawHeaders, request: RequestFacts, waits: Waits
    ) -> Admission | Refusal:
        """Go on with a decision that has to wait, in one of the two ways of waiting."""
        position, token, found, _ = paused
        if isinstance(found, NeedsKey):
            try:
                found = await self._engine.finishing(found, waits)
            except RefusedError as error:
                found = explain_no_token(token) or error
        until = time.monotonic() + _PATIENCE
        while type(decided := self._decide(found, position, headers, request)) is _Paused:
            pending, left = decided.decision.pending, until - time.monotonic()
            if pending is None or left <= 0:
                return self._deny(decided.decision, ANONYMOUS, request, headers)
            await waits.flight(pending, left)
        return decided

    def _decide(
        self, found: VerifiedToken | RefusedError, position: int, headers: RawHeaders, request: RequestFacts
    ) -> Admission | Refusal | _Paused:
        """Have the policy decide, once it is known whether the token is good."""
        if isinstance(found, RefusedError):
            return self._not_verified(found, headers, request)
        decision = self._ask_policy(found, request)
        if decision.granted:
            return Admission(found.principal, self.forwarding.admitted(headers, position), decision)
        if decision.pending is not None:
            return _Paused(position, b"", found, decision)
        return self._deny(decision, found.principal, request, headers)

    def _ask_policy(self, verified: VerifiedToken, request: RequestFacts) -> Decision:
        """Ask the policy, and keep its decision with the token where it is the same for every request."""
        policy = self._source.current
        kept: _Kept | None = verified.decision
        if kept is not None and kept[0] is policy:  # for as long as the policy is the one that made it
            return kept[1]
        decision = decide_every_reading(policy, verified.principal, request, self._engine.clock())
        if decision.same_for_every_request:
            verified.decision = (policy, decision)
        return decision

    def _deny(
        self, decision: Decision, principal: Principal, request: RequestFacts, headers: RawHeaders
    ) -> Refusal:
        """Refuse a verified caller, who never passes as an anonymous one."""
        if decision.unknown is not None:
            return self._refuse(PolicyUnavailableError(decision.unknown), request, headers)
        permission = getattr(self._source.current, "permission", INVOKE)
        return self._refuse(denied(principal, permission, decision), request, headers)

    def _not_verified(
        self, error: RefusedError, headers: RawHeaders, request: RequestFacts
    ) -> Admission | Refusal | _Paused:
        """Admit a request without a verified caller as anonymous, where the policy admits everyone."""
        policy = self._source.current
        if policy.public and error.reason not in _NEVER_ANONYMOUS:
            decision = decide_every_reading(policy, ANONYMOUS, request, self._engine.clock())
            if decision.granted:
                self._log.admitted_as_anonymous(error)
                return Admission(ANONYMOUS, self.forwarding.anonymous(headers), decision)
            if decision.unknown is not None:
                return _Paused(-1, b"", error, decision)
            error.message += decision.disagreement
        return self._refuse(error, request, headers)

    async def _finish(
        self, decided: Admission | Refusal, headers: RawHeaders, request: RequestFacts, waits: Waits
    ) -> Admission | Refusal:
        """Verify the end user, and report the decision, as far as this door does that."""
        if self._end_users is not None and isinstance(decided, Admission):
            try:
                if decided.decision is EXEMPT:
                    decided = self._end_users.withhold(decided)
                else:
                    decided = await self._end_users.add_to(decided, headers, waits)
            except RefusedError as error:
                decided = self._refuse(error, request, headers)
        if self._listener is not None:
            report(self._listener, event_of(decided))
        return decided


_Kept = tuple[Policy, Decision]
