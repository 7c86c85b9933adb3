"""How long an answer of a key endpoint may be used: RFC 9111 and RFC 5861, as pure functions.

Every result is an age in seconds since the answer arrived, not a date: the key cache reads the clocks. A
header that cannot be read shortens or lengthens nothing: it counts as a header that is not there.
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
"""Seconds that any answer is fresh for, even with ``no-store``: a key set that is not kept is of no use."""
LONGEST_FRESH: Final = 86_400.0
"""Seconds that any answer is fresh for at most, whatever its headers say."""
DEFAULT_FRESH: Final = 3_600.0
"""Seconds that an answer is fresh for whose headers do not say it."""

# In two steps, each linear in the length of the header: the elements between commas, then what one says.
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_DIRECTIVE: Final = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"([^"\\]*)"|([^\s,"]*)))?')
_DIGITS: Final = re.compile(r"[0-9]+")
_MOST_SECONDS: Final = 2.0**31


@dataclass(frozen=True, slots=True)
class Freshness:
    """Until which age an answer is fresh, and until which age it may be used.

    Attributes:
        stale_after: Age in seconds from which the answer is stale, and is fetched again.
        dead_after: Age in seconds from which it is not used.
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
        """Return these validators, with the older one where one is missing.

        Args:
            older: The validators before a 304, which need not repeat them (RFC 9111, section 4.3.4).
        """
        return Validators(self.etag or older.etag, self.last_modified or older.last_modified)

    def headers(self) -> dict[str, str]:
        """Return the headers of a conditional request; none if the endpoint sent no validator."""
        pairs = (("if-none-match", self.etag), ("if-modified-since", self.last_modified))
        return {name: value for name, value in pairs if value}


def _seconds(text: str | None) -> float | None:
    """Read delta-seconds, with the bound of RFC 9111, section 1.2.2; return None for anything else."""
    return min(float(text), _MOST_SECONDS) if text is not None and _DIGITS.fullmatch(text) else None


def _directives(header: str) -> dict[str, str | None]:
    """Read Cache-Control. Names have no case, and the first of a repeated directive counts."""
    found: dict[str, str | None] = {}
    for element in _ELEMENT.findall(header):
        if (directive := _DIRECTIVE.fullmatch(element.strip())) is not None:
            name, quoted, plain = directive.groups()
            found.setdefault(name.lower(), quoted or plain or None)
    return found


def http_date(text: str | None) -> float | None:
    """Read a date of HTTP (RFC 9110, section 5.6.7).

    Args:
        text: The value of the header; None if there is no such header.

    Returns:
        Seconds since the epoch; None for anything that is not a date.
    """
    if text is None:
        return None
    # Both are slow to import, and a start from a snapshot reads no date.
    from datetime import UTC  # noqa: PLC0415
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        date = parsedate_to_datetime(text)
        # The form of asctime names no zone. It means UTC, and not the local zone of this machine.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _lifetime(headers: Mapping[str, str], directives: Mapping[str, str | None], now: float) -> float | None:
    """Return the freshness lifetime (RFC 9111, section 4.2.1), or None if the headers do not say it."""
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
    """Return the age on arrival: the larger of what caches counted and what the dates say (section 4.2.3)."""
    counted = _seconds(headers.get("age")) or 0.0
    date = http_date(headers.get("date"))
    # A Date more than a day ago comes from a wrong clock, not from an old answer: it does not count.
    apparent = now - date if date is not None and 0 < now - date <= LONGEST_FRESH else 0.0
    return max(counted, apparent)


def freshness_of(
    headers: Mapping[str, str], now: float, max_stale: float, *, obey_must_revalidate: bool = False
) -> Freshness:
    """Work out how long an answer may be used.

    Args:
        headers: The answer's headers, names in lower case.
        now: When it arrived, in seconds since the epoch.
        max_stale: Seconds past its freshness for which it may be used while the endpoint gives no good
            answer. The headers ``stale-if-error`` and ``stale-while-revalidate`` (RFC 5861) can only shorten
            this.
        obey_must_revalidate: Whether ``must-revalidate`` (RFC 9111, section 5.2.2.2) makes it 0.

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
        # Both allow the use of a stale answer while a new one is fetched; the longer one counts.
        stale = min(stale, max(on_error, _seconds(directives.get("stale-while-revalidate")) or 0.0))
    return Freshness(stale_after, stale_after + stale)


def validators_of(headers: Mapping[str, str]) -> Validators:
    """Take the validators of an answer, for the next conditional request.

    Args:
        headers: The answer's headers, names in lower case.

    Returns:
        Its ETag and its Last-Modified. One that a request header cannot carry back is left out: an ETag may
        hold bytes beyond ASCII (RFC 9110, section 8.8.3), and which characters they were is not known.
    """
    etag, last_modified = (
        value if value is not None and value.isascii() else None
        for value in (headers.get("etag"), headers.get("last-modified"))
    )
    return Validators(etag, last_modified)
