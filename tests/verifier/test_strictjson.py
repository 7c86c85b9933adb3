"""JSON objects with exactly one reading."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doorward.strictjson import StrictJSONError, read_brief, read_members, read_object

QUICK = 2.0
"""Seconds in which even a hostile text is answered, on a busy machine."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=6)


def refused(raw: bytes) -> str:
    """Read what must be refused, and give the sentence."""
    with pytest.raises(StrictJSONError) as caught:
        read_object(raw)
    return str(caught.value)


def thawed(value: object) -> object:
    """Turn what was read back into what `json` makes of it."""
    if isinstance(value, Mapping):
        return {name: thawed(member) for name, member in value.items()}
    return [thawed(member) for member in value] if isinstance(value, tuple) else value


# What is read.


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", {}),
        (b' \t\r\n{ "a" : 1 }\n', {"a": 1}),
        (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
        (b'{"a":[],"b":[{"c":[1,[2]]}]}', {"a": (), "b": ({"c": (1, (2,))},)}),
        (b'{"a":null,"b":true,"c":-0.5,"d":1e3}', {"a": None, "b": True, "c": -0.5, "d": 1000.0}),
        ('{"ä":"é\U0001f600"}'.encode(), {"ä": "é\U0001f600"}),
        (rb'{"a":"\ud83d\ude00"}', {"a": "\U0001f600"}),
        (rb'{"a":"\\ud800"}', {"a": r"\ud800"}),
        (rb'{"a":"[\u005b"}', {"a": "[["}),
        (b'{"a":1e-400}', {"a": 0.0}),
        (b'{"a":9007199254740993}', {"a": 9007199254740993}),
        (b'{"":0}', {"": 0}),
    ],
    ids=[
        "empty",
        "white-space",
        "nested",
        "arrays",
        "scalars",
        "utf-8",
        "surrogate-pair",
        "escaped-backslash",
        "brackets-in-text",
        "underflow",
        "large-integer",
        "empty-name",
    ],
)
def test_one_object_is_read(raw: bytes, expected: dict[str, object]) -> None:
    assert expected == read_object(raw)


def test_the_kinds_of_numbers_are_kept_apart() -> None:
    found = read_object(b'{"int":1,"float":1.0,"bool":true}')

    assert [int, float, bool] == [type(value) for value in found.values()]


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=100, deadline=None)
def test_what_is_valid_reads_as_json_reads_it(
    value: dict[str, Any],
    ascii_only: bool,  # noqa: FBT001 - drawn
    indent: int | None,
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()

    assert json.loads(raw) == thawed(read_object(raw))


# What is refused.


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[[{"a":1,"a":2}]]}',
        b'{"a":{},"a":[]}',
        rb'{"a":1,"\u0061":2}',
        b'{"":1,"":2}',
        b'{"x":{"a":1,"a":2},"x":1}',
    ],
    ids=["same", "apart", "nested", "in-arrays", "other-types", "escaped", "empty-name", "twice"],
)
def test_a_name_that_occurs_twice_is_refused_at_any_depth(raw: bytes) -> None:
    assert "a member name occurs twice" == refused(raw)


def test_one_name_in_two_objects_is_no_duplicate() -> None:
    assert {"a": {"a": 1}, "b": ({"a": 1}, {"a": 1})} == read_object(b'{"a":{"a":1},"b":[{"a":1},{"a":1}]}')


def test_names_that_only_look_alike_are_no_duplicates() -> None:
    """Unicode is compared as it stands, composed or not (RFC 8259, section 8.3)."""
    assert ["\u00e9", "e\u0301"] == list(read_object('{"\u00e9":1,"e\u0301":2}'.encode()))


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("place", [b'{"a":%s}', b'{"a":[{"b":%s}]}'], ids=["top", "nested"])
def test_what_is_not_a_number_is_not_json(place: bytes, literal: bytes) -> None:
    assert "NaN and Infinity are not JSON" == refused(place % literal)


@pytest.mark.parametrize("number", [b"1e400", b"-1e999", b"1" + b"0" * 400 + b".0", b"1E+1000000000"])
def test_a_number_that_overflows_is_refused(number: bytes) -> None:
    assert "a number is out of range" == refused(b'{"a":' + number + b"}")


