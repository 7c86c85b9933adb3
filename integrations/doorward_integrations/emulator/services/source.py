"""The policy of a service in the emulator, as a source of policies for a door: of its process or another."""

from __future__ import annotations

import http.client
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Unpack
from urllib.parse import urlencode

from doorward.errors import ConfigurationError, PolicyError
from doorward.forks import renew_in_children
from doorward.issuers.google import EMULATOR_VARIABLE, emulator_in_environment
from doorward.keys.flight import Flight
from doorward.keys.state import KeyState
from doorward.policy.documents.bindings import BindingReader, PolicySettings
from doorward.policy.iam import InvokerPolicy
from doorward.policy.membership.groups import Unresolved
from doorward.policy.source import Policy
from doorward.policy.watching.held import UndecidedPolicy
from doorward.strictjson import StrictJSONError, read_object, thaw
from doorward.tokens.principal import Principal
from doorward_integrations.emulator.interface import CONTROL_HEADER, CONTROL_VALUE, FOLLOW_PATH
from doorward_integrations.emulator.services.following import LONGEST_POLL
from doorward_integrations.emulator.services.names import service_name
from doorward_integrations.emulator.services.store import PolicyStore, StoredPolicy

__all__ = ["EmulatedPolicy", "ServicePolicy"]

_PAUSE: Final = 0.5  # seconds after a failure for which the emulator is not asked again
_LARGEST: Final = 1024 * 1024
_UNANSWERED: Final = 5.0  # seconds beyond the longest poll after which the emulator counts as gone


def _not_known(group: str, _principal: Principal) -> Unresolved:
    return Unresolved(f"the members of {group} are not known: pass groups= with the policy")


def _read(document: Mapping[str, Any], settings: PolicySettings) -> Policy:
    """Make the policy of a document: one that cannot be used decides nothing, and says why."""
    try:
        with_groups: PolicySettings = {**settings, "groups": settings.get("groups") or _not_known}
        return InvokerPolicy.from_dict(document, **with_groups)
    except PolicyError as error:
        return UndecidedPolicy(public=False, why=f"the policy cannot be used: {error}", pending=None)


class ServicePolicy:
    """The policy of a service in an emulator of this process; a change decides the very next request."""

    def __init__(self, store: PolicyStore, service: str, settings: PolicySettings) -> None:
        """Follow a service.

        Args:
            store: The policies.
            service: The name of the service, or of a function.
            settings: For `InvokerPolicy.from_dict`.

        Raises:
            ConfigurationError: If it is no such name, or a setting is not usable.
        """
        BindingReader(settings)  # checks them
        self._store: Final = store
        self._service: Final = service_name(service)
        self._settings: Final = settings
        self._read: tuple[StoredPolicy, Policy] | None = None

    @property
    def current(self) -> Policy:
        """The policy that is in force now."""
        read, stored = self._read, self._store.get(self._service)
        if read is None or read[0] is not stored:
            # One reference; two threads may do the same work.
            read = self._read = (stored, _read(stored.document, self._settings))
        return read[1]

    def __repr__(self) -> str:
        """Show the service."""
        return f"ServicePolicy({self._service!r})"


