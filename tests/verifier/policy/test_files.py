from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from doorward import ConfigurationError, DenyPolicy, PolicyError
from doorward.policy.decision import Decision
from doorward.policy.iam import InvokerPolicy
from doorward.tokens.principal import ANONYMOUS
from support.policies import INVOKER, binding, document, principal
from support.tokens import MEMBER

# Files and text.


@pytest.mark.parametrize("version", [0, 1, 3, None])
def test_what_gcloud_prints_is_read(tmp_path: Path, version: int | None) -> None:
    printed = document(binding(INVOKER, MEMBER), binding("roles/run.viewer", "group:team@example.com"))
    printed["version"] = version
    path = tmp_path / "policy.json"
    path.write_text(
        json.dumps({name: value for name, value in printed.items() if value is not None}, indent=2)
    )

    for given_path in (path, str(path)):
        assert InvokerPolicy.from_file(given_path).decide(principal()).granted


@pytest.mark.parametrize(
    "text",
    [
        '{"etag":"BwXhEK-IySg=","version":1}',
        '{"etag":"ACAB"}',
        "{}",
        '{"bindings":[]}',
        '{"bindings":[{"role":"roles/run.invoker"}]}',
    ],
)
def test_an_empty_policy_grants_nothing(text: str) -> None:
    policy = InvokerPolicy.from_json(text)

    assert not policy.public
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(principal())
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(ANONYMOUS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "bindings:\n- members: []",
        '{"bindings":[],"bindings":[]}',
        '\ufeff{"bindings":[]}',
        "{",
        "\ud800",
        '{"bindings":[{"role":"roles/run.invoker","members":["allUsers"],"members":[]}]}',
        "[" * 100_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_text_that_is_not_one_json_object_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="--format=json"):
        InvokerPolicy.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version":2}',
        '{"bindings":[{"role":"roles/run.invoker","members":["group:g@x.com"]}]}',
        "a: b",
    ],
)
def test_an_error_in_a_file_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "the-policy.json"
    path.write_text(text)

    with pytest.raises(PolicyError, match=r"the-policy\.json: "):
        InvokerPolicy.from_file(path)


def test_a_file_that_is_not_utf_8_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "the-policy.json"
    path.write_text("{}", encoding="utf-16")

    with pytest.raises(PolicyError, match=r"the-policy\.json: "):
        InvokerPolicy.from_file(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(ConfigurationError, match=path.name):
            InvokerPolicy.from_file(path)


@pytest.mark.skipif(os.name != "posix", reason="this system has no such files")
def test_a_pipe_and_a_device_in_the_place_of_a_policy_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.json")

    for path, kind in ((tmp_path / "policy.json", "a named pipe"), (Path("/dev/zero"), "a device")):
        for read in (InvokerPolicy.from_file, DenyPolicy.from_file):
            with pytest.raises(ConfigurationError, match=f"{path.name}.* cannot be read: it is {kind}"):
                read(path)


def test_a_file_that_is_larger_than_a_policy_may_be_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)

    with pytest.raises(ConfigurationError, match="it has 10,000,000,000 bytes, and may have 1,048,576"):
        InvokerPolicy.from_file(path)


# YAML.

PRINTED = f"""\
bindings:
- members:
  - {MEMBER}
  role: roles/run.invoker
etag: BwXhEK-IySg=
version: 1
"""


@pytest.mark.parametrize("name", ["policy.yaml", "policy.YML", "policy", "policy.txt"])
def test_yaml_is_read_as_gcloud_prints_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(PRINTED)

    policy = InvokerPolicy.from_file(path)

    assert policy.decide(principal()).granted
    assert document(binding(INVOKER, MEMBER)) == policy.to_dict()


def test_a_file_with_another_suffix_is_json_if_it_starts_so(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_text(" " + json.dumps(document(binding(INVOKER, MEMBER))))

    assert InvokerPolicy.from_file(path).decide(principal()).granted


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
        InvokerPolicy.from_yaml("bindings: ~")
    assert {"version": 3} == InvokerPolicy.from_yaml("version: 3").to_dict()


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "just text",
        "bindings: []\nbindings: []",
        "bindings:\n- role: roles/run.invoker\n  members: [allUsers]\n  members: []",
        "? [a]\n: 1",
        "1: 2",
        "etag: !!python/object/apply:os.getpid []",
        "etag: !!python/name:os.getpid",
        "etag: !mine x",
        "bindings: &b\n- *b",
        "base: &base {role: roles/run.invoker}\nbindings:\n- <<: *base",
        "a: 1\n---\na: 2",
        "[" * 5000,
        "{" * 100 + "}" * 100,
        BOMB,
        "a: \x00",
        "x" * (1024 * 1024 + 1),
        "\ud800",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_yaml_that_can_be_understood_in_more_than_one_way_or_is_a_bomb_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy.from_yaml(text)


def test_an_error_in_yaml_names_the_line_and_not_the_text() -> None:
    with pytest.raises(PolicyError, match="line 2") as refused:
        InvokerPolicy.from_yaml("etag: secret\n  - x: [")

    assert "secret" not in str(refused.value)