@pytest.mark.parametrize("sign", [b"", b"-"], ids=["positive", "negative"])
def test_an_integer_of_thousands_of_digits_is_refused_quickly(sign: bytes) -> None:
    began = time.monotonic()

    assert "a number is out of range" == refused(b'{"a":' + sign + b"9" * 200_000 + b"}")
    assert QUICK > time.monotonic() - began


@pytest.mark.parametrize("before", [0, 1, 255, 256, 300, 5000])
def test_of_a_long_text_an_integer_has_512_digits_at_most(before: int) -> None:
    pad = b'{"b":"' + b"x" * before + b'","c":"' + b"y" * 1024 + b'",'

    assert 10**511 == read_object(pad + b'"a":1' + b"0" * 511 + b"}")["a"]
    assert "a number is out of range" == refused(pad + b'"a":1' + b"0" * 512 + b"}")
    assert "a number is out of range" == refused(pad + b'"a":[1,' + b"9" * 513 + b"]}")
    assert "a number is out of range" == refused(b'{"a":"' + b"9" * 513 + b'","b":"' + b"y" * 1024 + b'"}')


@pytest.mark.parametrize(
    "raw",
    [
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-16-be"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":"\xe9"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xe2\x82',
    ],
    ids=[
        "bom",
        "utf-16-bom",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "latin-1",
        "overlong",
        "surrogate",
        "beyond-unicode",
        "cut",
    ],
)
def test_what_is_not_plain_utf_8_is_refused(raw: bytes) -> None:
    assert "not UTF-8 JSON text" == refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"a":"\ud800"}',
        rb'{"a":"\udfff"}',
        rb'{"a":"\uDC00"}',
        rb'{"a":"\ude00\ud83d"}',
        rb'{"\ud800":1}',
        rb'{"a":{"b":[1,{"c":["x\ud800"]}]}}',
        rb'{"a":[{"\ud800":1}]}',
    ],
    ids=["high", "low", "capitals", "swapped", "name", "nested", "nested-name"],
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(raw: bytes) -> None:
    assert "a string holds a lone surrogate" == refused(raw)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b"[", b"")],
    ids=["arrays", "objects", "both", "unclosed"],
)
def test_what_is_nested_too_deeply_is_one_quick_error(opening: bytes, closing: bytes) -> None:
    began = time.monotonic()

    assert "nested too deeply" == refused(b'{"a":' + opening * 100_000 + b"1" + closing * 100_000 + b"}")
    assert QUICK > time.monotonic() - began


@pytest.mark.parametrize(("depth", "read"), [(1, True), (62, True), (63, True), (64, False), (900, False)])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [(b"[", b"]"), (rb'["\u0061",', b"]"), (b'{"a":', b"}"), (rb'{"\u0061":', b"}")],
    ids=["arrays", "escaped-arrays", "objects", "escaped-objects"],
)
def test_64_levels_are_read_and_not_one_more(opening: bytes, closing: bytes, depth: int, read: bool) -> None:  # noqa: FBT001 - a parameter of the test
    outcome: object
    try:
        outcome = type(read_object(b'{"a":' + opening * depth + b"1" + closing * depth + b"}")["a"])
    except StrictJSONError as error:
        outcome = str(error)

    assert (outcome in (tuple, MappingProxyType)) if read else ("nested too deeply" == outcome)


def test_many_brackets_are_not_many_levels() -> None:
    wide = b'{"a":[' + b",".join([b'{"b":[]}'] * 500) + b'],"c":"' + b"[{" * 500 + b'\\"]"}'

    assert 500 == len(read_object(wide)["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"[]", b"[{}]", b'"a"', b"1", b"1.5", b"true", b"null", b" [] "])
def test_what_is_json_but_no_object_is_refused(raw: bytes) -> None:
    assert "not a JSON object" == refused(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}}",
        b"{}{}",
        b"{},",
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":0x1}',
        b'{"a":1}//',
        b'{"a":/**/1}',
        b'{"a":"\n"}',
        b'{"a":"\0"}',
        b'{"a":1}\0',
        rb'{"a":"\x41"}',
        rb'{"a":"\u12"}',
        b'{"a":True}',
        b'\x0b{"a":1}',
        '\u00a0{"a":1}'.encode(),
        '{"a":\u0661}'.encode(),
    ],
    ids=repr,
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    assert "not UTF-8 JSON text" == refused(raw)


