"""What a decision may ask about a request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.policy.request import PlainRequest, host_name


@pytest.mark.parametrize(
    ("header", "host"),
    [
        (b"orders.example", "orders.example"),
        (b"Orders.Example", "orders.example"),
        (b"orders.example:8080", "orders.example"),
        (b"orders.example:", "orders.example"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"[::1]:80", "[::1]"),
        (b"[::1]", "[::1]"),
        (b" orders.example ", "orders.example"),
    ],
)
def test_a_host_is_named_without_its_port_in_lower_case(header: bytes, host: str) -> None:
    assert host == host_name(header)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"a b",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a@b",
        b"a:b",
        b"a:80:80",
        b"[::1",
        b"a,b",
        b"\xff",
        b"a\n",
        b"a\x00",
    ],
)
def test_what_is_not_a_host_is_none(header: bytes) -> None:
    assert not host_name(header)


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_whatever_comes_is_a_host_or_none(header: bytes) -> None:
    assert not set("/?#@, \r\n") & set(host_name(header))


def test_a_plain_request_shows_the_path_it_was_given() -> None:
    assert "/a b" == PlainRequest("/a b").sent_path
