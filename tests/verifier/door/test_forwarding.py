from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.door.credentials import find_credential
from doorward.door.forwarding import Forwarding

Headers = list[tuple[bytes, bytes]]

A = b"authorization"
S = b"x-serverless-authorization"
REMOVED = b"SIGNATURE_REMOVED_BY_GOOGLE"
FORWARDING = Forwarding(find_credential)


def test_the_signature_of_the_checked_token_is_replaced_and_nothing_else() -> None:
    headers: Headers = [
        (b"host", b"a.b.c"),
        (A, b"Bearer h.p.sig"),
        (b"cookie", b"x=h.p.sig"),
        (b"host", b"again"),
    ]

    assert [
        (b"host", b"a.b.c"),
        (A, b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE"),
        (b"cookie", b"x=h.p.sig"),
        (b"host", b"again"),
    ] == FORWARDING.admitted(headers, 1)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"bearer   ", b" Bearer "])
def test_the_scheme_stays_as_it_was_spelled(scheme: bytes) -> None:
    assert [(A, scheme + b"h.p." + REMOVED)] == FORWARDING.admitted([(A, scheme + b"h.p.sig")], 0)


def test_the_other_header_is_passed_untouched() -> None:
    headers: Headers = [(A, b"Bearer own.own.own"), (S, b"bearer h.p.sig"), (A, b"Basic eDp5")]

    assert [
        (A, b"Bearer own.own.own"),
        (S, b"bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE"),
        (A, b"Basic eDp5"),
    ] == FORWARDING.admitted(headers, 1)


@pytest.mark.parametrize("name", [b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_only_a_platform_may_say_is_taken_out_wherever_it_stands(name: bytes, place: int) -> None:
    """CVE-2024-45806 (Envoy): trusted headers accepted from outside."""
    headers: Headers = [(A, b"Bearer h.p.sig"), (b"host", b"x")]
    headers[place:place] = [(name, b"accounts.google.com:root@example.com")] * 2
    index = headers.index((A, b"Bearer h.p.sig"))

    assert [(A, b"Bearer h.p." + REMOVED), (b"host", b"x")] == FORWARDING.admitted(headers, index)
    assert [(A, b"Bearer h.p.sig"), (b"host", b"x")] == FORWARDING.anonymous(headers)


def test_the_headers_of_the_request_are_not_changed_themselves() -> None:
    headers: Headers = [(A, b"Bearer h.p.sig"), (b"x-goog-authenticated-user-id", b"1")]
    before = [*headers]

    FORWARDING.admitted(headers, 0)
    FORWARDING.anonymous(headers)

    assert before == headers


def test_an_anonymous_request_keeps_its_own_credential_and_loses_the_one_that_nobody_checked() -> None:
    headers: Headers = [(S, b"Bearer h.p.s"), (A, b"Bearer own"), (b"host", b"x"), (S, b"")]

    assert [(A, b"Bearer own"), (b"host", b"x")] == FORWARDING.anonymous(headers)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE",
        b"Bearer a, Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE",
        b"bearer  .p.SIGNATURE_REMOVED_BY_GOOGLE",
    ],
)
def test_an_anonymous_request_does_not_bring_a_token_that_looks_checked(value: bytes) -> None:
    """What the door writes after a check must never be in what it passes on without one."""
    assert not any(REMOVED in passed for _, passed in FORWARDING.anonymous([(A, value), (b"host", b"x")]))


names = st.sampled_from(
    [A, S, b"host", b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id", b"x"]
)


@given(
    st.lists(st.tuples(names, st.binary(max_size=8)), max_size=6), st.integers(0, 6), st.sampled_from([A, S])
)
@settings(deadline=None, max_examples=300)
def test_of_any_headers_only_the_checked_one_changes(headers: Headers, place: int, name: bytes) -> None:
    place = min(place, len(headers))
    headers.insert(place, (name, b"Bearer h.p.sig"))
    forbidden = {b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id"}
    expected = [
        (name, b"Bearer h.p." + REMOVED) if index == place else pair
        for index, pair in enumerate(headers)
        if pair[0] not in forbidden
    ]

    assert expected == FORWARDING.admitted(headers, place)
