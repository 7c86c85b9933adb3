"""Which URLs are fetched at all: ``https``, and ``http`` only to this machine."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.shown import quoted

__all__ = ["check_key_url", "shown_url"]

# A host and a port as every URL parser divides them. Some versions of urlsplit find the host ::1 in
# `[::1].example.com` and in `example.com[::1]`.
_AUTHORITY: Final = re.compile(r"(?:[^\[\]\\:@]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


def check_key_url(url: str) -> str:
    """Refuse a key URL whose answers could be changed on their way.

    Args:
        url: An absolute URL.

    Returns:
        The same URL.

    Raises:
        ConfigurationError: If it is neither ``https`` nor ``http`` to a loopback address, is not absolute, or
            carries a user, a password, a fragment, a space or a control character.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.username is not None:  # the URL is not repeated: a password is a secret
        raise ConfigurationError("the key URL carries a user or a password; write https://HOST/PATH")
    divided = host and _AUTHORITY.fullmatch(parts.netloc)
    # urlsplit drops some of what is not printable: it would check another URL than the one that is fetched.
    if not divided or parts.fragment or " " in url or not url.isprintable():
        raise ConfigurationError(
            f"key URL {quoted(shown_url(url))} is not a plain absolute URL; write https://HOST/PATH"
        )
    on_this_machine = is_on_this_machine(parts.netloc.lower(), without_port=True)
    if parts.scheme == "https" or (parts.scheme == "http" and on_this_machine):
        return url
    raise ConfigurationError(
        f"key URL {quoted(shown_url(url))} must start with https://; "
        "http:// is for an emulator on this machine (127.0.0.1, localhost)"
    )


def shown_url(url: str) -> str:
    """Return a URL as logs, errors and health show it: without its query, which may hold an API key.

    Args:
        url: Any text.
    """
    shown, query, _ = url.partition("?")
    return f"{shown}?…" if query else shown
