from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import PlainRequest, PolicyError
from doorward.policy.conditions.condition import compile_condition
from doorward.policy.conditions.extract import Template
from support.cel import HOST, NO, outcome


class TestExtract:
    """The table of the attribute reference, and its rules."""

    NAME = "projects/_/buckets/acme-orders-aaa/objects/data_lake/orders/order_date=2019-11-03/aef87g87ae0876"

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("/order_date={date}/", "2019-11-03"),
            ("buckets/{name}/", "acme-orders-aaa"),
            ("/orders/{empty}order_date", ""),
            ("{start}/objects/data_lake", "projects/_/buckets/acme-orders-aaa"),
            ("orders/{end}", "order_date=2019-11-03/aef87g87ae0876"),
            ("{all}", NAME),
            ("/orders/{none}/order_date=", ""),
            ("/orders/order_date=2019-11-03/{id}/data_lake", ""),
            ("{none}/missing", ""),
            ("missing/{none}", ""),
            ("aef87g87ae0876{none}", ""),
        ],
    )
    def test_it_gives_what_the_reference_shows(self, template: str, expected: str) -> None:
        assert expected == Template.read(template).extract(self.NAME)
        assert outcome(
            f'request.path.extract("{template}") == "{expected}"', PlainRequest(self.NAME, host=HOST)
        )

    @given(
        st.text(alphabet="ab/", max_size=6),
        st.text(alphabet="ab/", max_size=3),
        st.text(alphabet="ab/", max_size=3),
    )
    @settings(deadline=None, max_examples=200)
    def test_what_it_gives_stood_between_prefix_and_suffix(self, text: str, prefix: str, suffix: str) -> None:
        found = Template.read(f"{prefix}{{x}}{suffix}").extract(text)
        assert found == "" or prefix + found + suffix in text
        assert not suffix or suffix not in found

    @pytest.mark.parametrize(
        "template", ["", "/a/", "{}", "{a", "a}", "{a}{b}", "{{a}}", "{a-b}", "{a b}", "{\u00e9}"]
    )
    def test_a_template_holds_one_name_in_braces(self, template: str) -> None:
        with pytest.raises(PolicyError, match="one name in braces"):
            compile_condition(f'request.path.extract("{template}") == ""')

    @pytest.mark.parametrize(
        "expression",
        [
            'request.path.extract(request.host) == ""',
            'request.path.extract() == ""',
            'request.path.extract("{a}", "{b}") == ""',
            'request.path.extract(1) == ""',
        ],
    )
    def test_a_template_is_one_literal(self, expression: str) -> None:
        with pytest.raises(PolicyError, match="must be one literal string"):
            compile_condition(expression)

    @pytest.mark.parametrize(
        "receiver", ['"abc"', "request.time", '("a" + request.path)', 'request.path.extract("{a}")']
    )
    def test_it_reads_attributes_of_the_request_only(self, receiver: str) -> None:
        with pytest.raises(PolicyError, match=r"reads request\.path or request\.host"):
            compile_condition(f'{receiver}.extract("{{a}}") == ""')

    def test_there_may_be_sixteen_different_ones(self) -> None:
        some = [f'request.path.extract("/{number}{{a}}") == "x"' for number in range(17)]
        assert NO is outcome(" || ".join(some[:16] * 2))
        with pytest.raises(PolicyError, match="more than 16"):
            compile_condition(" || ".join(some))