def test_no_error_repeats_the_content() -> None:
    for raw in (
        b'{"secret":',
        b'{"secret":1,"secret":2}',
        b'["secret"]',
        rb'{"secret":"\ud800"}',
        b'"secret\xff',
    ):
        with pytest.raises(StrictJSONError) as caught:
            read_object(raw)
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@example(b'{"a":1}')
@example(b"\xff\xfe{\x00}\x00")
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_raise_nothing_else(raw: bytes) -> None:
    try:
        found = read_object(raw)
    except StrictJSONError:
        return
    assert json.loads(raw) == thawed(found)


@given(st.text(st.sampled_from('{}[]:,"\\u0d8Ee-+.1 aNnIi'), max_size=60))
@settings(max_examples=300, deadline=None)
def test_text_that_is_nearly_json_raises_nothing_else(text: str) -> None:
    try:
        found = read_object(b'{"a":' + text.encode() + b"}")
    except StrictJSONError:
        return
    assert "a" in found


# What cannot be changed.


def test_what_was_read_cannot_be_changed_at_any_depth() -> None:
    def check(value: object) -> None:
        assert type(value) in (MappingProxyType, tuple, int, str)
        for member in value.values() if isinstance(value, Mapping) else value if type(value) is tuple else ():
            check(member)

    check(read_object(b'{"a":{"b":[{"c":[1,[{"d":"x"}]]},2]},"e":[],"f":{}}'))


def test_a_member_can_be_neither_set_nor_deleted() -> None:
    found: Any = read_object(b'{"a":{"b":[1]}}')

    with pytest.raises(TypeError, match="item assignment"):
        found["a"] = 1
    with pytest.raises(TypeError, match="item assignment"):
        found["a"]["b"] = 1
    with pytest.raises(TypeError, match="item assignment"):
        found["a"]["b"][0] = 2
    with pytest.raises(TypeError, match="item deletion"):
        del found["a"]


@given(OBJECTS)
@settings(max_examples=50, deadline=None)
def test_nothing_that_can_be_changed_is_in_what_was_read(value: dict[str, Any]) -> None:
    def kinds(found: object) -> set[type]:
        inner = found.values() if isinstance(found, Mapping) else found if isinstance(found, tuple) else ()
        return {type(found)}.union(*map(kinds, inner))

    found = kinds(read_object(json.dumps(value).encode()))

    assert found <= {MappingProxyType, tuple, str, int, float, bool, type(None)}


# A little at a time.


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except StrictJSONError as error:
        return str(error)


json_texts = st.text(st.sampled_from('{}[]:,"\\u0d8Ee-+.1 aNnIi'), max_size=60).map(
    lambda text: '{"a":' + text + "}"
) | st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["1", '"x"', '","', '"{"', "null", "{}"])), max_size=6
).map(lambda members: "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}")


@given(json_texts)
@example('{"a":1,"a":2}')
@example('{"a":1,"b":","}')
@example('{"a":1,"a":","}')
@example('{"a" :1 , "a" : 2}')
@example("{}")
@example('{"a":1} x')
@example(' {"a":1}')
@example('{"a":NaN}')
@example('{"a":1e999}')
@example('{"a\\"b":"\\n","a":"c,d"}')
@example('{"a":1,"\\u0061":2}')
@example('{"\\n":1,"\\n":2}')
@example('{"a":"\\udc00"}')
@settings(max_examples=500, deadline=None)
def test_what_is_read_briefly_is_what_is_read_at_length(text: str) -> None:
    assert outcome(lambda: read_members(text.encode())) == outcome(lambda: read_brief(text.encode(), 100))


@pytest.mark.parametrize("last", ["1", '"\\u0061"'], ids=["plain", "escape"])
def test_as_many_values_are_read_as_are_allowed(last: str) -> None:
    text = '{"a":1,"b":2,"c":' + last + "}"

    assert read_brief(text.encode(), 3) is not None
    assert read_brief(text.encode(), 2) is None


@pytest.mark.parametrize(
    "text",
    [
        "{" + ",".join(f'"{number}":1' for number in range(18)) + "}",
        '{"a":[' + ",".join("1" * 18) + "]}",
        '{"a":' * 17 + "1" + "}" * 17,
        '{"a":' + "[" * 17 + "]" * 17 + "}",
        '{"a":"' + "," * 17 + '"}',
    ],
    ids=["members", "elements", "objects", "arrays", "commas in a string"],
)
def test_nothing_is_read_of_what_may_be_too_much(text: str) -> None:
    assert read_brief(text.encode(), 16) is None
    assert read_brief(text.encode(), 40) is not None
