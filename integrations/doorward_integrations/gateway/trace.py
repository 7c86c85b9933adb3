"""The trace of a request, in the two headers that Cloud Run adds.

``traceparent`` is that of W3C Trace Context, section 3.2 (https://www.w3.org/TR/trace-context/), and
``X-Cloud-Trace-Context`` is Google's older one (https://cloud.google.com/trace/docs/trace-context).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["CLOUD_TRACE", "TRACEPARENT", "Trace"]

TRACEPARENT: Final = b"traceparent"
CLOUD_TRACE: Final = b"x-cloud-trace-context"

_PARENT: Final = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_CLOUD: Final = re.compile(rb"(?!0{32})([0-9a-fA-F]{32})(?:/[0-9]{1,20})?(?:;o=([0-9]))?")


@dataclass(frozen=True, slots=True)
class Trace:
    """One request's place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits; the client's, if it has sent one.
        span_id: The span of this request: 16 hexadecimal digits.
        sampled: Whether the client has the trace recorded.
    """

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> Trace:
        """Continue the trace of a request, or begin one.

        Args:
            headers: Its headers, names in lower case. Two headers of one name are none.

        Returns:
            The trace, with a span of its own.
        """
        parents: list[bytes] = []
        clouds: list[bytes] = []
        for name, value in headers:
            if name == TRACEPARENT:
                parents.append(value)
            elif name == CLOUD_TRACE:
                clouds.append(value)
        if len(parents) == 1 and (found := _PARENT.fullmatch(parents[0])):
            sent, sampled = found[1].decode(), bool(int(found[2], 16) & 1)
        elif len(clouds) == 1 and (found := _CLOUD.fullmatch(clouds[0])):
            sent, sampled = found[1].decode().lower(), found[2] == b"1"
        else:
            drawn = os.urandom(24).hex()
            return cls(drawn[:32], _span(drawn[32:]), sampled=False)
        return cls(sent, _span(os.urandom(8).hex()), sampled)

    @property
    def headers(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Both headers, for the upstream."""
        flag = int(self.sampled)
        return (
            ("x-cloud-trace-context", f"{self.trace_id}/{int(self.span_id, 16)};o={flag}"),
            ("traceparent", f"00-{self.trace_id}-{self.span_id}-{flag:02d}"),
        )


def _span(drawn: str) -> str:
    # A span of zeros is none.
    return drawn if drawn.strip("0") else "0000000000000001"
