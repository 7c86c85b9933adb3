"""Which URLs are fetched at all: ``https``, and ``http`` only to this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from doorward.errors import ConfigurationError

__all__ = ["check_key_url", "is_loopback", "shown_url"]


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
    # urlsplit drops some of what is not printable: it would check another URL than the one that is fetched.
    if not host or parts.fragment or " " in url or not url.isprintable():
        raise ConfigurationError(
            f"key URL {shown_url(url)!r} is not a plain absolute URL; write https://HOST/PATH"
        )
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return url
    raise ConfigurationError(
        f"key URL {shown_url(url)!r} must start with https://; "
        "http:// is for an emulator on this machine (127.0.0.1, localhost)"
    )


def shown_url(url: str) -> str:
    """Return a URL as logs, errors and health show it: without its query, which may hold an API key.

    Args:
        url: Any text.
    """
    shown, query, _ = url.partition("?")
    return f"{shown}?…" if query else shown


def is_loopback(host: str) -> bool:
    """Return whether a host can only be this machine (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3).

    Args:
        host: The host as in a URL, without brackets or port.

    Returns:
        True for ``localhost`` and for loopback addresses.
    """
    if host == "localhost":
        return True
    import ipaddress  # noqa: PLC0415 - slow to import, and not needed for the https URLs of Google

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
