"""The policies of services: read without a lock, set one at a time, and kept in a file on request."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.forks import renew_in_children
from doorward_integrations.emulator.google_errors import GoogleError
from doorward_integrations.emulator.services.documents import (
    UNSET_ETAG,
    check_policy,
    etag_of,
    is_conditional,
)
from doorward_integrations.emulator.state_file import StateError, StateFile

__all__ = ["DEFAULT_MASK", "PolicyStore", "StoredPolicy"]

DEFAULT_MASK: Final = frozenset({"bindings", "etag"})
"""What a policy that is set replaces, where the request has no ``updateMask``."""

_MASKS: Final = DEFAULT_MASK | {"auditConfigs", "version"}
_ETAG_BEGINS: Final = b"\x07"
_ETAG_BYTES: Final = 7
_MICROSECONDS: Final = 1_000_000
_CONDITIONAL: Final = 3


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """One policy of one service, as it was set; replaced whole.

    Attributes:
        number: Grows with every policy that is set, whatever the clock does; 0 if none was.
        document: The policy without its etag; nothing in it is ever changed.
    """

    number: int
    document: Mapping[str, Any]

    @property
    def etag(self) -> str:
        """Its etag, in base64: as Google's, a byte and microseconds since the epoch."""
        if not self.number:
            return UNSET_ETAG
        return base64.b64encode(_ETAG_BEGINS + self.number.to_bytes(_ETAG_BYTES)).decode("ascii")


_UNSET: Final = StoredPolicy(0, {})


class PolicyStore:
    """Holds the policy of each service. Safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.time, file: StateFile | None = None) -> None:
        """Read what is in the file.

        Args:
            clock: Returns the time in seconds since the epoch, for etags.
            file: Where the policies are kept; None to keep them in memory only.

        Raises:
            ConfigurationError: If the file cannot be read, or holds anything else.
        """
        self._clock: Final = clock
        self._file: Final = file
        self._held: Mapping[str, StoredPolicy] = {} if file is None else _read(file)
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._begin()
        renew_in_children(self, PolicyStore._begin)

    def _begin(self) -> None:
        # Held while the file is written: what is set next must be compared with what was kept. Readers do
        # not take it.
        self._lock = threading.Lock()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a function called after each change, in the thread that made it.

        Args:
            listener: The function; it must return at once.
        """
        self._listeners = (*self._listeners, listener)

    def names(self) -> list[str]:
        """Return the services whose policy was set, sorted."""
        return sorted(self._held)

    def get(self, service: str) -> StoredPolicy:
        """Return the policy of a service.

        Args:
            service: The name of the service.

        Returns:
            Its policy; an empty one if none was set.
        """
        return self._held.get(service, _UNSET)

    def set(self, service: str, given: object, mask: Collection[str] = DEFAULT_MASK) -> StoredPolicy:
        """Replace the policy of a service.

        Args:
            service: The name of the service.
            given: The policy. If it has an etag, that must be the one of the policy that is in force.
            mask: The members of the policy to replace; the version follows from the bindings.

        Returns:
            The policy that is in force now.

        Raises:
            GoogleError: INVALID_ARGUMENT if IAM would refuse the policy, ABORTED if another one was set
                meanwhile, INTERNAL if it could not be kept. Then the policy before is in force.
        """
        document = check_policy(given)
        if unknown := set(mask) - _MASKS:
            raise GoogleError("INVALID_ARGUMENT", f"Invalid value at 'update_mask': {sorted(unknown)}")
        etag = etag_of(document)
        with self._lock:
            before = self.get(service)
            if etag is not None:
                _check_etag(etag, before, document)
            number = max(before.number, self._latest, int(self._clock() * _MICROSECONDS) - 1) + 1
            stored = StoredPolicy(number, _merged(before.document, document, mask))
            held = {**self._held, service: stored}
            self._keep(held)
            self._held = held  # one reference: a reader sees all of it or nothing
        for listener in self._listeners:
            listener()
        return stored

    @property
    def _latest(self) -> int:
        return max((stored.number for stored in self._held.values()), default=0)

    def _keep(self, held: Mapping[str, StoredPolicy]) -> None:
        if self._file is None:
            return
        policies = {name: {**one.document, "etag": one.etag} for name, one in held.items()}
        try:
            self._file.write({"policies": policies})
        except StateError as error:
            raise GoogleError(
                "INTERNAL", f"The policy was not set, and the one before is in force: {error.message}"
            ) from error


def _check_etag(etag: bytes, before: StoredPolicy, document: Mapping[str, Any]) -> None:
    if etag != base64.b64decode(before.etag):
        raise GoogleError(
            "ABORTED",
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
            "backoff.",
        )
    # Without an etag, IAM lets a policy without conditions take the place of one that has some.
    if is_conditional(before.document) and document.get("version") != _CONDITIONAL:
        raise GoogleError(
            "INVALID_ARGUMENT",
            "The policy in force has a binding with a condition: set 'version' to 3 to change it",
        )


def _merged(before: Mapping[str, Any], given: Mapping[str, Any], mask: Collection[str]) -> dict[str, Any]:
    merged = {
        name: value
        for name in ("auditConfigs", "bindings")
        if (value := (given if name in mask else before).get(name))
    }
    return merged | {"version": _CONDITIONAL if is_conditional(merged) else 1}


def _read(file: StateFile) -> dict[str, StoredPolicy]:
    policies = file.read().get("policies", {})
    if not isinstance(policies, dict):
        raise file.unusable("'policies' is no object")
    held: dict[str, StoredPolicy] = {}
    for name, written in policies.items():
        try:
            document = check_policy(written)
            etag = etag_of(document) or b""
        except GoogleError as error:
            raise file.unusable(f"the policy of {name!r}: {error.message}") from None
        if len(etag) != len(_ETAG_BEGINS) + _ETAG_BYTES:
            raise file.unusable(f"the policy of {name!r} has no etag of the emulator's")
        held[name] = StoredPolicy(int.from_bytes(etag[len(_ETAG_BEGINS) :]), _merged({}, document, _MASKS))
    return held
