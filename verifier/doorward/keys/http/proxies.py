"""Which proxy of the environment a request goes through.

The variables are read here and not by httpx, which raises for an entry of ``NO_PROXY`` that it cannot read:
one such entry must not make every fetch fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["ChosenProxy", "choose_proxy"]

_NAME: Final = re.compile(r"\*?\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_ENTRY: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z]+)://)?(?P<host>\[[^\]]*\]|[^:\[\]]+|[^\[\]]*:[^\[\]]*:[^\[\]]*)(?::(?P<port>\d+))?"
)


class ChosenProxy(NamedTuple):
    """The proxy for a URL.

    Attributes:
        url: The proxy; None if the request is sent directly.
        variable: The variable that names it.
        unreadable: The entries of ``NO_PROXY`` that cannot be read and are skipped.
    """

    url: str | None
    variable: str
    unreadable: tuple[str, ...]


def choose_proxy(url: str, proxies: Mapping[str, str]) -> ChosenProxy:
    """Choose the proxy for a URL.

    Args:
        url: An absolute URL.
        proxies: What `urllib.request.getproxies` returns: proxies by scheme, ``all`` for every scheme, and
            ``no`` for the hosts that are asked directly.
    """
    parts = urlsplit(url)
    named = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    if named is None:
        return ChosenProxy(None, "", ())
    port = parts.port or (443 if parts.scheme == "https" else 80)
    direct, unreadable = False, []
    for entry in map(str.strip, proxies.get("no", "").split(",")):
        covers = entry == "*" or (entry != "" and _covers(entry, parts.scheme, parts.hostname or "", port))
        if covers is None:
            unreadable.append(entry)
        direct = direct or bool(covers)
    proxy = proxies[named]
    chosen = proxy if "://" in proxy else f"http://{proxy}"
    return ChosenProxy(None if direct else chosen, f"{named.upper()}_PROXY", tuple(unreadable))


def _covers(entry: str, scheme: str, host: str, port: int) -> bool | None:
    """Return whether an entry of ``NO_PROXY`` covers a host; None if it cannot be read."""
    network = _network(entry)
    if network is not None:
        return _in_network(host, network)
    found = _ENTRY.fullmatch(entry)
    if found is None or "/" in found["host"]:
        return None
    if found["scheme"] not in (None, "all", scheme) or (found["port"] and int(found["port"]) != port):
        return False
    bare = found["host"].strip("[]")
    network = _network(bare)
    if network is not None:
        return _in_network(host, network)
    if not _NAME.fullmatch(bare):
        return None
    name, host = bare.removeprefix("*").rstrip(".").lower(), host.rstrip(".").lower()
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _network(text: str) -> str | None:
    """Return an address or a network in its usual form; None if the text is neither."""
    import ipaddress  # noqa: PLC0415 - slow to import, and needed only where there is a proxy

    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


def _in_network(host: str, network: str) -> bool:
    import ipaddress  # noqa: PLC0415 - as above

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network)
    except ValueError:
        return False
