"""What ``gcloud projects get-ancestors-iam-policy`` prints: a list of policies that a project inherits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from doorward import InvokerPolicy, PolicyError
from support.policies import INVOKER, binding, deny_rule, document, principal
from support.tokens import MEMBER

JANE = "user:jane@example.com"
EVERYONE = "principalSet://goog/public:all"


def entry(policy: Any, **more: Any) -> dict[str, Any]:
    return {"id": "orders", "policy": policy, "type": "project", **more}


PRINTED = [
    entry(document(binding("roles/run.invoker", MEMBER))),
    entry(
        document(binding("roles/editor", JANE), binding("organizations/1/roles/odd", JANE)),
        id="7",
        type="folder",
    ),
    entry({"etag": "ACAB"}, id="1", type="organization"),
]


def test_the_list_grants_what_any_of_its_policies_grants() -> None:
    for policy in (
        InvokerPolicy.from_dict(PRINTED),
        InvokerPolicy.from_json(json.dumps(PRINTED)),
        InvokerPolicy.from_yaml(json.dumps(PRINTED)),
    ):
        assert policy.decide(principal()).granted
        assert "roles/editor" == policy.decide(principal(email="jane@example.com")).role
        assert not policy.decide(principal(email="john@example.com")).granted
        assert 3 == len(policy.to_dict()["bindings"])


def test_the_list_is_read_as_gcloud_prints_it(tmp_path: Path) -> None:
    path = tmp_path / "ancestors.yaml"
    path.write_text(
        f"- id: orders\n  policy:\n    bindings:\n    - members:\n      - {MEMBER}\n      role: {INVOKER}\n"
        "    etag: BwXhEK-IySg=\n    version: 1\n  type: project\n"
        "- id: '1'\n  policy:\n    etag: ACAB\n  type: organization\n"
    )
    explained = InvokerPolicy.from_file(path).explain(principal())

    assert explained.decision.granted
    assert "ancestors.yaml project orders bindings[0]" == explained.bindings[0].binding


def test_the_list_needs_no_type_and_no_id() -> None:
    explained = InvokerPolicy.from_dict([{"policy": document(binding(INVOKER, MEMBER))}]).explain(principal())

    assert (True, "policies[0] bindings[0]") == (explained.decision.granted, explained.bindings[0].binding)


def test_one_warning_lists_the_roles_of_the_whole_list(caplog: pytest.LogCaptureFixture) -> None:
    other = entry(document(binding("projects/orders/roles/odd", JANE)))
    InvokerPolicy.from_dict([*PRINTED, other, other])

    (logged,) = caplog.messages
    assert "'organizations/1/roles/odd', 'projects/orders/roles/odd'; pass custom_roles" in logged


def test_a_list_whose_policies_grant_to_no_principal_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    InvokerPolicy.from_dict([entry({}), entry({"bindings": None})])

    assert ["policy: no principal is granted run.routes.invoke: it has no bindings"] == caplog.messages


def test_the_policy_of_a_service_is_joined_with_the_list() -> None:
    joined = InvokerPolicy.join(
        InvokerPolicy.from_members(["user:john@example.com"]), InvokerPolicy.from_dict(PRINTED)
    )

    assert joined.decide(principal()).granted
    assert joined.decide(principal(email="john@example.com")).granted


def test_deny_policies_in_the_list_deny() -> None:
    """``--include-deny`` prints them between the others."""
    denying = entry({"displayName": "no robots", "rules": [{"denyRule": deny_rule(EVERYONE)}], "uid": "1"})
    policy = InvokerPolicy.from_dict([PRINTED[0], denying, PRINTED[1]])

    assert "no robots: rules[0]" == policy.decide(principal()).denied_by
    assert not InvokerPolicy.join(InvokerPolicy.all_users(), policy).decide(principal()).granted


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ([], "neither an object nor a list of policies"),
        ("bindings", "neither an object nor a list of policies"),
        (7, "neither an object nor a list of policies"),
        ([document(binding(INVOKER, MEMBER))], "entry 0 of the list has no 'policy'.*--flatten"),
        ([PRINTED[0], "x"], "entry 1 of the list has no 'policy'"),
        ([PRINTED[0], {"id": "x"}], "entry 1 of the list has no 'policy'"),
        ([entry(None)], "entry 0 of the list has no 'policy'"),
        ([entry({}, name="x")], "entry 0 of the list: unknown member 'name'"),
        ([entry({"binding": []})], "project orders: not a policy: Terraform"),
        ([entry(document(binding(INVOKER, "x")))], r"project orders: bindings\[0\]"),
        ([entry({"rules": []})], "deny policies only"),
        ([PRINTED[0], entry({"displayName": "d", "uid": "1"})], "gcloud iam policies get"),
        (
            [PRINTED[0], entry({"rules": [{"denyRule": deny_rule("allUsers")}]})],
            r"project orders: rules\[0\]",
        ),
        ([[PRINTED[0]]], "entry 0 of the list has no 'policy'"),
    ],
    ids=repr,
)
def test_another_list_is_refused_with_the_reason(written: Any, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        InvokerPolicy.from_dict(written)


def test_in_strict_mode_a_role_that_is_not_described_refuses_the_list() -> None:
    with pytest.raises(PolicyError, match=r"folder 7: bindings\[1\].*gcloud iam roles describe"):
        InvokerPolicy.from_dict(PRINTED, strict=True)
