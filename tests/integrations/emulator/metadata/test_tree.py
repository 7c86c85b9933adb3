"""Directories and values, and the forms in which they are answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward_integrations.emulator.metadata.tree import (
    MINTED,
    Node,
    as_json,
    as_text,
    etag_of,
    is_directory,
    listed,
    walk,
)

TREE: Node = {
    "a-name": "text",
    "number": 7,
    "several": ("one", "two"),
    "empty": {},
    "token": MINTED,
    "indexed": [{"id": "x"}, {"id": "y"}],
    "a-b@c-d.example": {"deeper": {"x-y": 1}},
}


def test_a_directory_is_listed_with_a_slash_behind_each_directory() -> None:
    expected = ("a-name", "number", "several", "empty/", "token", "indexed/", "a-b@c-d.example/")

    assert expected == listed(TREE)
    assert ("0/", "1/") == listed(walk(TREE, ["indexed"]))


def test_json_has_names_in_camel_case_but_for_addresses_and_no_token() -> None:
    assert {
        "aName": "text",
        "number": 7,
        "several": ["one", "two"],
        "empty": {},
        "indexed": [{"id": "x"}, {"id": "y"}],
        "a-b@c-d.example": {"deeper": {"xY": 1}},
    } == as_json(TREE)


def test_text_has_one_line_for_each_value_with_its_path() -> None:
    assert (
        "a-name text\nnumber 7\nseveral one\nseveral two\nindexed/0/id x\nindexed/1/id y\n"
        "a-b@c-d.example/deeper/x-y 1\n"
    ) == as_text(TREE)


@pytest.mark.parametrize(
    ("node", "text"), [("value", "value"), (7, "7"), (("a", "b"), "a\nb\n"), ((), ""), ({}, "")]
)
def test_a_value_is_text_by_itself(node: Node, text: str) -> None:
    assert text == as_text(node)


@pytest.mark.parametrize(
    "path", ["b", "number/7", "indexed/2", "indexed/-1", "indexed/00", "empty/", "token/x"]
)
def test_a_path_that_leads_nowhere_is_a_key_error(path: str) -> None:
    with pytest.raises(KeyError):
        walk(TREE, path.split("/"))


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_path_leads_to_a_node_or_to_a_key_error(names: list[str]) -> None:
    try:
        node = walk(TREE, names)
    except KeyError:
        return
    assert is_directory(node) or "/" not in as_text(node)


@given(
    st.dictionaries(st.text(), st.integers() | st.text()),
    st.dictionaries(st.text(), st.integers() | st.text()),
)
def test_what_differs_has_another_entity_tag(one: dict[str, object], other: dict[str, object]) -> None:
    assert (json.dumps(one) == json.dumps(other)) == (etag_of(one) == etag_of(other))
