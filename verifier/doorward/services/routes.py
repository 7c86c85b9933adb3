"""Which service a request is for: by the host that it names, by the beginning of its path, or by both.

A path has several readings (`doorward.policy.paths`), and the application behind may route by any of them. A
service is found only if every reading leads to it; else a request would be decided on by the policy of one
service and answered by another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from doorward.door.credentials import RawHeaders
from doorward.errors import ConfigurationError
from doorward.policy.paths import readings_of
from doorward.policy.request import RequestFacts, host_name
from doorward.shown import quoted

__all__ = ["Routes", "ServiceRoute"]

_HOST: Final = b"host"
_RUN_APP: Final = ".run.app"
_TAG: Final = re.compile(r"[a-z][a-z0-9-]*?---")
"""What a URL of one tagged revision begins with, see
https://cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration#tags."""


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """Where a service is found.

    Attributes:
        hosts: The hosts of its URLs, in lower case and without a port; empty for every host.
        prefix: What its paths begin with, without a slash at the end; empty for every path.
    """

    hosts: tuple[str, ...] = ()
    prefix: str = ""

    @classmethod
    def read(cls, hosts: Iterable[str], prefix: str) -> ServiceRoute:
        """Check what a service was put under.

        Args:
            hosts: Its hosts, without scheme and port.
            prefix: The beginning of its paths.

        Returns:
            The route.

        Raises:
            ConfigurationError: If there is neither, or one of them is not what it must be.
        """
        given = (hosts,) if isinstance(hosts, str) else tuple(hosts)
        for host in given:
            if not isinstance(host, str) or not host.isascii() or host_name(host.encode()) != host.lower():
                raise ConfigurationError(
                    f"{quoted(host)} is not a host: give names without scheme, port and path, such as "
                    "'orders-1234567890.europe-west1.run.app'"
                )
        bare = prefix.rstrip("/") if isinstance(prefix, str) else None
        if bare is None or (bare and (not bare.startswith("/") or readings_of(bare) != (bare,))):
            raise ConfigurationError(f"prefix={quoted(prefix)} must be a plain path, such as '/orders'")
        if not given and not bare:
            raise ConfigurationError(
                "a service is found by its hosts, by the prefix of its paths, or by both: give one of them"
            )
        return cls(tuple(host.lower() for host in given), bare)


class Routes:
    """The routes of all services. They may change at any time: one writer, and readers that take no lock.

    Attributes:
        by_path: Whether the path decides which service a request is for.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._routes: Final[dict[str, ServiceRoute]] = {}
        # By host and prefix; an empty host is every host. Each step of a writer is one assignment, and never
        # leads a request to a service that has not its host and prefix.
        self._table: Final[dict[str, dict[str, str]]] = {}
        self._depth = 0  # the most segments that a prefix has had
        self.by_path: bool = False

    def put(self, name: str, route: ServiceRoute) -> None:
        """Add the route of a service, in place of the one that it had.

        Args:
            name: The name of the service.
            route: Where it is found.

        Raises:
            ConfigurationError: If another service has one of its hosts with the same prefix. Then nothing has
                changed.
        """
        hosts = route.hosts or ("",)
        for host in hosts:
            other = self._table.get(host, {}).get(route.prefix, name)
            if other != name:
                where = f"the host {quoted(host)}" if host else "every host"
                path = f" and the prefix {quoted(route.prefix)}" if route.prefix else ""
                raise ConfigurationError(
                    f"{quoted(other)} has {where}{path} already: put {quoted(name)} under another"
                )
        before = self._routes.get(name)
        self._depth = max(self._depth, route.prefix.count("/"))
        if route.prefix:
            self.by_path = True
        for host in hosts:
            self._table.setdefault(host, {})[route.prefix] = name
        self._routes[name] = route
        if before is not None and before != route:
            self._take_out(before, but=route)

    def remove(self, name: str) -> None:
        """Remove the route of a service, if it has one.

        Args:
            name: The name of the service.
        """
        if (route := self._routes.pop(name, None)) is not None:
            self._take_out(route)

    def _take_out(self, route: ServiceRoute, but: ServiceRoute | None = None) -> None:
        stays = set() if but is None or but.prefix != route.prefix else set(but.hosts or ("",))
        for host in set(route.hosts or ("",)) - stays:
            prefixes = self._table[host]
            del prefixes[route.prefix]
            if not prefixes:
                del self._table[host]

    def find(self, headers: RawHeaders, request: RequestFacts) -> str | None:
        """Return the name of the service that a request is for; None if there is none, or more than one.

        Args:
            headers: All its headers, names in lower case.
            request: What else is known of it.
        """
        host = self.host_of(headers, request.host)
        if host is None:
            return None
        if not self.by_path:
            return self.at(host, "/")
        readings = request.readings
        if not readings:
            return None
        names = {self.at(host, reading) for reading in readings}
        return names.pop() if len(names) == 1 else None

    def host_of(self, headers: RawHeaders, otherwise: str = "") -> str | None:
        """Return the host that a request names.

        Args:
            headers: All its headers, names in lower case.
            otherwise: The host, if no header names it.

        Returns:
            The host in lower case; None if two headers name two hosts, which servers resolve differently
            (RFC 9112, section 3.2).
        """
        found: bytes | None = None
        for name, value in headers:
            if name == _HOST:
                if found is not None and found != value:
                    return None
                found = value
        return otherwise if found is None else host_name(found)

    def at(self, host: str, path: str) -> str | None:
        """Return the name of the service at a host and a path; None if there is none.

        Args:
            host: The host, in lower case and without a port.
            path: One reading of the path.
        """
        for prefixes in (self._of_host(host), self._table.get("")):
            if prefixes and (name := self._longest(prefixes, path)) is not None:
                return name
        return None

    def _of_host(self, host: str) -> Mapping[str, str] | None:
        found = self._table.get(host) if host else None
        if found is None and host.endswith(_RUN_APP) and (tag := _TAG.match(host)) is not None:
            return self._table.get(host[tag.end() :])
        return found

    def _longest(self, prefixes: Mapping[str, str], path: str) -> str | None:
        """Return the name under the longest prefix of a path, by no more segments than a prefix has."""
        ends: list[int] = []
        end = 0
        while len(ends) < self._depth:
            end = path.find("/", end + 1)
            ends.append(end if end > 0 else len(path))
            if end < 0:
                break
        for end in reversed(ends):
            if (name := prefixes.get(path[:end])) is not None:
                return name
        return prefixes.get("")
