from __future__ import annotations

import sys
import threading
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doorward import PlainRequest
from doorward.policy.conditions.condition import compile_condition
from support.cel import HOST, NO, NOT_OFFERED, NOW, REQUEST, YES, outcome

ASKS_FOR_TAGS = "asks for the tags of the service, which are not known in this form: pass resource_tags"


class TestRequest:
    """What of a request reaches a condition."""

    @pytest.mark.parametrize(
        "expression",
        [
            'request.path == "/public"',
            'request.path.startsWith("/public")',
            'request.path.endsWith("public")',
            '!request.path.startsWith("/admin")',
            'request.path in ["/public"]',
            'request.path.extract("/{x}") != "y"',
            r'request.path == "/public\u0000/admin"',
        ],
    )
    def test_a_path_with_a_nul_grants_nothing(self, expression: str) -> None:
        """The library would cut it there."""
        assert NO is outcome(expression, PlainRequest("/public\0/admin", host=HOST))
        assert NO is outcome(expression.replace("path", "host"), PlainRequest("/", host="/public\0/admin"))

    def test_such_a_path_does_not_keep_other_parts_from_granting(self) -> None:
        assert outcome('request.path == "/" || request.host == "a"', PlainRequest("/\0", host="a"))

    @pytest.mark.parametrize(
        "expression", ['!request.host.endsWith("x")', 'request.host == ""', 'request.host != "x"']
    )
    def test_a_request_that_names_no_host_has_none(self, expression: str) -> None:
        assert NO is outcome(expression, PlainRequest("/"))

    @pytest.mark.parametrize(
        ("expression", "request_", "expected"),
        [
            ("has(request.host)", PlainRequest("/"), NO),
            ("!has(request.host)", PlainRequest("/"), YES),
            ("has(request.path)", PlainRequest("/\0"), NO),
            ("has(request.time)", PlainRequest("/"), YES),
            ('has(request.host) && request.host == "a"', PlainRequest("/"), NO),
            ('!has(request.host) || request.host == "a"', PlainRequest("/"), YES),
            ('!has(request.host) || request.host == "a"', PlainRequest("/", host="b"), NO),
        ],
    )
    def test_a_condition_may_ask_what_a_request_has(
        self,
        expression: str,
        request_: PlainRequest,
        expected: bool,  # noqa: FBT001 - a column of the table
    ) -> None:
        assert expected is outcome(expression, request_)

    @pytest.mark.parametrize(
        "text", ["/\u00e9/\U0001f600", "/a b", '/"\\', "/\n", "/\x7f", "/%2e%2e", "/" + "a" * 70_000]
    )
    def test_any_other_text_arrives_as_it_is(self, text: str) -> None:
        request = PlainRequest(text, host=text)
        assert outcome("request.path == request.host", request)
        escaped = "".join(f"\\U{ord(character):08x}" for character in text[:300])
        assert outcome(f'request.path.startsWith("{escaped}")', request)

    @given(st.text(max_size=20), st.text(max_size=20), st.floats())
    @example("\ud800", "\udfff", 0.0)
    @settings(deadline=None, max_examples=200)
    def test_nothing_that_a_request_says_raises(self, path: str, host: str, now: float) -> None:
        condition = compile_condition(
            '!request.path.startsWith("/a") && request.host != "" && request.time.getHours("+01:00") >= 0 '
            '&& request.path.extract("a{b}c") == ""'
        )
        assert condition.holds(PlainRequest(path, host=host), now) in (True, False)
        assert isinstance(condition.explain(PlainRequest(path, host=host), now)[1], str)

    def test_facts_that_fail_grant_nothing(self) -> None:
        class Broken:
            method = "GET"
            sent_path = "/"
            host = "a"
            readings = ("/",)
            websocket = False

            @property
            def path(self) -> str:
                raise ZeroDivisionError

        broken = Broken()
        condition = compile_condition('request.path != "/x" || true')
        assert (False, "it cannot be evaluated: ZeroDivisionError") == condition.explain(broken, NOW)
        assert NO is condition.holds(broken, NOW)

    @pytest.mark.parametrize(
        ("expression", "on_request", "on_time"),
        [
            ("true", False, False),
            ('request.path == "/x"', True, False),
            ('request.host == "x"', True, False),
            ('request.path.extract("{a}") == "x"', True, False),
            ('request.time < date("2030-01-01")', False, True),
            ('request.path == "/x" || request.time < date("2030-01-01")', True, True),
            ('"request.path" == "request.time"', False, False),
            ('resource.name == "request.path"', False, False),
            ("resource.request.path == resource.time", False, False),
            ('request.path.time == "x"', False, False),
            ("resource.has(request.path, request.time)", False, False),
            ('request.time < timestamp("tomorrow") || request.path == "/x"', False, False),
            ("true // request.path request.time", False, False),
            ("has(request.host)", True, False),
            ("has(request.time)", False, False),
            ('request.time.getHours() > 1 ? request.path == "/x" : false', True, True),
            ('api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["a"])', False, False),
        ],
    )
    def test_what_it_depends_on_is_what_it_asks_for(
        self,
        expression: str,
        on_request: bool,  # noqa: FBT001 - a column of the table
        on_time: bool,  # noqa: FBT001 - a column of the table
    ) -> None:
        condition = compile_condition(expression)
        assert (on_request, on_time) == (condition.depends_on_request, condition.depends_on_time)


