"""``HOST:PORT`` of this machine, as a variable of the environment names an emulator or a metadata server.

What answers there is believed, so nothing but this machine may be named. The text is matched by a pattern,
and parsed by no URL parser: what Python's parser takes for a host and a port differs between its versions.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

__all__ = ["is_loopback_address", "is_on_this_machine"]

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PORT: Final = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_LOOPBACK: Final = re.compile(rf"(?:localhost|127(?:\.{_OCTET}){{3}}|\[::1\])(?P<port>:{_PORT})?")


def is_on_this_machine(text: str, *, without_port: bool = False) -> bool:
    """Return whether a text is ``localhost``, an address in 127.0.0.0/8 or ``[::1]``, with a port after it.

    Args:
        text: Any text.
        without_port: Whether the port may be left out.
    """
    found = _LOOPBACK.fullmatch(text)
    return found is not None and (without_port or found["port"] is not None)


def is_loopback_address(text: str) -> bool:
    """Return whether a text is a loopback address alone, of either family and in any of its forms.

    Args:
        text: Any text, without brackets and without a port.
    """
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
