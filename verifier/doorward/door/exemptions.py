"""The requests that a door admits unread, such as health probes and a browser's preflights.

A pair of method and path is compared exactly, with every reading of the path: ``HEAD`` and a slash at the end
are pairs of their own, and so is a websocket, ``("WEBSOCKET", "/live")``.

A path may be a template, as frameworks write routes: ``/orders/{id}`` stands for one segment, whatever it is,
and ``/files/{rest:path}`` for all that follows, slashes included. ``("OPTIONS", "/{path:path}")`` lets every
preflight pass, which carries no credential (https://fetch.spec.whatwg.org/#cors-preflight-fetch).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from doorward.errors import ConfigurationError
from doorward.policy.request import RequestFacts

__all__ = ["WEBSOCKET", "Exemptions", "is_exempt", "read_exemptions"]

WEBSOCKET: Final = "WEBSOCKET"
"""The method of a websocket in exemptions: it is opened by GET, and an exemption for GET does not open it."""

Exemptions = frozenset[tuple[str, str]]
"""What contains the pairs of method and path that are exempt."""

_SEGMENT: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_REST: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*:path\}")


class _Templates(Exemptions):
    """Pairs some of whose paths are templates; it contains every pair that one of them stands for."""

    _patterns: dict[str, re.Pattern[str]]

    def __contains__(self, pair: object) -> bool:
        if super().__contains__(pair):
            return True
        if not isinstance(pair, tuple):
            return False
        pattern = self._patterns.get(pair[0])
        return pattern is not None and pattern.fullmatch(pair[1]) is not None

    @classmethod
    def of(cls, pairs: Exemptions) -> _Templates:
        found = cls(pairs)
        alternatives: dict[str, list[str]] = {}
        for method, path in sorted(pairs):
            if _is_template(path):
                alternatives.setdefault(method, []).append(_pattern_of(path))
        found._patterns = {method: re.compile("|".join(paths)) for method, paths in alternatives.items()}
        return found


def read_exemptions(exempt: Iterable[tuple[str, str]]) -> Exemptions:
    """Read what was passed to a door as ``exempt``.

    Args:
        exempt: Pairs of method and path, or template of paths.

    Returns:
        The pairs; it contains what a template stands for, too.

    Raises:
        ConfigurationError: If something in it is not such a pair, or a template is not understood.
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
    # Without templates it is the plain set, whose look-up is the fastest: every request makes one.
    templates = any(_is_template(path) for _, path in pairs)
    return _Templates.of(frozenset(pairs)) if templates else frozenset(pairs)


def _is_exemption(pair: object) -> bool:
    match pair:
        case (str(method), str(path)):
            return isinstance(pair, tuple) and method == method.upper() and path.startswith("/")
        case _:
            return False


def _is_template(path: str) -> bool:
    return "{" in path or "}" in path


def _pattern_of(template: str) -> str:
    """Return the pattern of the paths that a template stands for; linear, since '/' ends each segment."""
    segments = template.split("/")
    found: list[str] = []
    for position, segment in enumerate(segments):
        if _REST.fullmatch(segment) and position == len(segments) - 1:
            found.append("(?s:.*)")
        elif _SEGMENT.fullmatch(segment):
            found.append("[^/]+")
        elif _is_template(segment):
            raise ConfigurationError(
                f"exempt: the template {template!r} is not understood: '{{name}}' stands for one whole "
                "segment, and '{name:path}' for the rest of the path, at its end"
            )
        else:
            found.append(re.escape(segment))
    return "/".join(found)


def is_exempt(exemptions: Exemptions, request: RequestFacts) -> bool:
    """Return whether an exemption names the request, under every reading of its path.

    Args:
        exemptions: The pairs.
        request: The request.
    """
    method = WEBSOCKET if request.websocket else request.method
    readings = request.readings
    return bool(readings) and all((method, reading) in exemptions for reading in readings)
