from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.errors import MalformedTokenError, Reason, SignatureError, TokenError
from doorward.tokens import jws
from support.tokens import b64

GOOD_HEADER = {"alg": "RS256", "kid": "key-1", "typ": "JWT"}


def read_payload(segment: bytes) -> dict[str, object]:
    return jws.split(b"h." + segment + b".s").read_claims()


def decode_signature(segment: bytes) -> bytes:
    return jws.split(b"h.p." + segment).decode_signature()


def header_segment(**changed: object) -> bytes:
    made = {name: value for name, value in (GOOD_HEADER | changed).items() if value is not None}
    return b64(json.dumps(made).encode()).encode()


# To bytes.


@pytest.mark.parametrize("token", ["a.b.c", b"a.b.c"], ids=["str", "bytes"])
def test_a_token_may_be_text_or_bytes(token: str | bytes) -> None:
    assert b"a.b.c" == jws.to_bytes(token)


@pytest.mark.parametrize("token", ["a.b.ç", "a.b.\ud800", "а.b.c"], ids=["latin", "surrogate", "cyrillic"])  # noqa: RUF001 - the look-alike is the point
def test_a_token_that_is_not_ascii_is_malformed(token: str) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.to_bytes(token)

    assert Reason.MALFORMED == caught.value.reason


def test_the_error_about_a_token_that_is_not_ascii_holds_it_nowhere_not_even_in_its_context() -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.to_bytes("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl\u00e9")

    assert "eyJhbGciOiJSUzI1NiJ9" not in repr(
        (caught.value, caught.value.__cause__, caught.value.__context__)
    )


@pytest.mark.parametrize(
    "token",
    [None, 7, ["a.b.c"], bytearray(b"a.b.c"), memoryview(b"a.b.c")],
    ids=lambda token: type(token).__name__,
)
def test_what_is_neither_text_nor_bytes_is_the_mistake_of_the_caller(token: object) -> None:
    with pytest.raises(TypeError, match="a token is str or bytes"):
        jws.to_bytes(token)  # type: ignore[arg-type]


# Segments.


def test_a_compact_jws_has_three_segments() -> None:
    token = jws.split(b"h.p.s")

    assert (b"h", b"p", b"s") == (token.header, token.payload, token.signature)
    assert sha256(b"h.p.s").digest() == token.digest
    assert b"h.p" == token.signed


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"h",
        b"h.p",
        b"h.p.s.x",
        b"h.k.i.c.t",
        b"h.p.s.",
        b".h.p.s",
        b"..",
        b"h.p.",
        b"h..s",
        b".p.s",
        b"." * 1_000_000,
    ],
    ids=[
        "nothing",
        "one",
        "two",
        "four",
        "five, as a JWE has",
        "dot at the end",
        "dot at the start",
        "only dots",
        "no signature",
        "no payload",
        "no header",
        "a million dots",
    ],
)
def test_anything_but_three_full_segments_is_malformed(token: bytes) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.split(token)

    assert Reason.MALFORMED == caught.value.reason


# The header.


def test_a_header_names_an_algorithm_and_a_key() -> None:
    assert jws.Header("RS256", "key-1") == jws.read_header(header_segment())


@pytest.mark.parametrize("name", ["cty", "Typ", "x5t", "x5t#S256", "foo", "Crit", "JWK"])
def test_a_parameter_that_steers_nothing_is_ignored(name: str) -> None:
    assert jws.Header("RS256", "key-1") == jws.read_header(header_segment(**{name: "x"}))


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"])
@pytest.mark.parametrize("value", ["", [], {}, False, True, ["exp"], "DEF"], ids=repr)
def test_a_parameter_that_could_steer_is_refused_whatever_its_value(name: str, value: object) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(header_segment(**{name: value}))

    assert Reason.HEADER_NOT_ALLOWED == caught.value.reason
    assert name in caught.value.message


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"])
def test_a_parameter_that_could_steer_is_refused_though_it_is_null(name: str) -> None:
    segment = b64(json.dumps(GOOD_HEADER | {name: None}).encode()).encode()

    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(segment)

    assert Reason.HEADER_NOT_ALLOWED == caught.value.reason


@pytest.mark.parametrize("kid", [None, "", 7, True, ["key-1"], {"kid": "key-1"}], ids=repr)
def test_a_header_without_a_proper_key_id_is_refused(kid: object) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(header_segment(kid=kid))

    assert Reason.KID_MISSING == caught.value.reason


@pytest.mark.parametrize(
    "kid", ["k" * 257, "a\nb", "a\x00b", "a\u202eb"], ids=["long", "newline", "nul", "bidi"]
)
def test_a_key_id_that_is_long_or_not_printable_is_malformed(kid: str) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(header_segment(kid=kid))

    assert Reason.MALFORMED == caught.value.reason
    assert kid not in str(caught.value)


def test_a_key_id_of_256_characters_is_taken() -> None:
    assert "k" * 256 == jws.read_header(header_segment(kid="k" * 256)).kid


