from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import PolicyError
from doorward.policy.decision import Decision
from doorward.policy.files.yaml_reader import _Document, read_yaml
from doorward.policy.iam import InvokerPolicy
from support.policies import principal
from support.tokens import MEMBER

PRINTED = "bindings:\n- members:\n  - allUsers\n  role: roles/run.invoker\n"


@contextmanager
def with_parser_in_c() -> Iterator[Any]:
    yield InvokerPolicy.from_yaml


@contextmanager
def with_parser_in_python() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        yield InvokerPolicy.from_yaml


READERS = [with_parser_in_c, with_parser_in_python]


def test_an_empty_policy_in_yaml_grants_nothing() -> None:
    assert Decision(granted=False, same_for_every_request=True) == InvokerPolicy.from_yaml(
        "etag: A\nversion: 1\n"
    ).decide(principal())


def test_yaml_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(PolicyError, match=r"doorward\[yaml\]"):
        InvokerPolicy.from_yaml(PRINTED)


def test_a_text_that_looks_like_a_date_stays_a_text() -> None:
    assert {"etag": "2026-11-22"} == InvokerPolicy.from_yaml("etag: 2026-11-22").to_dict()


def test_values_that_are_no_text_are_read_as_what_they_are() -> None:
    with pytest.raises(PolicyError, match="policy version True"):
        InvokerPolicy.from_yaml("version: yes")
    with pytest.raises(PolicyError, match=r"policy version '1\.0'"):
        InvokerPolicy.from_yaml("version: 1.0")
    with pytest.raises(PolicyError, match="'bindings' must be a list"):
        InvokerPolicy.from_yaml("bindings: ''")
    with pytest.raises(PolicyError, match="policy version '1111111111111111111'"):
        InvokerPolicy.from_yaml("version: 1111111111111111111")
    assert {"bindings": None} == InvokerPolicy.from_yaml("bindings: ~").to_dict()
    assert {"version": 3} == InvokerPolicy.from_yaml("version: 3").to_dict()


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)
DEEP_ALIASES = "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 70))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("# a remark", "neither a mapping nor a list"),
        ("just text", "neither a mapping nor a list"),
        ("bindings: []\nbindings: []", "the member 'bindings' occurs twice"),
        (
            "bindings:\n- role: roles/run.invoker\n  members: [allUsers]\n  members: []",
            "'members' occurs twice",
        ),
        ("? [a]\n: 1", "a value of type list is not the name of a member"),
        ("? {a: b}\n: 1", "a value of type dict is not the name of a member"),
        ("1: 2", "1 is not the name of a member"),
        ("~: 2", "None is not the name of a member"),
        ("etag: !!python/object/apply:os.getpid []", "python/object"),
        ("etag: !!python/name:os.getpid", "python/name"),
        ("etag: !!binary aGVsbG8=", "binary"),
        ("etag: !!set {a}", "set"),
        ("etag: !!seq {a: b}", "seq"),
        ("etag: !!bool perhaps", "bool"),
        ("etag: !mine x", "a value is tagged '!mine'"),
        ("bindings: &b\n- *b", "the alias 'b' names nothing that comes before it"),
        ("bindings: *b", "the alias 'b' names nothing that comes before it"),
        ("etag: &a x\nkind: &a y", "the anchor 'a' occurs twice"),
        ("base: &base {role: roles/run.invoker}\nbindings:\n- <<: *base", "merge"),
        ("a: 1\n---\na: 2", "more than one document"),
        ("%YAML 1.1\n---\na: 2", "a directive"),
        ("%TAG ! !!\n---\na: 2", "a directive"),
        ("\r%TAG ! !!\r---\ra: 2", "a directive"),
        ("#\x85%TAG ! !!\x85---\x85a: 2", "a directive"),
        ("#\u2028%TAG ! !!\u2028---\u2028a: 2", "a directive"),
        ("#\u2029%TAG ! !!\u2029---\u2029a: 2", "a directive"),
        (BOMB, "more than 100000 values once its aliases are expanded"),
        (DEEP_ALIASES, "nested too deeply"),
        ("a: \x00", "characters are not allowed"),
        ("x" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
        ("\ud800", "half of a surrogate pair"),
        ("a: *" + "x" * 100_000, "the alias 'xxx"),
        ("a: !" + "x" * 100_000 + " 1", "a value is tagged '!xxx"),
        ("x" * 1000 + ": 1\n" + "x" * 1000 + ": 1", "occurs twice"),
    ],
    ids=lambda text: repr(text[:30]),
)
def test_yaml_that_can_be_understood_in_more_than_one_way_or_is_a_bomb_is_refused_with_the_reason(
    text: str, why: str
) -> None:
    for read in READERS:
        with read() as from_yaml, pytest.raises(PolicyError) as refused:
            from_yaml(text)
        assert why in str(refused.value)
        assert len(str(refused.value)) < 400


