from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.base64url import Base64Error, decode
from support.tokens import b64


@given(st.binary(max_size=80))
@settings(deadline=None, max_examples=200)
def test_the_canonical_spelling_of_any_bytes_decodes_to_them(raw: bytes) -> None:
    assert raw == decode(b64(raw).encode())


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_whatever_decodes_is_the_one_spelling_of_what_it_decodes_to(segment: bytes) -> None:
    try:
        decoded = decode(segment)
    except Base64Error:
        return

    assert segment == b64(decoded).encode()


@given(st.text("AQgwEIMYcko048BZz-_+/=9", max_size=12))
@settings(deadline=None, max_examples=500)
def test_a_text_of_the_alphabet_is_accepted_exactly_where_it_is_canonical(text: str) -> None:
    try:
        lenient = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        canonical = b64(lenient) == text and not set(text) & set("+/=")
    except ValueError:
        canonical = False
    try:
        decode(text.encode())
        accepted = True
    except Base64Error:
        accepted = False

    assert canonical == accepted


@pytest.mark.parametrize(
    "segment",
    [
        b"YQ==",
        b"YWI=",
        b"YR",
        b"YWJ",
        b"Y",
        b"YWJjZ",
        b"YW\nI",
        b"YWI\n",
        b" YWI",
        b"YW I",
        b"Y+I_",
        b"Y/I-",
        b"YWI%3D",
        b"Y\x00I",
        b"\xffWI",
        b"YWJj====",
        b"=YWJj",
        b"Y=Jj",
        b"YWJj\r\n",
    ],
    ids=repr,
)
def test_every_other_spelling_is_refused_and_not_repeated(segment: bytes) -> None:
    with pytest.raises(Base64Error) as caught:
        decode(segment)

    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert segment not in str(caught.value).encode() or segment == b"Y"