class EmulatedPolicy:
    """The policy of a service in an emulator that runs in another process of this machine.

    ::

        door = Door(verifier, EmulatedPolicy("projects/demo/locations/europe-west1/services/orders"))

    It is fetched on the first request, and followed from then on: once ``setIamPolicy`` has returned, this
    door decides by the new policy. While the emulator is away nothing is granted, and the door answers 503.
    """

    def __init__(self, service: str, *, host: str | None = None, **settings: Unpack[PolicySettings]) -> None:
        """Name the service; nothing is fetched yet.

        Args:
            service: The name of the service, ``projects/PROJECT/locations/LOCATION/services/SERVICE``, or of
                a function.
            host: The emulator's ``HOST:PORT``, of this machine; what ``DOORWARD_EMULATOR_HOST`` names by
                default.
            **settings: For `InvokerPolicy.from_dict`. A group whose members are not given is undecided (503).

        Raises:
            ConfigurationError: If the name or a setting is not usable, if there is no emulator, or on Cloud
                Run.
        """
        BindingReader(settings)  # checks them
        self._service: Final = service_name(service)
        self._settings: Final = settings
        named = emulator_in_environment(
            os.environ if host is None else {**os.environ, EMULATOR_VARIABLE: host}
        )
        if named is None:
            raise ConfigurationError(
                f"an EmulatedPolicy follows an emulator: start one, and set {EMULATOR_VARIABLE}=HOST:PORT to "
                "where it listens"
            )
        self._host: Final = named
        self._begin()
        renew_in_children(self, EmulatedPolicy._begin)

    def _begin(self) -> None:
        """Begin without a connection: that of a parent process is not its child's."""
        self._lock = threading.Lock()
        self._id: str = secrets.token_hex(16)
        self._held: Policy | None = None
        self._flight: Flight | None = None
        self._error: str | None = None
        self._retry_at = 0.0
        self._count = 0

    @property
    def current(self) -> Policy:
        """The policy that is in force now; waits for nothing."""
        held = self._held
        if held is not None:
            return held
        with self._lock:
            held, flight, error = self._held, self._flight, self._error
            if held is None and (flight is None or flight.finished) and time.monotonic() >= self._retry_at:
                self._count += 1
                flight = self._flight = Flight(self._count, time.monotonic(), "asked")
                flight.start(self._connect)
        if held is not None:
            return held
        if flight is not None and not flight.finished:
            return UndecidedPolicy(public=True, why="the emulator is being asked", pending=flight)
        # A flight that has just landed is seen by the next reading.
        return self._held or UndecidedPolicy(
            public=False, why=f"the emulator at {self._host} is away: {error}", pending=None
        )

    @property
    def state(self) -> KeyState:
        """``fresh`` while it follows, ``empty`` before the first request, else ``dead``."""
        if self._held is not None:
            return KeyState.FRESH
        return KeyState.EMPTY if self._error is None else KeyState.DEAD

    @property
    def ready(self) -> bool:
        """Whether requests can be decided now; for a readiness probe, which has it connect."""
        return not isinstance(self.current, UndecidedPolicy)

    @property
    def last_error(self) -> str | None:
        """Why the emulator is away; None if it is not."""
        return None if self._held is not None else self._error

    def __repr__(self) -> str:
        """Show the service, the emulator and the state."""
        return f"EmulatedPolicy({self._service!r}, host={self._host!r}, state={self.state})"

    # In the thread of a flight.

    def _connect(self, flight: Flight) -> Callable[[], None] | None:
        """Fetch the policy; return what follows it, in the same thread, once the waiters were woken."""
        connection = http.client.HTTPConnection(self._host, timeout=LONGEST_POLL + _UNANSWERED)
        seen = self._poll(flight, connection, -1)
        return None if seen is None else lambda: self._follow(flight, connection, seen)

    def _follow(self, flight: Flight, connection: http.client.HTTPConnection, seen: int) -> None:
        threading.current_thread().name = "doorward-emulated-policy"
        number: int | None = seen
        while number is not None:
            number = self._poll(flight, connection, number)

    def _poll(self, flight: Flight, connection: http.client.HTTPConnection, seen: int) -> int | None:
        """Ask for the next policy, and take it.

        Returns:
            Its number; None if the emulator is away. Then nothing is held any more.
        """
        asked = {"service": self._service, "follower": self._id, "seen": seen}
        try:
            headers = {CONTROL_HEADER: CONTROL_VALUE}
            connection.request("GET", f"{FOLLOW_PATH}?{urlencode(asked)}", headers=headers)
            response = connection.getresponse()
            body = response.read(_LARGEST)
            if response.status == http.HTTPStatus.NO_CONTENT:
                return seen
            if response.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"it answered with status {response.status}")  # noqa: TRY301
            answer = read_object(body)
            number, document = answer.get("number"), thaw(answer.get("policy"))
            if type(number) is not int or not isinstance(document, dict):
                raise StrictJSONError("it is no answer of an emulator")  # noqa: TRY301
            self._held = _read(document, self._settings)
        except (OSError, http.client.HTTPException, StrictJSONError) as error:
            self._lose(flight, connection, str(error) or type(error).__name__)
            return None
        return number

    def _lose(self, flight: Flight, connection: http.client.HTTPConnection, why: str) -> None:
        connection.close()
        with self._lock:
            if self._flight is flight:
                self._held, self._flight = None, None
                self._error, self._retry_at = why, time.monotonic() + _PAUSE
