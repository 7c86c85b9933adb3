"""The trace of a request, continued or begun."""

from __future__ import annotations

import pytest

from doorward_integrations.gateway.trace import Span

ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{ID}-b7ad6b7169203331-01".encode()


def test_the_trace_of_traceparent_goes_on_with_a_span_of_its_own() -> None:
    span = Span.of([(b"traceparent", PARENT)])

    assert (ID, True) == (span.trace_id, span.sampled)
    assert "b7ad6b7169203331" != span.span_id


@pytest.mark.parametrize(
    ("value", "sampled"),
    [(ID, False), (f"{ID}/123", False), (f"{ID.upper()}/1;o=1", True), (f"{ID};o=0", False)],
)
def test_the_trace_of_google_s_older_header_goes_on(value: str, *, sampled: bool) -> None:
    span = Span.of([(b"x-cloud-trace-context", value.encode())])

    assert (ID, sampled) == (span.trace_id, span.sampled)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"traceparent", PARENT), (b"traceparent", PARENT)],
        [(b"traceparent", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01")],
        [(b"traceparent", PARENT + b"\n")],
        [(b"x-cloud-trace-context", b"../../etc")],
    ],
    ids=["none", "doubled", "zeros", "line break", "no trace"],
)
def test_a_trace_begins_where_none_is_sent(headers: list[tuple[bytes, bytes]]) -> None:
    first, second = Span.of(headers), Span.of(headers)

    assert 32 == len(first.trace_id)
    assert 2 == len({first.trace_id, second.trace_id} - {ID})
    assert not first.sampled


def test_both_headers_name_the_same_span() -> None:
    (_, cloud), (_, parent) = Span.of([]).headers

    trace_id, _, rest = cloud.partition("/")
    assert f"00-{trace_id}-{int(rest.partition(';')[0]):016x}-00" == parent
