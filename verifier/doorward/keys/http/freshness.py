"""How long an answer of a key endpoint may be used: RFC 9111 and RFC 5861, as pure functions.

Every result is an age in seconds since the answer arrived, not a date: what the clocks do meanwhile is the
cache's business. Garbage in a header never shortens or lengthens anything: it counts as if the header were
not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "DEFAULT_FRESH",
    "LONGEST_FRESH",
    "SHORTEST_FRESH",
    "Freshness",
    "Validators",
    "freshness_of",
    "http_date",
    "validators_of",
]

SHORTEST_FRESH: Final = 60.0
"""Seconds that any answer is used for, even with ``no-store``: a key set not kept at all is of no use."""
LONGEST_FRESH: Final = 86_400.0
"""Seconds after which any answer is asked for again, whatever it says of itself."""
DEFAULT_FRESH: Final = 3_600.0
"""Seconds for an answer that says nothing of its freshness."""

# In two steps, each linear in the length of the header: the elements between commas, then what one says.
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_DIRECTIVE: Final = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"([^"\\]*)"|([^\s,"]*)))?')
_DIGITS: Final = re.compile(r"[0-9]+")
_MOST_SECONDS: Final = 2.0**31


@dataclass(frozen=True, slots=True)
class Freshness:
    """Until which age an answer is fresh, and until which it may serve.

    Attributes:
        stale_after: Age in seconds from which the answer is stale and is asked for again.
        dead_after: Age in seconds from which it is not used at all.
    """

    stale_after: float
    dead_after: float


@dataclass(frozen=True, slots=True)
class Validators:
    """What a conditional request sends back (RFC 9110, section 13.1).

    Attributes:
        etag: For ``If-None-Match``.
        last_modified: For ``If-Modified-Since``.
    """

    etag: str | None = None
    last_modified: str | None = None

    def over(self, older: Validators) -> Validators:
        """Give these, and where one is missing the older one.

        Args:
            older: What was held before a 304, which need not repeat it (RFC 9111, section 4.3.4).
        """
        return Validators(self.etag or older.etag, self.last_modified or older.last_modified)

    def headers(self) -> dict[str, str]:
        """Give the conditional request headers; none where the endpoint sent no validator."""
        pairs = (("if-none-match", self.etag), ("if-modified-since", self.last_modified))
        return {name: value for name, value in pairs if value}


def _seconds(text: str | None) -> float | None:
    """Read delta-seconds, with the bound of RFC 9111, section 1.2.2; None for anything else."""
    return min(float(text), _MOST_SECONDS) if text is not None and _DIGITS.fullmatch(text) else None


def _directives(header: str) -> dict[str, str | None]:
    """Read Cache-Control, names without regard to case; of a repeated directive the first counts."""
    found: dict[str, str | None] = {}
    for element in _ELEMENT.findall(header):
        if (directive := _DIRECTIVE.fullmatch(element.strip())) is not None:
            name, quoted, plain = directive.groups()
            found.setdefault(name.lower(), quoted or plain or None)
    return found


def http_date(text: str | None) -> float | None:
    """Read a date of HTTP (RFC 9110, section 5.6.7).

    Args:
        text: As the header has it; None where there is no such header.

    Returns:
        Seconds since the epoch; None for anything that is not a date.
    """
    if text is None:
        return None
    # Both are slow to import, and no start from a snapshot reads a date.
    from datetime import UTC  # noqa: PLC0415
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        date = parsedate_to_datetime(text)
        # The form of asctime names no zone. It means UTC, and not the zone that this machine stands in.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _lifetime(headers: Mapping[str, str], directives: Mapping[str, str | None], now: float) -> float | None:
    """Give the freshness lifetime (RFC 9111, section 4.2.1), or None where the answer is silent."""
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    if (max_age := _seconds(directives.get("max-age"))) is not None:
        return max_age
    if "expires" not in headers:
        return None
    if (expires := http_date(headers["expires"])) is None:
        return 0.0 if headers["expires"].strip() == "0" else None
    date = http_date(headers.get("date"))
    return max(0.0, expires - (now if date is None else date))


def _age(headers: Mapping[str, str], now: float) -> float:
    """Give the age on arrival: the larger of what caches counted and what the dates say (section 4.2.3)."""
    counted = _seconds(headers.get("age")) or 0.0
    date = http_date(headers.get("date"))
    # A Date further off than a day is a wrong clock, not an old answer: it is garbage like any other.
    apparent = now - date if date is not None and 0 < now - date <= LONGEST_FRESH else 0.0
    return max(counted, apparent)


def freshness_of(
    headers: Mapping[str, str], now: float, max_stale: float, *, obey_must_revalidate: bool = False
) -> Freshness:
    """Say how long an answer may be used.

    Args:
        headers: The answer's headers, names in lower case.
        now: When it arrived, in seconds since the epoch.
        max_stale: Seconds past its freshness for which it may serve while the endpoint is away. What the
            endpoint says of that itself (``stale-if-error``, ``stale-while-revalidate``; RFC 5861) can only
            shorten it.
        obey_must_revalidate: Whether ``must-revalidate`` (RFC 9111, section 5.2.2.2) shortens it to nothing.

    Returns:
        Both ages, with ``stale_after`` between `SHORTEST_FRESH` and `LONGEST_FRESH`.
    """
    directives = _directives(headers.get("cache-control", ""))
    lifetime = _lifetime(headers, directives, now)
    stale_after = DEFAULT_FRESH if lifetime is None else lifetime - _age(headers, now)
    stale_after = min(max(stale_after, SHORTEST_FRESH), LONGEST_FRESH)
    stale = max_stale
    if obey_must_revalidate and "must-revalidate" in directives:
        stale = 0.0
    elif (on_error := _seconds(directives.get("stale-if-error"))) is not None:
        # Both allow the use of a stale answer while a new one is being asked for; the longer one counts.
        stale = min(stale, max(on_error, _seconds(directives.get("stale-while-revalidate")) or 0.0))
    return Freshness(stale_after, stale_after + stale)


def validators_of(headers: Mapping[str, str]) -> Validators:
    """Take the validators of an answer, for the next conditional request.

    Args:
        headers: The answer's headers, names in lower case.

    Returns:
        The ETag and the Last-Modified it carried, unless a request header cannot carry it back: an ETag may
        hold bytes beyond ASCII (RFC 9110, section 8.8.3), and nobody knows which characters they were.
    """
    etag, last_modified = (
        value if value is not None and value.isascii() else None
        for value in (headers.get("etag"), headers.get("last-modified"))
    )
    return Validators(etag, last_modified)
