"""The trace of a request, in the two headers that Cloud Run adds; `doorward.door.trace` reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from doorward.door.credentials import RawHeaders
from doorward.door.trace import read_trace

__all__ = ["Span"]


@dataclass(frozen=True, slots=True)
class Span:
    """The gateway's own place in the trace of a request.

    Attributes:
        trace_id: 32 hexadecimal digits; the client's, if it has sent one.
        span_id: The span of this request: 16 hexadecimal digits.
        sampled: Whether the client has the trace recorded.
    """

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def of(cls, headers: RawHeaders) -> Span:
        """Continue the trace of a request, or begin one.

        Args:
            headers: Its headers, names in lower case.

        Returns:
            A new span.
        """
        sent = read_trace(headers)
        drawn = os.urandom(24).hex()
        # A span of zeros is none.
        span_id = drawn[32:] if drawn[32:].strip("0") else "0000000000000001"
        if sent is None:
            return cls(drawn[:32], span_id, sampled=False)
        return cls(sent["trace"], span_id, sent["sampled"])

    @property
    def headers(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Both headers, for the upstream."""
        flag = int(self.sampled)
        return (
            ("x-cloud-trace-context", f"{self.trace_id}/{int(self.span_id, 16)};o={flag}"),
            ("traceparent", f"00-{self.trace_id}-{self.span_id}-{flag:02d}"),
        )
