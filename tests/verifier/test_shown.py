"""What an error, a log line or an explanation shows of a value: one line of it, and not more than a bound."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.shown import LONGEST, first_quoted, quoted, shortened, shown, token_safe

LONG = "x" * 900_000
LINES = "x\n" * 450_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("short", "short"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 20 + "…"),
        ("é\u4e2d", "é\u4e2d"),
        ("a\nb\r\x1b[0m\x00", r"a\nb\r\x1b[0m\x00"),
        ("\u2028\udcff", r"\u2028\udcff"),
        ("\n" * 20, r"\n" * 10 + "…"),
        ("x" * 20 + "\n", "x" * 20 + "…"),
    ],
)
def test_a_value_is_clipped_and_what_is_not_printed_is_escaped(value: str, expected: str) -> None:
    assert expected == shown(value, 20)


@pytest.mark.parametrize(
    "value", ["\n", "\x7f", "\x85", "\u2028", "\u202e", "\udcff", "\U000e0001"], ids=ascii
)
def test_the_same_escapes_are_used_everywhere(value: str) -> None:
    escaped = shown(value, 20)

    assert escaped.isprintable()
    assert escaped == shortened(value)
    assert f"'{escaped}'" == quoted(value) == token_safe(value)


# In sentences on policies and settings.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("roles/run.invoker", "roles/run.invoker"),
        ("", ""),
        ("\u00e9", "\u00e9"),
        ("a\nb\x1b[0m", r"a\nb\x1b[0m"),
        ("x" * LONGEST, "x" * LONGEST),
        (LONG, "x" * LONGEST + "… (900000 characters)"),
        (LINES, r"x\n" * 66 + "x\\… (900000 characters)"),
        ("\n" * 100, r"\n" * 100),
        (r"a\b", r"a\b"),
        ("a\\b\n", r"a\b\n"),
        ("\n" * 150, r"\n" * 100 + "… (150 characters)"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_text_is_shown_in_one_line_up_to_its_longest_part(text: str, expected: str) -> None:
    assert expected == shortened(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "'x'"),
        (LONG, "'" + "x" * (LONGEST - 1) + "… (900000 characters)"),
        (None, "None"),
        (True, "True"),
        (7, "7"),
        ("x" * LONGEST, "'" + "x" * LONGEST + "'"),
        ("x" * (LONGEST + 1), "'" + "x" * (LONGEST - 1) + "… (201 characters)"),
        ("\n" * 100, "'" + r"\n" * 100 + "'"),
        ("\n" * 101, "'" + r"\n" * 99 + "\\… (101 characters)"),
        (-(2**63), "-9223372036854775808"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, "a number of more than 64 bits"),
        (10**5000, "a number of more than 64 bits"),
        (1.5, "1.5"),
        ([LONG], "a value of type list"),
        ({"a": LONG}, "a value of type dict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_by_its_type_if_it_is_no_plain_one(value: object, expected: str) -> None:
    assert expected == quoted(value)


def test_of_several_values_always_the_same_one_is_shown() -> None:
    assert "'a'" == first_quoted(["b", "a", LONG]) == first_quoted([LONG, "a", "b"])
    assert "'z'" == first_quoted([7, "z"])


# Of what may be a part of a token.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "''"),
        ("RS256", "'RS256'"),
        ("a" * 16, f"'{'a' * 16}'"),
        ("a" * 17, f"'{'a' * 16}'…"),
        ("a" * 100_000, f"'{'a' * 16}'…"),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        ("it's", '"it\'s"'),
        ("\ud800", r"'\ud800'"),
        (None, "'None'"),
        (17, "'17'"),
        (True, "'True'"),
    ],
    ids=[
        "empty",
        "short",
        "bound",
        "over",
        "long",
        "control",
        "quote",
        "surrogate",
        "none",
        "number",
        "bool",
    ],
)
def test_what_is_quoted_is_clipped_to_16_characters(text: Any, expected: str) -> None:
    assert expected == token_safe(text)


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_no_quote_repeats_more_than_16_characters_or_leaves_its_line(text: str) -> None:
    quoted = token_safe(text)

    assert quoted.removesuffix("…").isprintable()
    assert quoted in (repr(text), repr(text[:16]) + "…")
    assert (len(text) > 16) is (quoted[-1] == "…")


@pytest.mark.parametrize("depth", [10, 500, 900])
def test_quoting_a_value_that_is_nested_deeply_raises_nothing(depth: int) -> None:
    """The repr of such a value is beyond the recursion limit."""
    value: object = 1
    for _ in range(depth):
        value = MappingProxyType({"a": value})

    assert 16 + 2 + 1 >= len(token_safe(value))


def test_quoting_a_number_of_too_many_digits_raises_nothing() -> None:
    assert 16 + 2 + 1 >= len(token_safe(10**5000))
