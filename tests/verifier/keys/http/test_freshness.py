"""How long an answer of a key endpoint may be used: RFC 9111 and RFC 5861."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.keys.http.freshness import (
    DEFAULT_FRESH,
    LONGEST_FRESH,
    SHORTEST_FRESH,
    Freshness,
    Validators,
    freshness_of,
    http_date,
    validators_of,
)

NOW = 1_790_000_000.0
DAY = 86_400.0


def at(seconds: float) -> str:
    """Write the date so many seconds from now as HTTP does."""
    return formatdate(NOW + seconds, usegmt=True)


def stale_after(cache_control: str | None = None, **headers: str) -> float:
    """Give the stale_after age of an answer with those headers."""
    given_ = headers if cache_control is None else {"cache-control": cache_control, **headers}
    return freshness_of(given_, NOW, DAY).stale_after


def stale(cache_control: str, max_stale: float = DAY) -> float:
    """Give for how long an answer may serve past its freshness."""
    found = freshness_of({"cache-control": cache_control}, NOW, max_stale)
    return found.dead_after - found.stale_after


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Move this machine to New York."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# How long it is fresh.


def test_the_bounds_are_a_minute_and_a_day_and_an_hour_without_a_word() -> None:
    assert (60.0, 86_400.0, 3_600.0) == (SHORTEST_FRESH, LONGEST_FRESH, DEFAULT_FRESH)


@pytest.mark.parametrize(
    "cache_control",
    [
        "max-age=1800",
        "public, max-age=1800",
        "Max-Age=1800",
        "MAX-AGE=1800",
        'max-age="1800"',
        "public,max-age=1800,no-transform",
        "public , max-age=1800\t, no-transform",
        ",, max-age=1800 ,,",
        "max-age=00000000000001800",
        'private="max-age=5, no-store", max-age=1800',
        'ext="a\\", no-store, \\"b", max-age=1800',
        "max-age=1800, max-age=60000",
        "max-age=1800, s-maxage=60000",
        "x-max-age=5, max-age=1800",
        "no-cachex, max-age=1800",
        "immutable, max-age=1800, stale-while-revalidate=5",
    ],
)
def test_max_age_is_the_time_it_is_fresh_however_it_is_written(cache_control: str) -> None:
    assert 1800.0 == stale_after(cache_control)


@pytest.mark.parametrize(
    "cache_control",
    [
        "",
        " ",
        "public",
        "max-age",
        "max-age=",
        'max-age=""',
        "max-age=-5",
        "max-age=+1800",
        "max-age=1800.0",
        "max-age=1e3",
        "max-age=soon",
        "max-age=\u0661\u0668",
        "max-age=1\u00b2",
        "max-age = 1800",
        "max-age=1800s",
        "max-age=1800;",
        'max-age="1800',
        'max-age="18\\00"',
        "max-age=1800 public",
        "s-maxage=1800",
        "=1800",
        "\x00",
        '"',
        "no store",
        "max-age=x, max-age=1800",
    ],
    ids=repr,
)
def test_garbage_in_cache_control_counts_as_silence(cache_control: str) -> None:
    assert DEFAULT_FRESH == stale_after(cache_control)


def test_silence_means_an_hour() -> None:
    assert DEFAULT_FRESH == stale_after()


@pytest.mark.parametrize(
    "cache_control",
    [
        "no-store",
        "no-cache",
        "No-Store, max-age=3600",
        "max-age=3600, no-cache",
        'no-cache="set-cookie"',
        "max-age=0",
        "max-age=59",
    ],
)
def test_nothing_is_used_for_less_than_a_minute(cache_control: str) -> None:
    assert SHORTEST_FRESH == stale_after(cache_control)


@pytest.mark.parametrize("seconds", ["86401", "31536000", "2147483649", "9" * 30, "9" * 400])
def test_nothing_is_used_for_more_than_a_day(seconds: str) -> None:
    """A number too large to count is still a number (RFC 9111, section 1.2.2)."""
    assert LONGEST_FRESH == stale_after(f"max-age={seconds}")


def test_numbers_too_large_to_count_still_cancel_out() -> None:
    assert SHORTEST_FRESH == stale_after(f"max-age={'9' * 400}", age="9" * 400)


# How old it was on arrival.


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"age": "600"}, 3000.0),
        ({"age": "0"}, 3600.0),
        ({"age": "3600"}, SHORTEST_FRESH),
        ({"age": "9" * 30}, SHORTEST_FRESH),
        ({"age": "-600"}, 3600.0),
        ({"age": "600, 700"}, 3600.0),
        ({"age": "soon"}, 3600.0),
        ({"age": ""}, 3600.0),
        ({"date": at(-600)}, 3000.0),
        ({"date": at(0)}, 3600.0),
        ({"date": at(600)}, 3600.0),
        ({"date": "soon"}, 3600.0),
        ({"date": at(-DAY)}, SHORTEST_FRESH),
        ({"date": at(-DAY - 1)}, 3600.0),
        ({"date": at(-600), "age": "900"}, 2700.0),
        ({"date": at(-900), "age": "600"}, 2700.0),
    ],
    ids=repr,
)
def test_what_caches_and_dates_say_of_its_age_is_taken_off(headers: dict[str, str], expected: float) -> None:
    assert expected == stale_after("max-age=3600", **headers)


# Expires.


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"expires": at(1800)}, 1800.0),
        ({"expires": at(1800), "date": at(0)}, 1800.0),
        ({"expires": at(1800), "date": at(-600)}, 1800.0),
        ({"expires": at(9000), "date": at(7200)}, 1800.0),
        ({"expires": at(-1800)}, SHORTEST_FRESH),
        ({"expires": "0"}, SHORTEST_FRESH),
        ({"expires": at(10 * DAY)}, LONGEST_FRESH),
        ({"expires": "soon"}, DEFAULT_FRESH),
        ({"expires": ""}, DEFAULT_FRESH),
        ({"expires": at(1800), "cache-control": "public"}, 1800.0),
        ({"expires": at(1800), "cache-control": "max-age=x"}, 1800.0),
        ({"expires": at(1800), "cache-control": "max-age=7200"}, 7200.0),
        ({"expires": at(7200), "cache-control": "no-store"}, SHORTEST_FRESH),
    ],
    ids=[
        "alone",
        "with-date",
        "date-as-age",
        "clock-ahead",
        "past",
        "zero",
        "far",
        "garbage",
        "empty",
        "other-directive",
        "garbage-max-age",
        "max-age-first",
        "no-store-first",
    ],
)
def test_expires_counts_where_max_age_is_silent(headers: dict[str, str], expected: float) -> None:
    assert expected == stale_after(**headers)


# Dates.

MOMENT = 784_111_777.0


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
    ids=["imf", "rfc-850", "asctime"],
)
def test_every_form_of_a_date_is_read_as_utc_wherever_this_machine_stands(text: str) -> None:
    """RFC 9110, section 5.6.7."""
    assert MOMENT == http_date(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        ",",
        "0",
        "-1",
        "now",
        "1994-11-06T08:49:37Z",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +9999999",
        "\x00",
        "\ud800",
    ],
    ids=repr,
)
def test_what_is_not_a_date_is_none(text: str | None) -> None:
    assert http_date(text) is None


# How long it may serve past its freshness.


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("max-age=600", DAY),
        ("max-age=600, stale-if-error=300", 300.0),
        ("max-age=600, Stale-If-Error=300", 300.0),
        ("max-age=600, stale-if-error=0", 0.0),
        ("max-age=600, stale-if-error=999999", DAY),
        ("max-age=600, stale-if-error=x", DAY),
        ("max-age=600, stale-if-error", DAY),
        ("max-age=600, stale-if-error=300, stale-if-error=0", 300.0),
        ("max-age=600, stale-if-error=300, stale-while-revalidate=600", 600.0),
        ("max-age=600, stale-if-error=300, stale-while-revalidate=60", 300.0),
        ("max-age=600, must-revalidate", DAY),
        ("max-age=600, proxy-revalidate", DAY),
        ("max-age=600, stale-while-revalidate=5", DAY),
        ("no-store", DAY),
    ],
)
def test_the_endpoint_can_only_shorten_how_long_stale_keys_serve(cache_control: str, expected: float) -> None:
    assert expected == stale(cache_control)


@pytest.mark.parametrize(
    "cache_control",
    ["max-age=600, must-revalidate", "Must-Revalidate, max-age=600", "must-revalidate, stale-if-error=300"],
)
def test_must_revalidate_forbids_stale_keys_to_who_obeys_it(cache_control: str) -> None:
    found = freshness_of({"cache-control": cache_control}, NOW, DAY, obey_must_revalidate=True)

    assert found.stale_after == found.dead_after


def test_who_forbids_stale_keys_gets_none() -> None:
    assert 0.0 == stale("max-age=600, stale-if-error=300", max_stale=0.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {
                "cache-control": "public, max-age=19204, must-revalidate, no-transform",
                "expires": at(19204),
                "date": at(0),
                "age": "1204",
            },
            Freshness(18_000.0, 18_000.0 + DAY),
        ),
        ({"cache-control": "public, max-age=3000"}, Freshness(3000.0, 3000.0 + DAY)),
        (
            {"cache-control": "max-age=18671, must-revalidate, no-transform", "age": "18671"},
            Freshness(60.0, 60.0 + DAY),
        ),
        (
            {
                "cache-control": "no-cache, no-store, max-age=0, must-revalidate",
                "expires": "Mon, 01 Jan 1990 00:00:00 GMT",
                "pragma": "no-cache",
            },
            Freshness(60.0, 60.0 + DAY),
        ),
        ({"cache-control": "private, max-age=0", "expires": "-1"}, Freshness(60.0, 60.0 + DAY)),
    ],
    ids=["certs-from-a-cache", "iap", "at-its-end", "never", "private"],
)
def test_answers_as_they_are_seen_in_the_wild(headers: dict[str, str], expected: Freshness) -> None:
    assert expected == freshness_of(headers, NOW, DAY)


# Whatever comes.

PIECES = st.sampled_from(
    [
        *("max-age", "no-store", "no-cache", "must-revalidate", "stale-if-error"),
        *("=", ",", " ", '"', "\\", ";", "-", "é", "\x00"),
        *("0", "1", "60", "86400", "9" * 11),
        *("Sun, 06 Nov 1994 08:49:37", "GMT", "+0100", "Nov"),
    ]
)
VALUE = st.text(max_size=40) | st.lists(PIECES, max_size=12).map("".join)
HEADERS = st.dictionaries(st.sampled_from(["cache-control", "age", "date", "expires"]), VALUE)


@given(HEADERS, st.floats(0, 1e10), st.floats(0, 1e7))
@settings(max_examples=300, deadline=None)
def test_whatever_the_headers_are_the_ages_are_within_their_bounds(
    headers: dict[str, str], now: float, max_stale: float
) -> None:
    found = freshness_of(headers, now, max_stale)

    assert SHORTEST_FRESH <= found.stale_after <= LONGEST_FRESH
    assert found.stale_after <= found.dead_after <= found.stale_after + max_stale


@pytest.mark.parametrize(
    "header",
    [
        "a" * 50_000 + "(",
        "a=" * 25_000 + "(",
        'a="' * 16_000,
        '"\\' * 25_000,
        "a," * 25_000,
        "," * 50_000,
        " " * 50_000 + "(",
    ],
    ids=["token", "equals", "quotes", "escapes", "elements", "commas", "spaces"],
)
def test_a_header_of_any_length_is_read_in_no_time(header: str) -> None:
    began = time.monotonic()

    assert DEFAULT_FRESH == stale_after(header)
    assert time.monotonic() - began < 1.0


# Validators.


def test_what_it_carried_goes_back_with_the_next_request() -> None:
    found = validators_of({"etag": 'W/"1"', "last-modified": at(0), "age": "5"})

    assert Validators('W/"1"', at(0)) == found
    assert {"if-none-match": 'W/"1"', "if-modified-since": at(0)} == found.headers()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"etag": ""}, {}),
        ({"etag": '"1"'}, {"if-none-match": '"1"'}),
        ({"last-modified": "x"}, {"if-modified-since": "x"}),
        ({"etag": '"é"', "last-modified": "x"}, {"if-modified-since": "x"}),
        ({"etag": '"1"', "last-modified": "\u00e9"}, {"if-none-match": '"1"'}),
    ],
    ids=["none", "empty", "etag", "date", "etag-beyond-ascii", "date-beyond-ascii"],
)
def test_only_what_a_request_can_carry_goes_back(headers: dict[str, str], expected: dict[str, str]) -> None:
    assert expected == validators_of(headers).headers()
