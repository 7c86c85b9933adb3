"""The trace that a request says it belongs to, for log lines and for nothing else.

Cloud Run sends ``traceparent`` (https://www.w3.org/TR/trace-context/#traceparent-header) and
``X-Cloud-Trace-Context``, ``TRACE/SPAN;o=1`` (https://cloud.google.com/trace/docs/trace-context). Anywhere
else a caller writes them: they are taken only in their exact form, hexadecimal digits of a fixed number, so
that no other text gets into a line by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypedDict

from doorward.door.credentials import RawHeaders

__all__ = ["TRACE_HEADERS", "Trace", "read_trace"]

_TRACEPARENT: Final = b"traceparent"
_TRACE_CONTEXT: Final = b"x-cloud-trace-context"
TRACE_HEADERS: Final = (_TRACEPARENT, _TRACE_CONTEXT)
"""The headers that name a trace, in lower case, the deciding one first."""

# A later version may add parts behind a dash (section 3.2.4); version ff is forbidden.
_PARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,256})?")
_CONTEXT: Final = re.compile(rb"([0-9a-fA-F]{32})(?:/([0-9]{1,20}))?(?:;o=([0-9]{1,3}))?")
_SAMPLED: Final = 1
_LARGEST_SPAN: Final = 2**64 - 1


class Trace(TypedDict):
    """A place in a trace: plain data only.

    Attributes:
        trace: The trace id, 32 hexadecimal digits in lower case.
        span: The id of the span of the caller, 16 hexadecimal digits; None if it is not named.
        sampled: Whether the caller records the trace.
    """

    trace: str
    span: str | None
    sampled: bool


def _parent(value: bytes) -> Trace | None:
    found = _PARENT.fullmatch(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    trace, span = found[2].decode(), found[3].decode()
    if not int(trace, 16) or not int(span, 16):
        return None
    return Trace(trace=trace, span=span, sampled=bool(int(found[4], 16) & _SAMPLED))


def _context(value: bytes) -> Trace | None:
    found = _CONTEXT.fullmatch(value)
    if found is None or not int(found[1], 16):
        return None
    span = int(found[2] or b"0")
    return Trace(
        trace=found[1].decode().lower(),
        span=f"{span:016x}" if 0 < span <= _LARGEST_SPAN else None,
        sampled=bool(int(found[3] or b"0") & _SAMPLED),
    )


_READERS: Final[tuple[tuple[bytes, Callable[[bytes], Trace | None]], ...]] = (
    (_TRACEPARENT, _parent),
    (_TRACE_CONTEXT, _context),
)


def read_trace(headers: RawHeaders) -> Trace | None:
    """Read the trace of a request: from ``traceparent``, or else from ``X-Cloud-Trace-Context``.

    Args:
        headers: All headers of the request, names in lower case.

    Returns:
        The trace; None if none of the two headers is there once and in its exact form.
    """
    for name, read in _READERS:
        values = [value for other, value in headers if other == name]
        if len(values) == 1 and (trace := read(values[0].strip(b" \t"))) is not None:
            return trace
    return None
