"""One door in front of many services, each with its audiences and its policy.

For backends that hold the services of many users, such as emulators, and for gateways: services are put,
changed and removed while requests are decided on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypedDict, Unpack, cast

from doorward.audiences.audience import Audience
from doorward.door.admission import EXEMPT, Admission
from doorward.door.base import BaseDoor
from doorward.door.credentials import FindCredential, RawHeaders
from doorward.door.door import Door
from doorward.door.end_user import EndUserSettings
from doorward.door.events import DoorListener, event_of, report
from doorward.door.exemptions import Exemptions, is_exempt, read_exemptions
from doorward.door.forwarding import Forwarding
from doorward.door.log import DoorLog
from doorward.door.refusal import Refusal, RefusalStyle, cloud_run
from doorward.errors import ConfigurationError, UnknownServiceError
from doorward.forks import renew_in_children
from doorward.issuers.google import GOOGLE, in_environment
from doorward.issuers.issuer import Issuer
from doorward.keys.cache import KeyCache
from doorward.keys.source import KeySource
from doorward.policy.decision import Decision
from doorward.policy.request import ANYWHERE, RequestFacts
from doorward.policy.source import Policy, PolicySource
from doorward.services.routes import Routes, ServiceRoute
from doorward.shown import quoted
from doorward.tokens.principal import ANONYMOUS, Principal
from doorward.tokens.token_cache import TokenCache
from doorward.tokens.verifier import Verifier

__all__ = ["DoorSettings", "Services", "VerifierSettings"]

_LONGEST_NAME: Final = 1_024

_Audience = str | Audience | Iterable[str | Audience] | None


class VerifierSettings(TypedDict, total=False):
    """What `Verifier` takes besides its audience and its caches, the same for every service."""

    issuers: Iterable[Issuer]
    accept_gcloud_tokens: bool
    leeway: float
    max_token_bytes: int
    clock: Callable[[], float]


class DoorSettings(EndUserSettings, total=False):
    """What `Door` takes besides its verifier and its policy, the same for every service."""

    credential: FindCredential
    exempt: Iterable[tuple[str, str]]
    style: RefusalStyle
    listener: DoorListener | None
    log: DoorLog | None


class _Settings(VerifierSettings, DoorSettings, total=False):
    key_cache: Callable[[Issuer], KeySource]


@dataclass(frozen=True, slots=True)
class _Service:
    route: ServiceRoute
    audience: _Audience
    door: Door


class Services(BaseDoor):
    """The doors of many services, as one: each request is decided on by the door of its service.

    It stands wherever a `Door` may stand: every adapter takes it. A request that is for none of the services
    is refused with 404. All services share the key caches of their issuers, and the bound on verified tokens
    that are cached; a token that one service has accepted is verified anew by another.

    Args:
        token_cache_size: How many verified tokens are cached at most, of all services together.
        settings: Everything else that `Verifier` and `Door` take, once for all services. ``exempt`` names
            paths of every service, and of hosts that no service has.

    Raises:
        ConfigurationError: If a setting cannot work.

    Example:
        ``services.put("orders", audience=URL, policy=policy, hosts=["orders-1.europe-west1.run.app"])``
    """

    def __init__(self, *, token_cache_size: int = 8192, **settings: Unpack[_Settings]) -> None:
        """Begin without services; see the class."""
        if token_cache_size < 0:
            raise ConfigurationError("token_cache_size must be at least 0, which turns the cache off")
        self._token_cache: Final = TokenCache(token_cache_size) if token_cache_size else None
        self._key_sources: Final[dict[Issuer, KeySource]] = {}
        self._make_key_source: Final = settings.get("key_cache")
        given = {name: value for name, value in settings.items() if name != "key_cache"}
        of_verifier = VerifierSettings.__annotations__.keys()
        self._verifier: Final = cast(
            "VerifierSettings",
            {name: value for name, value in given.items() if name in of_verifier}
            | {"issuers": _here(settings.get("issuers", (GOOGLE,)))},
        )
        log = DoorLog() if (own := settings.get("log")) is None else own
        self._door: Final = cast(
            "DoorSettings",
            {name: value for name, value in given.items() if name not in of_verifier} | {"log": log},
        )
        super().__init__(settings.get("style", cloud_run), settings.get("listener"), log)
        self._exempt: Final[Exemptions] = read_exemptions(settings.get("exempt", ()))
        # A door that decides on nothing: it checks the settings now, and holds what all doors have in common.
        self._common: Final = Door(self._make_verifier("https://no-service.invalid"), _NONE, **self._door)
        self.credential: FindCredential = self._common.credential
        self.forwarding: Forwarding = self._common.forwarding
        self.end_user_verifier: Verifier | None = self._common.end_user_verifier
        self._routes: Final = Routes()
        self._services: Final[dict[str, _Service]] = {}
        self._lock = threading.Lock()
        renew_in_children(self, Services._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    # The services.

    def put(
        self,
        name: str,
        *,
        audience: _Audience,
        policy: Policy | PolicySource,
        hosts: Iterable[str] = (),
        prefix: str = "",
    ) -> Door:
        """Add a service, or change the one of that name; requests are decided on by it from then on.

        Args:
            name: Its name, such as ``projects/my-project/locations/europe-west1/services/orders``.
            audience: As for `Verifier`. Its verified tokens stay cached if it is the same as before.
            policy: As for `Door`.
            hosts: The hosts of its URLs, without scheme and port. Of a host under ``run.app``, the URLs of
                its tagged revisions, ``TAG---HOST``, lead to it too.
            prefix: What its paths begin with, such as ``/orders``, in whole segments. Of several services at
                one host, the one with the longest prefix is found.

        Returns:
            Its door.

        Raises:
            ConfigurationError: If it has neither a host nor a prefix, another service has both the same, or
                the audience or the policy cannot work. Then nothing has changed.
        """
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            raise ConfigurationError(f"the name of a service must be a text, not {quoted(name)}")
        route = ServiceRoute.read(hosts, prefix)
        with self._lock:
            before = self._services.get(name)
            if before is not None and before.audience == audience:
                verifier = before.door.verifier
            else:
                verifier = self._make_verifier(audience)
            door = Door(verifier, policy, **self._door)
            self._routes.put(name, route)
            self._services[name] = _Service(route, audience, door)
        return door

    def remove(self, name: str) -> bool:
        """Remove a service: its requests are answered with 404 from then on.

        Args:
            name: Its name.

        Returns:
            Whether there was one.
        """
        with self._lock:
            self._routes.remove(name)
            return self._services.pop(name, None) is not None

    def door(self, name: str) -> Door | None:
        """Return the door of a service; None if there is no such service.

        Args:
            name: Its name.
        """
        service = self._services.get(name)
        return None if service is None else service.door

    def find(self, headers: RawHeaders, request: RequestFacts) -> str | None:
        """Return the name of the service that a request is for; None if there is none.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.
        """
        return self._routes.find(headers, request)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the services, in the order in which they were first put."""
        return tuple(self._services)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a service of that name."""
        return name in self._services

    def __len__(self) -> int:
        """Count the services."""
        return len(self._services)

    def __bool__(self) -> bool:
        """Return True: without services, it still decides on every request."""
        return True

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Services({len(self)} services)"

    # Deciding.

    def admit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:  # noqa: D102 - as above
        door = self._door_of(headers, request)
        return self._without_service(headers, request) if door is None else door.admit(headers, request)

    async def aadmit(self, headers: RawHeaders, request: RequestFacts = ANYWHERE) -> Admission | Refusal:  # noqa: D102
        door = self._door_of(headers, request)
        if door is None:
            return self._without_service(headers, request)
        return await door.aadmit(headers, request)

    def admit_cached(self, headers: RawHeaders, method: str, path: str) -> Admission | None:  # noqa: D102 - as above
        routes = self._routes
        if routes.by_path or (host := routes.host_of(headers)) is None:
            return None  # where the path decides, all of its readings do
        door = self.door(routes.at(host, "/") or "")
        return None if door is None else door.admit_cached(headers, method, path)

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of every service, in seconds since the epoch."""
        return self._common.clock

    @property
    def leeway(self) -> float:
        """Seconds by which clocks may differ, for every service."""
        return self._common.leeway

    @property
    def parts(self) -> tuple[tuple[Verifier, PolicySource], ...]:
        """What decides for each service; the keys are named also while there is none."""
        doors = [service.door for service in list(self._services.values())] or [self._common]
        return tuple(part for door in doors for part in door.parts)

    def warm(self) -> None:
        """Have usable keys of every issuer before the first request comes.

        Raises:
            KeysUnavailableError: If an issuer has none.
        """
        self._common.verifier.warm()

    async def awarm(self) -> None:
        """Do as `warm` does, without blocking the event loop.

        Raises:
            KeysUnavailableError: As `warm`.
        """
        await self._common.verifier.awarm()

    def _door_of(self, headers: RawHeaders, request: RequestFacts) -> Door | None:
        name = self._routes.find(headers, request)
        return None if name is None else self.door(name)

    def _without_service(self, headers: RawHeaders, request: RequestFacts) -> Admission | Refusal:
        if self._exempt and is_exempt(self._exempt, request):
            decided: Admission | Refusal = Admission(ANONYMOUS, self.forwarding.anonymous(headers), EXEMPT)
        else:
            where = f"{quoted(request.host)} and {quoted(request.sent_path)}"
            error = UnknownServiceError(f"no service has host and path {where}")
            decided = self._refuse(error, request, headers)
        if self._listener is not None:
            report(self._listener, event_of(decided))
        return decided

    def _make_verifier(self, audience: _Audience) -> Verifier:
        part = None if self._token_cache is None else self._token_cache.part()
        return Verifier(
            audience, token_cache_size=0, token_cache=part, key_cache=self._key_source, **self._verifier
        )

    def _key_source(self, issuer: Issuer) -> KeySource:
        """Return the keys of an issuer, the same for every service."""
        if (known := self._key_sources.get(issuer)) is not None:
            return known
        if self._make_key_source is not None:
            made = self._make_key_source(issuer)
        else:
            clock = self._verifier.get("clock", time.time)
            made = KeyCache(issuer.key_url, issuer.algorithms, clock=clock)
        return self._key_sources.setdefault(issuer, made)


def _here(issuers: Iterable[Issuer]) -> Iterable[Issuer]:
    """Point issuers at an emulator once for all services; what is none of them, `Verifier` refuses."""
    if not isinstance(issuers, Iterable):
        return issuers
    return tuple(in_environment(one) if isinstance(one, Issuer) else one for one in issuers)


class _GrantsNothing:
    @property
    def public(self) -> bool:
        return False

    def decide(self, _principal: Principal, _request: RequestFacts, _now: float, /) -> Decision:
        return Decision(granted=False)


_NONE: Final = _GrantsNothing()
