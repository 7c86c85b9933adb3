from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import PlainRequest, PolicyError
from doorward.policy.conditions.condition import LONGEST, Condition, compile_condition
from doorward.policy.iam import InvokerPolicy
from support.cel import NO, NOW, PATH, REQUEST, outcome


class TestRefusal:
    """What does not load, and what the error says."""

    @pytest.mark.parametrize(
        ("expression", "says"),
        [
            ("", "Syntax error"),
            ("request.path ==", r"Syntax error.*line 1, column"),
            ("true\n&& ==", r"Syntax error.*line 2, column"),
            ("request.path = '/x'", "Syntax error"),
            ("true and false", "Syntax error"),
            ("request.path == 1", "no matching overload"),
            ("request.path < 1 || true", "no matching overload"),
            ('request.time == "2024-01-01"', "no matching overload"),
            ("request.path && true", "no matching overload"),
            ("request.path.getHours() == 1", "no matching overload"),
            ("timestamp(1, 2) == request.time", "'timestamp' is not supported"),
            ("request.path", "must be true or false in the end, and is of type STRING"),
            ("request.time.getHours()", "must be true or false.*INT"),
            ('["a"]', "must be true or false"),
            ('request.path.matches("[")', r"'\[' is not a regular expression of RE2"),
            ('request.path.matches("(a{1000}){1000}")', "is not a regular expression of RE2"),
            ('request.path.matches("(?=a)")', "is not a regular expression of RE2"),
            ("request.path.matches(request.host)", "the pattern must be one literal string"),
            ('matches("a", request.host)', "the pattern must be one literal string"),
            ('matches("a")', "'matches' is not supported"),
            ('["a"].hasOnly(["a"])', "'hasOnly' is not supported"),
            (
                'api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly([request.path])',
                "'hasOnly' is not supported",
            ),
            ("request.path.size(1) == 1", "undeclared reference to 'size'"),
            ('request.path.startwith("/a")', "'startwith' is not supported"),
            ('dyn(request.path) == "a"', "'dyn' is not supported"),
            ("int(request.time) > 1", "'int' is not supported"),
            ('true ? true : "a"', "no matching overload"),
            ("(-request.time).getHours() == 1", "no matching overload"),
            ("[true][0]", "is not supported"),
            ("[1, 2].all(x, x > 0)", "cannot have a macro"),
            ("[1, 2].exists(x, x > 0)", "cannot have a macro"),
            ("[1, 2].map(x, x) == [1]", "cannot have a macro"),
            ("[1, 2].filter(x, x > 1) == [2]", "cannot have a macro"),
            ("resource.labels.exists(l, l == 'a')", "cannot have a macro"),
            ('{"a": 1} == {"a": 1}', "cannot have a map"),
            ("google.protobuf.Timestamp{} < request.time", "cannot have a map or a message"),
            ("1.5 > 1.0", "only literals"),
            ("1u == 1u", "only literals"),
            ('b"a" == b"a"', "only literals"),
            ("null == null", "only literals"),
            ('"a".b == "c"', "only attributes have fields"),
            ("(" * 2000 + "true" + ")" * 2000, "recursion limit"),
            ("-".join(["1"] * 200) + " == 1", "recursion"),
            ('request.path == "\0"', "NUL"),
            ('request.path == "\ud800"', "surrogate"),
        ],
    )
    def test_what_is_not_understood_does_not_load(self, expression: str, says: str) -> None:
        with pytest.raises(PolicyError, match=says) as caught:
            compile_condition(expression)
        assert len(str(caught.value)) < 400

    def test_an_expression_has_a_longest_length(self) -> None:
        fits = "true" + " " * (LONGEST - 4)
        assert outcome(fits)
        with pytest.raises(PolicyError, match="4097 characters; at most 4096"):
            compile_condition(fits + " ")

    def test_long_chains_load(self) -> None:
        chain = " || ".join(f'request.path == "/{number}"' for number in range(150))
        assert NO is outcome(chain)
        assert outcome(f"{chain} || request.path == '{PATH}'")
        assert outcome("!" * 2000 + "true")

    @given(st.text(alphabet="request.pathtime()[]{}!&|='\"\\/+-<> 019,?:", max_size=40))
    @settings(deadline=None, max_examples=300)
    def test_any_text_loads_or_is_a_policy_error(self, text: str) -> None:
        with suppress(PolicyError):
            assert isinstance(outcome(text), bool)

    @pytest.mark.parametrize("missing", ["cel_expr_python", "cel_expr_python.cel"])
    def test_without_the_extra_the_error_names_it(
        self, monkeypatch: pytest.MonkeyPatch, missing: str
    ) -> None:
        compile_condition("true")
        monkeypatch.setitem(sys.modules, "cel_expr_python.cel", None)
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(PolicyError, match=r"pip install 'doorward\[cel\]'"):
            compile_condition("true")

    def test_without_the_extra_a_policy_with_conditions_does_not_load(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "cel_expr_python.cel", None)
        binding: dict[str, Any] = {"role": "roles/run.invoker", "members": ["allUsers"]}
        InvokerPolicy.from_dict({"bindings": [binding]})
        with pytest.raises(PolicyError, match=r"bindings\[0\].*doorward\[cel\]"):
            InvokerPolicy.from_dict(
                {"version": 3, "bindings": [{**binding, "condition": {"expression": "true"}}]}
            )

    def test_a_library_whose_trees_are_not_understood_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from doorward.policy.conditions import library  # noqa: PLC0415 - a part of it is exchanged

        class Odd:
            def serialize(self) -> bytes:
                return b"\x0a\x01x"

        monkeypatch.setattr(library, "_compile", lambda *_args, **_named: Odd())
        with pytest.raises(PolicyError, match="not understood"):
            compile_condition("true")


