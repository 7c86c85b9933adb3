"""The door of the gateway: the one that it was given, with a note of each decision in the access log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from doorward import Admission, Refusal, Verifier
from doorward.door.base import BaseDoor
from doorward.door.credentials import FindCredential, RawHeaders
from doorward.door.forwarding import Forwarding
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.source import PolicySource
from doorward.services.services import Services
from doorward_integrations.gateway.record import Record, current

__all__ = ["RecordingDoor"]


class RecordingDoor(BaseDoor):
    """Has another door decide. Of several services, it finds the one of a request once.

    A second look for where to send it could find another service, if one was put or removed in between.
    """

    def __init__(self, door: BaseDoor) -> None:
        """Stand before a door.

        Args:
            door: A door, or `Services`.
        """
        # Refusals are made, and logged, by that door.
        super().__init__(door.style, None, None)
        self.credential: FindCredential = door.credential
        self.forwarding: Forwarding = door.forwarding
        self.end_user_verifier: Verifier | None = door.end_user_verifier
        self._all: Final = door
        self._services: Final = door if isinstance(door, Services) else None

    def admit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:  # noqa: D102
        record = current.get(None) or Record()
        return _note(record, self._find(record, headers, request).admit(headers, request))

    async def aadmit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:  # noqa: D102
        record = current.get(None) or Record()
        return _note(record, await self._find(record, headers, request).aadmit(headers, request))

    def admit_cached(self, headers: RawHeaders, method: str, path: str) -> Admission | None:  # noqa: D102 - above
        if self._services is not None:
            return None  # which service it was would not be known
        admission = self._all.admit_cached(headers, method, path)
        if admission is not None and (record := current.get(None)) is not None:
            record.member = str(admission.principal)
        return admission

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the door, in seconds since the epoch."""
        return self._all.clock

    @property
    def leeway(self) -> float:
        """Seconds by which clocks may differ."""
        return self._all.leeway

    @property
    def parts(self) -> tuple[tuple[Verifier, PolicySource], ...]:
        """What decides for each service."""
        return self._all.parts

    def _find(self, record: Record, headers: RawHeaders, request: RequestFacts) -> BaseDoor:
        services = self._services
        if services is None:
            return self._all
        name = services.find(headers, request)
        door = None if name is None else services.door(name)
        if name is None or door is None:
            return services  # which refuses it, or has it exempt
        record.service = name
        return door


def _note(record: Record, decided: Admission | Refusal) -> Admission | Refusal:
    if isinstance(decided, Refusal):
        record.reason, record.error = str(decided.reason), decided.error.message
    else:
        record.member = str(decided.principal)
    return decided
