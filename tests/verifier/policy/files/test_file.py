from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

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
        '{"bindings":null}',
        '{"bindings":[{"role":"roles/run.invoker"}]}',
    ],
)
def test_an_empty_policy_grants_nothing(text: str) -> None:
    policy = InvokerPolicy.from_json(text)

    assert not policy.public
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(principal())
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(ANONYMOUS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("null", "it is not one object or array"),
        ("7", "it is not one object or array"),
        (
            "bindings:\n- members: []",
            "Expecting value, line 1, column 1; a policy in YAML is read from a .yaml file",
        ),
        ("ERROR: (gcloud.run) no service", "Expecting value, line 1, column 1"),
        ('{"bindings":[],"bindings":[]}', "a member name occurs twice"),
        ('\ufeff\ufeff{"bindings":[]}', "two byte order marks"),
        ('{"bindings":\n  [\n}', "line 3, column 1"),
        ('{"bindings":[]} {}', "Extra data, line 1, column 17"),
        ("{", "line 1, column 2"),
        ("\ud800", "half of a surrogate pair"),
        ('{"bindings":[{"role":"roles/run.invoker","members":["allUsers"],"members":[]}]}', "occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested too deeply"),
        ('[],"listed":[]', "Extra data"),
        ('[1],"other":[1]', "Extra data"),
        ("[NaN]", "NaN and Infinity are not JSON"),
        ("{" + " " * 1024 * 1024 + "}", "larger than 1048576 bytes"),
        ("\xe9" * 1024 * 1024, "larger than 1048576 bytes"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_text_that_is_not_one_json_object_or_array_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(PolicyError) as refused:
        InvokerPolicy.from_json(text)

    assert why in str(refused.value)
    assert "--format=json" not in str(refused.value)
    assert len(str(refused.value)) < 300


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


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("name", ["policy.json", "policy.yaml", "policy", "policy.txt"])
@pytest.mark.parametrize("form", ["JSON", "YAML", "list"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_policy_is_read_as_editors_and_shells_of_windows_save_it(
    tmp_path: Path, name: str, form: str, encoding: str
) -> None:
    if form == "YAML" and name.endswith(".json"):
        return
    printed = document(binding(INVOKER, MEMBER), auditConfigs=[{"service": "\u00e9\U0001f600"}])
    text = {
        "JSON": json.dumps(printed, indent=2, ensure_ascii=False),
        "YAML": PRINTED,
        "list": json.dumps([{"id": "p", "policy": printed, "type": "project"}], ensure_ascii=False),
    }[form]
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    path = tmp_path / name
    path.write_bytes((mark + text.replace("\n", "\r\n")).encode(encoding))

    assert InvokerPolicy.from_file(path).decide(principal()).granted


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_deny_policy_is_read_so_too(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    path = tmp_path / "deny.json"
    path.write_bytes((mark + json.dumps({"rules": []})).encode(encoding))

    assert () == DenyPolicy.from_file(path).rules


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_in_bytes_may_have_a_mark_and_text_may_begin_with_one(encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    for text, read in (('{"etag":"A"}', InvokerPolicy.from_json), ("etag: A", InvokerPolicy.from_yaml)):
        assert {"etag": "A"} == read((mark + text).encode(encoding)).to_dict()
        assert {"etag": "A"} == read(f"\ufeff{text}").to_dict()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("{}".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("{}".encode("utf-16-be"), "UTF-16 without a byte order mark"),
        ("{}".encode("utf-32"), "UTF-32"),
        ("\ufeff{}".encode("utf-32-be"), "UTF-32"),
        (b"\xff\xfe{", "byte 3 is not UTF-16-LE"),
        (b"\xff\xfe\x00\xd8{\x00", "is not UTF-16-LE"),
        (b'{"etag":"\xe9"}', "byte 10 is not UTF-8"),
        (b"\xef\xbb\xbf", "it is empty"),
        (b"\xff\xfe", "it is empty"),
    ],
)
def test_a_file_in_another_encoding_is_refused_with_what_is_wrong(
    tmp_path: Path, raw: bytes, why: str
) -> None:
    for name in ("the-policy.json", "the-policy.yaml", "the-policy"):
        path = tmp_path / name
        path.write_bytes(raw)
        with pytest.raises(PolicyError, match=f"{name}: .*{why}"):
            InvokerPolicy.from_file(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(ConfigurationError, match=path.name):
            InvokerPolicy.from_file(path)


@pytest.mark.parametrize("text", [7, None, ["{}"], memoryview(b"{}")], ids=repr)
def test_what_is_no_text_is_refused(text: Any) -> None:
    for read in (InvokerPolicy.from_json, InvokerPolicy.from_yaml):
        with pytest.raises(PolicyError, match="not the text of a policy"):
            read(text)


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
