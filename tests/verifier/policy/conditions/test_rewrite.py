from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doorward import PlainRequest, PolicyError
from doorward.policy.conditions.condition import compile_condition
from support.cel import NO, NOT_OFFERED, NOW, outcome


class TestLogic:
    """Three values: true, false, and an error."""

    LEAVES: ClassVar[dict[bool | None, str]] = {
        True: 'request.path == "/v1/items/7"',
        False: 'request.host == "x"',
        None: NOT_OFFERED,
    }

    @staticmethod
    def tree(leaves: dict[bool | None, str]) -> st.SearchStrategy[tuple[str, bool | None]]:
        """Give expressions with what Kleene's logic makes of them."""

        def joined(symbol: str, decisive: bool) -> Callable[[Any], tuple[str, bool | None]]:  # noqa: FBT001
            def join(
                pair: tuple[tuple[str, bool | None], tuple[str, bool | None]],
            ) -> tuple[str, bool | None]:
                (left, a), (right, b) = pair
                value = decisive if decisive in (a, b) else (None if None in (a, b) else not decisive)
                return f"({left} {symbol} {right})", value

            return join

        def negated(one: tuple[str, bool | None]) -> tuple[str, bool | None]:
            return f"!({one[0]})", None if one[1] is None else not one[1]

        leaf = st.sampled_from([(text, value) for value, text in leaves.items()])
        return st.recursive(
            leaf,
            lambda inner: st.one_of(
                inner.map(negated),
                st.tuples(inner, inner).map(joined("&&", decisive=False)),
                st.tuples(inner, inner).map(joined("||", decisive=True)),
            ),
            max_leaves=12,
        )

    @given(data=st.data())
    @settings(deadline=None, max_examples=300)
    def test_a_condition_holds_where_kleene_says_true(self, data: st.DataObject) -> None:
        expression, value = data.draw(self.tree(self.LEAVES))
        assert (value is True) is outcome(expression)

    @given(data=st.data())
    @settings(deadline=None, max_examples=100)
    def test_errors_of_every_kind_are_the_third_value(self, data: st.DataObject) -> None:
        broken = data.draw(
            st.sampled_from(
                [
                    "9223372036854775807 + 1 > 0",
                    "timestamp(request.path) < request.time",
                    "resource.matchTag('a', 'b')",
                    "request.path.startsWith(resource.name)",
                ]
            )
        )
        expression, value = data.draw(self.tree({**self.LEAVES, None: broken}))
        assert (value is True) is outcome(expression)

    @given(data=st.data())
    @settings(deadline=None, max_examples=100)
    def test_an_attribute_that_this_request_lacks_is_the_third_value(self, data: st.DataObject) -> None:
        leaves = {True: 'request.path == "/p"', False: 'request.path == "/x"', None: 'request.host == "x"'}
        expression, value = data.draw(self.tree(leaves))
        assert (value is True) is outcome(expression, PlainRequest("/p"))


class TestTime:
    """``request.time`` and the functions of time, against another implementation."""

    @given(
        st.integers(min_value=0, max_value=4_000_000_000_000),
        st.sampled_from(
            [
                "UTC",
                "Europe/Berlin",
                "America/Los_Angeles",
                "Asia/Kathmandu",
                "Australia/Lord_Howe",
                "Pacific/Apia",
            ]
        ),
    )
    @example(1711846800000, "Europe/Berlin")
    @example(1711846799999, "Europe/Berlin")
    @example(1325239200000, "Pacific/Apia")
    @settings(deadline=None, max_examples=150)
    def test_every_function_agrees_with_the_standard_library(self, milliseconds: int, zone: str) -> None:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        local = moment.astimezone(ZoneInfo(zone))
        expected = {
            "getFullYear": local.year,
            "getMonth": local.month - 1,
            "getDate": local.day,
            "getDayOfMonth": local.day - 1,
            "getDayOfWeek": local.isoweekday() % 7,
            "getDayOfYear": local.timetuple().tm_yday - 1,
            "getHours": local.hour,
            "getMinutes": local.minute,
            "getSeconds": local.second,
            "getMilliseconds": local.microsecond // 1000,
        }
        said = " && ".join(f'request.time.{name}("{zone}") == {value}' for name, value in expected.items())
        assert outcome(said, now=milliseconds / 1000)

    @given(st.integers(min_value=0, max_value=4_000_000_000_000))
    @example(1711846799123)
    @settings(deadline=None, max_examples=100)
    def test_it_is_exact_to_the_millisecond(self, milliseconds: int) -> None:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        said = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"
        assert outcome(f'request.time == timestamp("{said}")', now=milliseconds / 1000)

    def test_what_is_finer_than_a_millisecond_is_cut_off(self) -> None:
        assert outcome('request.time == timestamp("2024-03-31T00:59:59.123Z")', now=NOW + 0.0004)
        assert outcome('request.time == timestamp("2024-03-31T00:59:59.123Z")', now=NOW + 0.0009)

    @pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 1e30, -1e30], ids=str)
    def test_a_time_that_is_none_grants_nothing(self, now: float) -> None:
        assert NO is outcome('request.time < timestamp("9999-12-31T00:00:00Z") || true', now=now)

    @pytest.mark.parametrize(
        "zone",
        [
            "Nowhere/Land",
            "europe/berlin",
            "+25:00",
            "+24:00",
            "+01:60",
            "+0100",
            "+1:00",
            "",
            "localtime",
            "posixrules",
            "file:/etc/localtime",
            ":UTC",
            "../../etc/localtime",
            "/etc/localtime",
            "Europe/../UTC",
            "Europe//Berlin",
        ],
    )
    def test_a_zone_that_is_not_known_does_not_load(self, zone: str) -> None:
        with pytest.raises(PolicyError, match=r"does not know the time zone .*tzdata"):
            compile_condition(f'request.time.getHours("{zone}") == 0')

    @pytest.mark.parametrize("zone", ["request.path", "1", '"UTC", "UTC"', "resource.zone", '"U" + "TC"'])
    def test_a_zone_is_one_literal(self, zone: str) -> None:
        with pytest.raises(PolicyError, match="time zone must be one literal"):
            compile_condition(f"request.time.getHours({zone}) == 0")

    def test_a_system_without_time_zones_is_an_error_when_the_policy_is_read(self) -> None:
        code = (
            "from doorward.policy.conditions.condition import compile_condition\n"
            "assert compile_condition('request.time.getHours(\"+01:00\") >= 0')\n"
            "try: compile_condition('request.time.getHours(\"Europe/Berlin\") >= 0')\n"
            "except ValueError as error: print(error)\n"
        )
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={"TZDIR": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert "tzdata" in run.stdout
