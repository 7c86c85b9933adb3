"""What adapters ask: of the door of one service, and of one door that stands in front of many services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from doorward.door.admission import Admission
from doorward.door.credentials import FindCredential, RawHeaders
from doorward.door.events import DoorListener, event_of, report
from doorward.door.forwarding import Forwarding
from doorward.door.log import DoorLog
from doorward.door.refusal import Refusal, RefusalStyle
from doorward.errors import RefusedError
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.source import PolicySource
from doorward.tokens.verifier import Verifier

__all__ = ["BaseDoor"]


class BaseDoor(ABC):
    """Decides on requests: it admits, or it refuses.

    Attributes:
        style: How refusals are answered.
        credential: Finds the credential of a request.
        forwarding: Which headers the application receives.
        end_user_verifier: Verifies the tokens of end users; None if they are not looked for.
    """

    style: RefusalStyle
    credential: FindCredential
    forwarding: Forwarding
    end_user_verifier: Verifier | None

    def __init__(self, style: RefusalStyle, listener: DoorListener | None, log: DoorLog | None) -> None:
        """Take what refusals need.

        Args:
            style: How they are answered.
            listener: Receives every decision.
            log: Logs them.
        """
        self.style = style
        self._listener: Final = listener
        self._log: Final = DoorLog() if log is None else log

    @abstractmethod
    def admit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        """Decide on a request.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.

        Returns:
            An admission, or a refusal with the answer to give. Hostile input never raises.
        """

    @abstractmethod
    async def aadmit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:
        """Decide on a request, waiting for a fetch without blocking the event loop.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.

        Returns:
            As `admit`.
        """

    @abstractmethod
    def admit_cached(self, headers: RawHeaders, method: str, path: str) -> Admission | None:
        """Admit a request at once, if all that decides on it is cached.

        Args:
            headers: All its headers, names in lower case.
            method: Its method.
            path: Its decoded path.

        Returns:
            The admission; None if undecided: ask `admit` or `aadmit`.
        """

    @property
    @abstractmethod
    def clock(self) -> Callable[[], float]:
        """The clock by which it decides, in seconds since the epoch."""

    @property
    @abstractmethod
    def leeway(self) -> float:
        """Seconds by which the clocks of an issuer and of this machine may differ."""

    @property
    @abstractmethod
    def parts(self) -> tuple[tuple[Verifier, PolicySource], ...]:
        """What decides for each service: the verifier, and where the policy comes from."""

    def refuse(
        self, error: RefusedError, request: RequestFacts = ANYWHERE, headers: RawHeaders = ()
    ) -> Refusal:
        """Refuse a request that was admitted and that a rule of the application turns away.

        It is answered in the style of this door, and logged and reported as its other refusals.

        Args:
            error: Why.
            request: What is known of the request.
            headers: Its headers, names in lower case; the log reads its trace from them.

        Returns:
            The answer to give.
        """
        refusal = self._refuse(error, request, headers)
        if self._listener is not None:
            report(self._listener, event_of(refusal))
        return refusal

    def _refuse(self, error: RefusedError, request: RequestFacts, headers: RawHeaders) -> Refusal:
        # The frames of an error hold the token: nothing that leaves the door may lead to them.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        refusal = self.style(error, request.sent_path)
        self._log.refused(refusal, request, headers)
        return refusal