NESTED = [
    "[",
    "{",
    "{a: ",
    "- ",
    "? ",
    "? - ",
    "[{",
    "!!seq [",
    "! [",
    "[a, ",
    "[[], ",
    "- - ? ",
    "[? ",
    "? [",
]


@pytest.mark.parametrize("unit", NESTED)
@pytest.mark.parametrize("size", [1_000, 28_000, 300_000])
def test_yaml_that_nests_too_deeply_is_refused_before_a_parser_sees_how_deep(unit: str, size: int) -> None:
    text = unit * (size // len(unit))
    with pytest.raises(PolicyError, match="nested too deeply"):
        InvokerPolicy.from_yaml(text)


def test_yaml_that_nests_by_anchors_and_by_indentation_is_refused_so_too() -> None:
    for text in (
        "".join(f"&a{n} [" for n in range(10_000)),
        "".join(f"&a{n} {{a: " for n in range(10_000)),
        "\n".join(" " * n + "a:" for n in range(1000)),
        "\n".join(" " * n + "-" for n in range(1000)),
        f"- &a {'[' * 40}x{']' * 40}\n- {'[' * 30}*a{']' * 30}",
    ):
        with pytest.raises(PolicyError, match="nested too deeply"):
            InvokerPolicy.from_yaml(text)


def test_yaml_may_nest_as_deeply_as_json() -> None:
    for levels, expected in (
        (64, "neither an object nor a list of policies|has no 'policy'"),
        (65, "too deeply"),
    ):
        with pytest.raises(PolicyError, match=expected):
            InvokerPolicy.from_yaml("[" * levels + "]" * levels)


@pytest.mark.parametrize("unit", ["- x\n", "{a: [b]}, ", "x: &a", "- !!str x\n", "[], ", '"', "'", "? a\n"])
def test_the_work_for_yaml_is_in_proportion_to_its_size(unit: str) -> None:
    """Counted in events that are asked for: each of them is as much work as the last."""
    counts = []
    for size in (1_000, 2_000):
        asked = Counted(unit * size)
        with suppress(PolicyError, yaml.YAMLError):
            _Document(asked).read()
        counts.append(asked.count)
    assert counts[1] <= 2 * counts[0] + 10


class Counted(yaml.SafeLoader):
    """Counts the events that are asked for."""

    count = 0

    def get_event(self) -> Any:
        self.count += 1
        return super().get_event()  # type: ignore[no-untyped-call]


def test_aliases_stand_for_what_they_name() -> None:
    text = f"""\
x: &role roles/run.invoker
y: &all [{MEMBER}, allUsers]
z: &binding {{role: *role, members: *all}}
bindings: [*binding, *binding]
"""
    once = {"role": "roles/run.invoker", "members": [MEMBER, "allUsers"]}
    for read in READERS:
        with read() as from_yaml, pytest.raises(PolicyError, match="unknown member 'x'"):
            from_yaml(text)
    found = read_yaml(text)
    assert isinstance(found, dict)
    assert [once, once] == found["bindings"]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**17), 10**17)
        | st.text(st.characters(codec="utf-8"), max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=20,
    ).filter(lambda value: isinstance(value, dict | list))
)
@settings(deadline=None, max_examples=100)
def test_what_was_written_as_yaml_is_read_back(value: Any) -> None:
    text = yaml.safe_dump(value)
    assert value == read_yaml(text)


def test_an_error_in_yaml_names_the_line_and_not_the_text() -> None:
    with pytest.raises(PolicyError, match="line 2") as refused:
        InvokerPolicy.from_yaml("etag: secret\n  - x: [")

    assert "secret" not in str(refused.value)
