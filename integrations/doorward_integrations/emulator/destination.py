"""Where the emulator's tools may send a token: this machine, or over https.

Their tokens are worth nothing at Google, but a service that was started with the emulator's variables
believes them: a reader of one on a network could use it there.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.shown import shortened

__all__ = ["check_destination"]


def check_destination(url: str, what: str) -> str:
    """Check a URL that requests with tokens go to.

    Args:
        url: The URL.
        what: What it belongs to, for the error, such as ``--to``.

    Returns:
        The URL.

    Raises:
        ConfigurationError: If it is no absolute http or https URL without user and fragment, or plain http to
            another machine.
    """
    shown = shortened(url)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{what}: {shown!r} must be printable ASCII: percent-encode what is not")
    try:
        parts = urlsplit(url)
        host = parts.netloc
        parts.port  # noqa: B018 - raises if it is no port
    except ValueError as error:
        raise ConfigurationError(f"{what}: {shown!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or "@" in host:
        raise ConfigurationError(
            f"{what}: {shown!r} must be the absolute URL of an endpoint, such as http://127.0.0.1:8080/events"
        )
    if parts.scheme == "http" and not is_on_this_machine(host.lower(), without_port=True):
        raise ConfigurationError(
            f"{what}: {shown!r} is plain http to another machine, where others could read the token: "
            "use https, or a loopback address such as 127.0.0.1"
        )
    return url
