"""Which headers pass the gateway, in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward_integrations.gateway.headers import HOP_BY_HOP, for_client, for_upstream
from doorward_integrations.gateway.trace import Span

SPAN = Span("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
ADDED = [
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("x-cloud-trace-context", "0af7651916cd43dd8448eb211c80319c/13235353014750950193;o=1"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]


def sent(*headers: tuple[bytes, bytes], websocket: bool = False) -> list[tuple[str, str]]:
    return for_upstream(list(headers), "192.0.2.1", "https", SPAN, websocket=websocket)


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP), ids=bytes.decode)
def test_what_is_for_the_connection_ends_at_the_gateway(name: bytes) -> None:
    assert ADDED == sent((name, b"x"))
    assert [] == for_client([(name.upper(), b"x")])


def test_what_connection_names_ends_at_the_gateway() -> None:
    headers = [
        (b"connection", b"close, X-One"),
        (b"x-one", b"1"),
        (b"x-two", b"2"),
        (b"connection", b"\tx-TWO "),
    ]

    assert ADDED == sent(*headers, (b"x-one", b"again"))
    assert [(b"x-three", b"3")] == for_client([*headers, (b"X-Three", b"3")])


@pytest.mark.parametrize(
    "name",
    [
        b"forwarded",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-anything",
        b"x-real-ip",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-cloud-trace-context",
        b"traceparent",
        b"proxy",
    ],
    ids=bytes.decode,
)
def test_what_only_a_platform_may_say_is_not_believed_in_any_form_of_the_name(name: bytes) -> None:
    assert ADDED == sent((name, b"x"))
    for folded in {name.replace(b"-", b"_"), name.replace(b"-", b"_", 1)}:
        assert ADDED == sent((folded, b"x"))


@pytest.mark.parametrize(
    "name",
    [
        b"content_length",
        b"transfer_encoding",
        b"x_forwarded_for",
        b"x-forwarded_for",
        b"keep_alive",
        b"sec_websocket-key",
    ],
    ids=bytes.decode,
)
def test_a_name_that_folds_into_one_that_counts_is_removed(name: bytes) -> None:
    assert ADDED == sent((name, b"1"))


def test_an_ordinary_name_with_an_underscore_passes() -> None:
    assert [("x_own", "1"), *ADDED] == sent((b"x_own", b"1"))


def test_the_address_of_the_client_is_added_behind_those_that_it_names() -> None:
    headers = sent(
        (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2"), (b"accept", b"*/*"), (b"x-forwarded-for", b"10.0.0.3")
    )

    assert ("x-forwarded-for", "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.1") in headers
    assert 1 == [name for name, _ in headers].count("x-forwarded-for")


def test_each_connection_of_a_websocket_has_a_handshake_of_its_own() -> None:
    names = [
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
    ]

    assert ADDED == sent(*[(name, b"x") for name in names], websocket=True)
    answer = [(b"Sec-WebSocket-Accept", b"x"), (b"Set-Cookie", b"a=1")]
    assert [(b"set-cookie", b"a=1")] == for_client(answer, handshake=True)


def test_a_length_beside_a_transfer_encoding_is_not_handed_back() -> None:
    assert [] == for_client([(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")])


@given(st.lists(st.tuples(st.sampled_from([b"accept", b"cookie", b"x-own"]), st.binary(max_size=8))))
def test_ordinary_headers_of_an_answer_are_handed_back_as_they_are(
    headers: list[tuple[bytes, bytes]],
) -> None:
    assert headers == for_client(headers)