def _fastest(condition: Condition, request: PlainRequest, times: int) -> float:
    """Give the seconds that one evaluation takes, the fastest of several rounds."""
    rounds = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(times):
            condition.holds(request, NOW)
        rounds.append((time.perf_counter() - begin) / times)
    return min(rounds)


class TestCost:
    """What an evaluation may cost. The bounds are far above what is measured: 3 to 6 us, and 80 ms."""

    @pytest.mark.parametrize(
        "expression",
        [
            'request.path == "/x"',
            'request.path.startsWith("/v1/") && request.time < timestamp("2030-01-01T00:00:00Z")',
            'request.time.getHours("Europe/Berlin") >= 9 && request.path.extract("/{a}/") == "v1"',
            'request.path.matches("^/v[0-9]+/items/[0-9]+$") && has(request.host)',
        ],
    )
    def test_an_evaluation_takes_microseconds(self, expression: str) -> None:
        assert _fastest(compile_condition(expression), REQUEST, 200) < 0.0005

    def test_the_worst_condition_on_the_longest_path_is_bounded(self) -> None:
        joined = " + ".join(["request.path"] * 25)
        worst = " || ".join([f'({joined}).endsWith("b")'] * 10)
        assert _fastest(compile_condition(worst), PlainRequest("/" + "a" * 60_000), 1) < 1.0

    @pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}b", "(a{0,500}){2}b"])
    def test_a_pattern_takes_time_in_proportion_to_the_path(self, pattern: str) -> None:
        condition = compile_condition(f'request.path.matches("{pattern}")')
        assert _fastest(condition, PlainRequest("/" + "a" * 60_000), 1) < 1.0

    def test_evaluating_keeps_no_memory(self) -> None:
        """Calls back into Python would: 128 bytes each."""
        code = (
            "from doorward import PlainRequest\n"
            "from doorward.policy.conditions.condition import compile_condition\n"
            "import resource\n"
            'condition = compile_condition(\'request.path.extract("/{a}") == "x" || resource.name == "y"\')\n'
            "def evaluate(times):\n"
            "    for _ in range(times): condition.holds(PlainRequest('/y'), 0.0)\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "evaluate(2000)\n"
            "before = evaluate(2000)\n"
            "print(evaluate(40_000) - before)\n"
        )
        pytest.importorskip("resource", reason="Windows has no such count")
        unit = 1024 if sys.platform == "darwin" else 1
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert int(run.stdout) / unit < 1500
