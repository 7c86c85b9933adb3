"""The trace of a request, as its headers name it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.door.trace import Trace, read_trace

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
HEX = set("0123456789abcdef")


def read(**headers: bytes) -> Trace | None:
    return read_trace([(name.replace("_", "-").encode(), value) for name, value in headers.items()])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (PARENT, (TRACE, SPAN, True)),
        (PARENT[:-1] + b"0", (TRACE, SPAN, False)),
        (PARENT[:-2] + b"ff", (TRACE, SPAN, True)),
        (b"cc" + PARENT[2:] + b"-what-the-future-adds", (TRACE, SPAN, True)),
        (b" " + PARENT + b"\t", (TRACE, SPAN, True)),
    ],
)
def test_a_traceparent_names_trace_span_and_whether_it_is_sampled(
    header: bytes, expected: tuple[str, str, bool]
) -> None:
    trace, span, sampled = expected
    assert {"trace": trace, "span": span, "sampled": sampled} == read(traceparent=header)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{TRACE}/74;o=1", (TRACE, "000000000000004a", True)),
        (f"{TRACE.upper()}/74;o=0", (TRACE, "000000000000004a", False)),
        (f"{TRACE}/0;o=1", (TRACE, None, True)),
        (TRACE, (TRACE, None, False)),
        (f"{TRACE}/{2**64 - 1}", (TRACE, "f" * 16, False)),
        (f"{TRACE}/{2**64}", (TRACE, None, False)),
    ],
)
def test_the_header_of_google_names_the_span_in_decimal(
    header: str, expected: tuple[str, str | None, bool]
) -> None:
    trace, span, sampled = expected
    assert {"trace": trace, "span": span, "sampled": sampled} == read(x_cloud_trace_context=header.encode())


def test_the_traceparent_comes_first_and_the_other_stands_in_for_a_bad_one() -> None:
    other = f"{'1' * 32}/5;o=1".encode()

    assert read(traceparent=PARENT) == read(traceparent=PARENT, x_cloud_trace_context=other)
    assert read(x_cloud_trace_context=other) == read(traceparent=b"00-x", x_cloud_trace_context=other)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        PARENT.upper(),
        b"ff" + PARENT[2:],
        PARENT + b"-more",
        PARENT[:-1],
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        PARENT + b"\n",
        b"cc" + PARENT[2:] + b"-" + b"x" * 257,
        b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        b"\xff" * 55,
    ],
)
def test_what_is_not_in_the_exact_form_is_no_trace(header: bytes) -> None:
    assert None is read(traceparent=header)
    assert None is read(x_cloud_trace_context=header)


def test_a_header_that_is_there_twice_is_none() -> None:
    assert None is read_trace([(b"traceparent", PARENT), (b"traceparent", PARENT)])


@given(st.sampled_from([b"traceparent", b"x-cloud-trace-context"]), st.binary(max_size=80))
def test_nothing_but_hexadecimal_digits_of_a_fixed_number_gets_through(name: bytes, value: bytes) -> None:
    found = read_trace([(name, value)])

    if found is not None:
        assert (32, True) == (len(found["trace"]), set(found["trace"]) <= HEX)
        assert found["span"] is None or (len(found["span"]) == 16 and set(found["span"]) <= HEX)