@pytest.mark.parametrize("alg", [None, 7, True, ["RS256"], {"alg": "RS256"}], ids=repr)
def test_a_header_without_an_algorithm_in_words_is_refused(alg: object) -> None:
    with pytest.raises(SignatureError) as caught:
        jws.read_header(header_segment(alg=alg))

    assert Reason.ALGORITHM_NOT_ALLOWED == caught.value.reason


def test_a_header_of_ten_parameters_is_read_and_one_more_is_not() -> None:
    more = {f"x{number}": "y" for number in range(11 - len(GOOD_HEADER))}
    fitting = dict(list(more.items())[1:])

    assert "key-1" == jws.read_header(header_segment(**fitting)).kid
    with pytest.raises(MalformedTokenError, match="too many parameters") as caught:
        jws.read_header(header_segment(**more))
    assert Reason.MALFORMED == caught.value.reason


def test_a_header_of_1024_characters_is_read_and_one_more_byte_is_not() -> None:
    fitting = header_segment(pad="x" * (768 - len(json.dumps(GOOD_HEADER | {"pad": ""}))))

    assert 1024 == len(fitting)
    assert "key-1" == jws.read_header(fitting).kid
    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(fitting + b"A")
    assert Reason.MALFORMED == caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        b'{"alg":"RS256","kid":"key-1","kid":"key-2"}',
        b'{"alg":"RS256","alg":"none","kid":"key-1"}',
        b'\xef\xbb\xbf{"alg":"RS256","kid":"key-1"}',
        '{"alg":"RS256","kid":"key-1"}'.encode("utf-16"),
        b'{"alg":"RS256","kid":"\xff"}',
        b'{"alg":"RS256","kid":"\\ud800"}',
        b'["RS256","key-1"]',
        b'"RS256"',
        b"null",
        b"",
        b"{",
        b'{"alg":"RS256","kid":"key-1"} x',
        b'{"alg":"RS256","kid":"key-1","x":NaN}',
        b'{"alg":"RS256","kid":"key-1","x":-Infinity}',
        b'{"alg":"RS256","kid":"key-1","x":1e999}',
        b"{'alg':'RS256','kid':'key-1'}",
    ],
    ids=repr,
)
def test_a_header_that_is_not_strict_json_is_malformed(text: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        jws.read_header(b64(text).encode() or b"AA")

    assert Reason.MALFORMED == caught.value.reason


# The payload.


def test_what_is_nested_in_a_payload_is_read_only() -> None:
    payload = read_payload(b64(b'{"a":{"b":[{"c":1}]}}').encode())

    inner: Any = payload["a"]
    assert {"b": ({"c": 1},)} == inner
    with pytest.raises(TypeError):
        inner["b"][0]["c"] = 2


@pytest.mark.parametrize(
    "text",
    [
        b'{"aud":"good","aud":"bad"}',
        b'{"a":{"b":1,"b":1}}',
        b'\xef\xbb\xbf{"aud":"good"}',
        '{"aud":"good"}'.encode("utf-16"),
        '{"aud":"good"}'.encode("utf-16-le"),
        '{"aud":"good"}'.encode("utf-32"),
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":-Infinity}',
        b'{"exp":1e400}',
        b'{"exp":' + b"9" * 5000 + b"}",
        b'{"email":"\\udfff"}',
        b'{"\\ud83d":1}',
        b'{"a":["\\ud83d"]}',
        b'{"email":"\xed\xa0\x80"}',
        b'{"a":"\x00"}',
        b"[]",
        b"1",
        b'{"a":1}{"a":1}',
        b"{" * 3000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_a_payload_with_more_than_one_reading_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        read_payload(b64(text).encode())

    assert Reason.MALFORMED == caught.value.reason


def test_a_pair_of_surrogates_is_one_character_and_read() -> None:
    assert {"name": "\U0001f600"} == read_payload(b64(b'{"name":"\\ud83d\\ude00"}').encode())


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_no_bytes_raise_anything_but_a_token_error(raw: bytes) -> None:
    for read in (jws.split, decode_signature, jws.read_header, read_payload):
        try:
            read(raw)
        except TokenError as error:
            assert error.reason  # noqa: PT017 - most inputs fail, some do not


@pytest.mark.parametrize("kind", ["JWT", "jwt", "application/jwt", "APPLICATION/JWT", "JOSE", None])
def test_an_id_token_is_a_plain_jwt_or_does_not_name_its_kind(kind: str | None) -> None:
    assert "key-1" == jws.read_header(header_segment(typ=kind)).kid


@pytest.mark.parametrize(
    "kind",
    [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "kb+jwt",
        "vc+sd-jwt",
        "passport",
        "jwt ",
        "x",
        "",
        7,
        True,
        ["JWT"],
        {"JWT": 1},
    ],
    ids=repr,
)
def test_a_token_of_another_kind_is_refused(kind: object) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(header_segment(typ=kind))

    assert Reason.HEADER_NOT_ALLOWED == caught.value.reason


def test_a_kind_that_is_null_is_refused() -> None:
    with pytest.raises(MalformedTokenError) as caught:
        jws.read_header(b64(b'{"alg":"RS256","kid":"key-1","typ":null}').encode())

    assert Reason.HEADER_NOT_ALLOWED == caught.value.reason
