"""The requests that a door admits unread, such as health probes and a browser's preflights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from doorward.errors import ConfigurationError
from doorward.policy.request import RequestFacts

__all__ = ["WEBSOCKET", "Exemptions", "is_exempt", "read_exemptions"]

WEBSOCKET: Final = "WEBSOCKET"
"""The method of a websocket in exemptions: it is opened by GET, and an exemption for GET does not open it."""

Exemptions = frozenset[tuple[str, str]]
"""Pairs of method and path."""


def read_exemptions(exempt: Iterable[tuple[str, str]]) -> Exemptions:
    """Read what was passed to a door as ``exempt``.

    Args:
        exempt: Pairs of method and path.

    Returns:
        The pairs.

    Raises:
        ConfigurationError: If something in it is not such a pair.
    """
    # One text is an iterable of texts: it is wrapped, so that it is shown whole.
    pairs: list[tuple[str, str]] = [] if isinstance(exempt, str) else list(exempt)
    wrong = (
        exempt if isinstance(exempt, str) else next((pair for pair in pairs if not _is_exemption(pair)), None)
    )
    if wrong is not None or None in pairs:
        raise ConfigurationError(
            f"exempt={wrong!r} must be pairs of a method in capitals and a path from its '/' on: "
            '[("GET", "/healthz")]'
        )
    return frozenset(pairs)


def _is_exemption(pair: object) -> bool:
    match pair:
        case (str(method), str(path)):
            return isinstance(pair, tuple) and method == method.upper() and path.startswith("/")
        case _:
            return False


def is_exempt(exemptions: Exemptions, request: RequestFacts) -> bool:
    """Return whether an exemption names the request, under every reading of its path.

    Args:
        exemptions: The pairs.
        request: The request.
    """
    method = WEBSOCKET if request.websocket else request.method
    readings = request.readings
    return bool(readings) and all((method, reading) in exemptions for reading in readings)
