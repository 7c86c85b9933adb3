"""The door: the whole decision for one request, in one place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from doorward.door.credentials import Credential, RawHeaders, find_credential
from doorward.door.forwarding import forward_admitted, forward_anonymous
from doorward.door.refusal import Refusal, RefusalStyle, cloud_run
from doorward.errors import ConfigurationError, CredentialError, PermissionDeniedError, Reason, RefusedError
from doorward.policy.iam import Decision
from doorward.tokens.memo import Verified
from doorward.tokens.principal import ANONYMOUS, Principal
from doorward.tokens.verifier import Verifier

__all__ = ["Admission", "Door", "Policy"]

_log = logging.getLogger("doorward.door")


class Policy(Protocol):
    """Whatever can say whether a principal may invoke; `InvokerPolicy` is the one that ships."""

    @property
    def public(self) -> bool:
        """Whether everybody is admitted, credential or not."""
        ...

    def decide(self, principal: Principal, /) -> Decision:
        """Say whether a principal may invoke; the same answer for the same principal, always.

        Args:
            principal: The verified caller.

        Returns:
            The decision.
        """
        ...


@dataclass(frozen=True, slots=True)
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

    def __init__(self, verifier: Verifier, policy: Policy, *, style: RefusalStyle = cloud_run) -> None:
        """Put a policy behind a verifier.

        Args:
            verifier: Says who is calling.
            policy: Says whether they may.
            style: How refusals are answered: `cloud_run`, `problem_details`, or one of your own.

        Raises:
            ConfigurationError: If either is missing or something else.
        """
        if not isinstance(verifier, Verifier):
            raise ConfigurationError(
                f"a door needs a Verifier, not {type(verifier).__name__}: Door(Verifier(...), policy)"
            )
        if not callable(getattr(policy, "decide", None)) or not isinstance(
            getattr(policy, "public", None), bool
        ):
            raise ConfigurationError(
                "a door needs a policy: InvokerPolicy.from_file(...), or "
                "InvokerPolicy.all_authenticated_users() if any Google account in the world may invoke"
            )
        self._verifier: Final = verifier
        self._policy: Final = policy
        self._style: Final = style

    @property
    def verifier(self) -> Verifier:
        """The verifier behind the door."""
        return self._verifier

    def admit(self, headers: RawHeaders, path: str = "/") -> Admission | Refusal:
        """Decide on a request.

        Args:
            headers: All its headers, names in lower case.
            path: Its path as sent, without the query; it is shown in a refusal.

        Returns:
            An admission, or a refusal with the answer to give. Hostile input never raises.
        """
        try:
            credential = find_credential(headers)
            verified = self._verifier.check(credential.token) if credential is not None else None
            return self._decide(headers, credential, verified)
        except RefusedError as error:
            return self._refuse(error, headers, path)

    async def aadmit(self, headers: RawHeaders, path: str = "/") -> Admission | Refusal:
        """Do as `admit` does, waiting for a fetch without blocking the event loop.

        Args:
            headers: All its headers, names in lower case.
            path: Its path as sent, without the query.

        Returns:
            As `admit`.
        """
        try:
            credential = find_credential(headers)
            verified = await self._verifier.acheck(credential.token) if credential is not None else None
            return self._decide(headers, credential, verified)
        except RefusedError as error:
            return self._refuse(error, headers, path)

    def _decide(
        self, headers: RawHeaders, credential: Credential | None, verified: Verified | None
    ) -> Admission:
        """Ask the policy, or remember what it said of this token."""
        if credential is None or verified is None:
            if self._policy.public:
                return Admission(ANONYMOUS, forward_anonymous(headers), self._policy.decide(ANONYMOUS))
            raise CredentialError(
                Reason.NO_CREDENTIAL, "the request was not authenticated: it carries no credential"
            )
        note: tuple[Door, Decision] | None = verified.note
        if note is not None and note[0] is self:
            decision = note[1]
        else:
            decision = self._policy.decide(verified.principal)
            verified.note = (self, decision)
        if not decision.granted:
            raise PermissionDeniedError(f"{verified.principal} does not hold run.routes.invoke")
        return Admission(verified.principal, forward_admitted(headers, credential.position), decision)

    def _refuse(self, error: RefusedError, headers: RawHeaders, path: str) -> Admission | Refusal:
        """Answer, or let an unverified caller through as nobody where everybody may come."""
        if self._policy.public and error.reason is not Reason.SIGNATURE_REMOVED:
            _log.info("admitted as anonymous: %s", error)
            return Admission(ANONYMOUS, forward_anonymous(headers), self._policy.decide(ANONYMOUS))
        refusal = self._style(error, path)
        _log.warning("refused with %d: %s", refusal.status, error)
        return refusal