class TestCondition:
    """The object."""

    def test_it_keeps_what_the_policy_says(self) -> None:
        condition = compile_condition(" true ", "always")
        assert (" true ", "always") == (condition.expression, condition.title)

    def test_it_has_no_title_unless_given(self) -> None:
        assert "" == compile_condition("true").title

    def test_it_cannot_be_changed(self) -> None:
        condition: Any = compile_condition("true")
        with pytest.raises((FrozenInstanceError, TypeError)):
            condition.expression = "false"

    def test_it_shows_what_it_says(self) -> None:
        assert (
            "Condition(expression='true', title='a', depends_on_request=False, depends_on_time=False)"
            == repr(compile_condition("true", "a"))
        )

    @pytest.mark.parametrize(
        ("expression", "request_", "expected"),
        [
            ('request.path == "/x"', PlainRequest("/x"), (True, "it holds")),
            ('request.path == "/x"', PlainRequest("/y"), (False, "it does not hold")),
            (NOT_OFFERED, REQUEST, (False, "resource.name is not available on Cloud Run")),
            (f"!({NOT_OFFERED})", REQUEST, (False, "resource.name is not available on Cloud Run")),
            (f"{NOT_OFFERED} && false", REQUEST, (False, "it does not hold")),
            (
                "resource.name == 'x' || resource.matchTag('a', 'b') || resource.name == 'y'",
                REQUEST,
                (
                    False,
                    f"resource.name is not available on Cloud Run; resource.matchTag() {ASKS_FOR_TAGS}",
                ),
            ),
            (
                'api.getAttribute("a", []).hasOnly([])',
                REQUEST,
                (False, "api.getAttribute() is not available on Cloud Run"),
            ),
            (
                'request.host != "x"',
                PlainRequest("/"),
                (False, "this request has no usable request.host"),
            ),
            (
                'request.path != "x"',
                PlainRequest("\0"),
                (False, "this request has no usable request.path"),
            ),
            (
                'true || request.time < timestamp("soon")',
                REQUEST,
                (False, "timestamp('soon') is not valid"),
            ),
            (
                "9223372036854775807 + 1 > 0",
                REQUEST,
                (False, "it cannot be evaluated: OUT_OF_RANGE: integer overflow"),
            ),
        ],
    )
    def test_its_explanation_says_why(
        self, expression: str, request_: PlainRequest, expected: tuple[bool, str]
    ) -> None:
        assert expected == compile_condition(expression).explain(request_, NOW)

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ('request.path == "/v1/items/7"', True),
            ('request.path == "/x"', False),
            (NOT_OFFERED, None),
            ("9223372036854775807 + 1 > 0", None),
            ('true || request.time < timestamp("soon")', None),
        ],
    )
    def test_its_outcome_tells_false_from_what_cannot_be_evaluated(
        self,
        expression: str,
        expected: bool | None,  # noqa: FBT001 - a column of the table
    ) -> None:
        assert expected is compile_condition(expression).outcome(REQUEST, NOW)

    def test_it_is_compiled_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        condition = compile_condition('request.path == "/x"')
        monkeypatch.setitem(sys.modules, "cel_expr_python.cel", None)
        assert YES is condition.holds(PlainRequest("/x"), NOW)

    def test_several_threads_may_use_it_at_once(self) -> None:
        condition = compile_condition(
            'request.path.extract("/{n}/") == request.host && request.time.getHours("Europe/Berlin") == 1'
        )
        wrong: list[int] = []
        start = threading.Barrier(4)

        def ask(number: int) -> None:
            start.wait(10)
            mine, other = (PlainRequest(f"/{number}/a", host=str(host)) for host in (number, number + 1))
            asked = [(condition.holds(mine, NOW), condition.holds(other, NOW)) for _ in range(500)]
            wrong.extend(number for one in asked if one != (True, False))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [] == wrong

    def test_the_error_of_one_binding_breaks_no_other(self) -> None:
        expressions = [
            "timestamp(request.path) < request.time",
            f"!({NOT_OFFERED})",
            'request.path == "/v1/items/7"',
        ]
        conditions = [compile_condition(expression) for expression in expressions]
        assert [False, False, True] == [condition.holds(REQUEST, NOW) for condition in conditions]
