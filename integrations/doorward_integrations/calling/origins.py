"""To which origins a token goes, and for which audience: the one place where that is decided.

An origin is scheme, host and port (RFC 6454, section 4). A token goes to origins over ``https``, and over
``http`` to this machine alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.request import getproxies

from doorward.audiences.cloud_run import CloudRunAudience
from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.keys.http.proxies import choose_proxy
from doorward.shown import quoted, shortened
from doorward_integrations.calling.source import check_audience

__all__ = ["Destinations", "Origin", "read_origin"]

_PORTS: Final = {"https": 443, "http": 80}
_LAST_PORT: Final = 65_535
# No user, no backslash, no percent sign: what every URL parser reads in the same way.
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE,
)


class Origin(NamedTuple):
    """An origin.

    Attributes:
        scheme: ``https`` or ``http``.
        host: In lower case; an address of IPv6 in brackets.
        port: The port, also where it is that of the scheme.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Write it as a URL."""
        usual = _PORTS.get(self.scheme) == self.port
        return f"{self.scheme}://{shortened(self.host)}{'' if usual else f':{self.port}'}"

    @property
    def is_safe(self) -> bool:
        """Whether what is sent there can be read by its receiver alone: ``https``, or this machine."""
        return self.scheme == "https" or (
            self.scheme == "http" and is_on_this_machine(self.host, without_port=True)
        )


def read_origin(url: str) -> Origin | None:
    """Return the origin of a URL; None if it has none that a token could go to.

    Args:
        url: Any text.
    """
    found = _ORIGIN.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    port = int(found["port"] or _PORTS[scheme])
    return Origin(scheme, found["host"].lower(), port) if 0 < port <= _LAST_PORT else None


class Destinations:
    """The origins that a token may be sent to, and its audience."""

    def __init__(self, audience: str | None, origins: str | Iterable[str] = (), *, call: str) -> None:
        """Bind an audience to origins.

        Args:
            audience: Whom the tokens are made for; None to send each ``run.app`` host a token for itself.
            origins: Where they are sent to; by default the origin of the audience, where that is a URL.
            call: How the call of the constructor looks, for errors.

        Raises:
            ConfigurationError: If the audience or an origin cannot be used, or no origin is known.
        """
        self._audience: Final = None if audience is None else check_audience(audience)
        given = (origins,) if isinstance(origins, str) else tuple(origins)
        self._origins: Final = frozenset(_checked(one, call) for one in given or self._of_audience(call))
        if audience is None and given:
            raise ConfigurationError(f"origins without an audience: {call} needs both, or neither")

    def _of_audience(self, call: str) -> tuple[str, ...]:
        if self._audience is None:
            return ()
        origin = read_origin(self._audience)
        if origin is None or not origin.is_safe:
            raise ConfigurationError(
                f"the audience {quoted(self._audience)} is no https URL, so it does not say where its "
                f'tokens may be sent: {call} with origins="https://SERVICE-NUMBER.REGION.run.app"'
            )
        return (str(origin),)

    def audience_for(self, origin: Origin) -> str:
        """Return the audience of the token for a request.

        Args:
            origin: Where the request goes.

        Returns:
            The audience.

        Raises:
            ConfigurationError: If no token may be sent there; nothing was sent.
        """
        if not origin.is_safe:
            raise ConfigurationError(
                f"no ID token is sent to {origin}: without TLS everyone on the way could use it. "
                "Call https://, or a port of this machine"
            )
        _refuse_proxy(origin)
        if self._audience is None:
            return _own_audience(origin)
        if origin not in self._origins:
            bound = " and ".join(sorted(map(str, self._origins)))
            raise ConfigurationError(
                f"the ID token for {quoted(self._audience)} goes to {bound} and not to {origin}: name that "
                "origin too (origins=[...]) if it is the same service, or send the request without this auth"
            )
        return self._audience

    def covers(self, origin: Origin, audience: str) -> bool:
        """Return whether a token for an audience may be sent to an origin.

        Args:
            origin: Where it would go.
            audience: Whom it is made for.
        """
        try:
            return self.audience_for(origin) == audience
        except ConfigurationError:
            return False


def _checked(text: str, call: str) -> Origin:
    found = _ORIGIN.fullmatch(text) if isinstance(text, str) else None
    origin = read_origin(text) if found is not None and found["rest"] in (None, "/") else None
    if origin is None:
        raise ConfigurationError(
            f"{quoted(text)} is not an origin: {call} takes scheme, host and port, such as "
            "https://orders.example or http://127.0.0.1:8080"
        )
    if not origin.is_safe:
        raise ConfigurationError(
            f"{origin} is no origin for ID tokens: without TLS everyone on the way could use them. "
            "Name it with https://; http:// is for this machine (127.0.0.1, localhost)"
        )
    return origin


@functools.lru_cache(maxsize=256)
def _own_audience(origin: Origin) -> str:
    """Return the URL of a Cloud Run service, which is its own audience; only it can use such a token."""
    url = f"https://{origin.host}"
    if origin != (origin.scheme, origin.host, 443) or origin.scheme != "https":
        raise ConfigurationError(f"{origin} is not the URL of a Cloud Run service: give the audience")
    try:
        CloudRunAudience(url)
    except ConfigurationError:
        raise ConfigurationError(
            f"{origin} is not the URL of a Cloud Run service without a tag: give the audience, and the "
            "origins that its tokens are sent to"
        ) from None
    return url


def _refuse_proxy(origin: Origin) -> None:
    """Refuse plain HTTP to this machine where a proxy of the environment would be sent the request."""
    if origin.scheme == "https":
        return  # through a tunnel, which the proxy cannot read
    proxy = choose_proxy(str(origin), getproxies())
    if proxy.url is not None:
        raise ConfigurationError(
            f"{proxy.variable} is set, so that a request to {origin} would go to a proxy, which could use "
            "its ID token: set NO_PROXY=127.0.0.1,localhost"
        )
