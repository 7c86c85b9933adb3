from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from doorward import ConfigurationError, PolicyError, Principal
from doorward.policy.deny.policy import DenyPolicy, denied_name
from doorward.policy.iam import InvokerPolicy
from support.policies import principal
from support.tokens import CALLER

INVOKE = "run.googleapis.com/routes.invoke"
EVERYONE = "principalSet://goog/public:all"
ROBOT = f"principal://iam.googleapis.com/projects/-/serviceAccounts/{CALLER}"


def jane(**changed: Any) -> Principal:
    return principal(**{"email": "Jane@Example.com", "sub": "1", **changed})


def rule(*denied: str, **more: Any) -> dict[str, Any]:
    return {
        "denyRule": {"deniedPrincipals": [*denied], "deniedPermissions": [INVOKE], **more},
        "description": "why",
    }


def policy(*rules: Any, customers: Any = None, **settings: Any) -> InvokerPolicy:
    deny = DenyPolicy.from_dict({"rules": [*rules]}, customers=customers)
    return InvokerPolicy.from_members(["allUsers"], **settings).with_deny(deny)


def denied(caller: Principal, *rules: Any, **settings: Any) -> bool:
    decision = policy(*rules, **settings).decide(caller)
    assert decision.granted != (decision.denied_by is not None)
    return decision.denied_by is not None


def test_a_rule_is_named_after_its_policy() -> None:
    deny = DenyPolicy.from_dict({"displayName": "No robots", "kind": "DenyPolicy", "rules": [rule(ROBOT)]})

    assert "No robots: rules[0]" == InvokerPolicy.all_users().with_deny(deny).decide(principal()).denied_by


@pytest.mark.parametrize(
    ("permissions", "kept", "expected"),
    [
        ([INVOKE], [], True),
        (["run.googleapis.com/routes.*"], [], True),
        (["run.googleapis.com/*.invoke"], [], True),
        (["run.googleapis.com/*.*"], [], True),
        (["run.googleapis.com/jobs.run", INVOKE], [], True),
        (["run.googleapis.com/routes.get"], [], False),
        (["run.googleapis.com/*.get"], [], False),
        (["iam.googleapis.com/*.*"], [], False),
        ([], [], False),
        (["run.googleapis.com/*.*"], [INVOKE], False),
        ([INVOKE], ["run.googleapis.com/routes.*"], False),
        ([INVOKE], ["run.googleapis.com/routes.get"], True),
    ],
)
def test_a_rule_is_about_the_permissions_that_it_lists(
    permissions: list[str], kept: list[str], *, expected: bool
) -> None:
    one = rule(ROBOT, deniedPermissions=permissions, exceptionPermissions=kept)

    assert expected == denied(principal(), one)


def test_a_permission_has_a_name_of_its_own_in_deny_policies() -> None:
    assert INVOKE == denied_name("run.routes.invoke")
    assert "iap.googleapis.com/webServiceVersions.accessViaIAP" == denied_name(
        "iap.webServiceVersions.accessViaIAP"
    )


# Files.


def test_what_gcloud_prints_is_read(tmp_path: Path) -> None:
    printed = {
        "createTime": "2026-01-01T00:00:00Z",
        "etag": "MTgx",
        "kind": "DenyPolicy",
        "name": "policies/cloudresourcemanager.googleapis.com%2Fprojects%2F1/denypolicies/d",
        "rules": [rule(ROBOT)],
        "uid": "1",
        "updateTime": "2026-01-01T00:00:00Z",
    }
    path = tmp_path / "deny.json"
    path.write_text(json.dumps(printed))
    yaml = tmp_path / "deny.yaml"
    yaml.write_text(
        f"rules:\n- denyRule:\n    deniedPermissions: [{INVOKE}]\n    deniedPrincipals: ['{ROBOT}']\n"
    )

    for file in (path, yaml):
        deny = DenyPolicy.from_file(file)
        assert InvokerPolicy.all_users().with_deny(deny).decide(principal()).denied_by == "rules[0]"
        assert "DenyPolicy(1 rules)" == repr(deny)


@pytest.mark.parametrize(
    "document",
    [
        {"bindings": []},
        {},
        {"rules": None},
        {"name": "policies/p/denypolicies/d", "kind": "DenyPolicy", "uid": "1"},
        {"rules": {}},
        {"rules": ["x"]},
        {"rules": [{}]},
        {"rules": [{"denyRule": []}]},
        {"rules": [{"denyRule": {}, "allowRule": {}}]},
        {"rules": [{"denyRule": {"denied": []}}]},
        {"rules": [{"denyRule": {"deniedPrincipals": EVERYONE}}]},
        {"rules": [{"denyRule": {"deniedPrincipals": [7]}}]},
        {"rules": [{"denyRule": {"deniedPrincipals": [None]}}]},
        {"rules": [{"denyRule": {"deniedPermissions": None}}]},
        {"rules": [rule("user:jane@example.com")]},
        {"rules": [rule("allUsers")]},
        {"rules": [rule("principal://goog/subject/jane")]},
        {"rules": [rule(EVERYONE, exceptionPrincipals=["allUsers"])]},
        {"rules": [rule(EVERYONE, deniedPermissions=["run.routes.invoke"])]},
        {"rules": [rule(EVERYONE, deniedPermissions=["*"])]},
        {"rules": [rule(EVERYONE, deniedPermissions=["run.googleapis.com/rou*"])]},
        {"rules": [rule(EVERYONE, exceptionPermissions=["run.googleapis.com/*"])]},
        {"rules": [rule(EVERYONE, denialCondition="true")]},
        {"rules": [rule(EVERYONE, denialCondition={})]},
    ],
    ids=repr,
)
def test_a_deny_policy_that_is_not_understood_is_refused_whole(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        DenyPolicy.from_dict(document)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deny.json"
    path.write_text('{"rules": 7}')

    with pytest.raises(PolicyError, match=r"deny\.json: 'rules'"):
        DenyPolicy.from_file(path)
    with pytest.raises(ConfigurationError, match="absent"):
        DenyPolicy.from_file(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["[]", '[{"rules": []}]', '[{"name": "policies/p/denypolicies/d"}]'])
def test_a_list_of_deny_policies_is_refused_with_the_command_that_prints_one(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "deny.json"
    path.write_text(text)

    with pytest.raises(PolicyError, match=r"deny\.json: .*gcloud iam policies get"):
        DenyPolicy.from_file(path)


def test_what_gcloud_lists_without_its_rules_is_refused_with_the_command_that_prints_them() -> None:
    with pytest.raises(PolicyError, match="gcloud iam policies get"):
        DenyPolicy.from_dict({"name": "policies/p/denypolicies/d", "displayName": "d"})


def test_exceptions_that_are_null_are_none() -> None:
    nulls = {"exceptionPrincipals": None, "exceptionPermissions": None, "denialCondition": None}
    deny = DenyPolicy.from_dict({"rules": [rule(ROBOT, **nulls)]})

    assert InvokerPolicy.all_users().with_deny(deny).decide(principal()).denied_by == "rules[0]"


def test_the_domains_of_a_customer_are_a_list_and_not_one_string() -> None:
    with pytest.raises(PolicyError, match="not one string"):
        DenyPolicy([], customers={"C1": "example.com"})


def test_a_denial_is_not_written_back_with_the_policy() -> None:
    assert InvokerPolicy.all_users().to_dict() == policy(rule(ROBOT)).to_dict()
    assert "InvokerPolicy(1 members, 1 deny rules)" == repr(policy(rule(ROBOT)))


def test_a_list_that_is_none_is_named_once() -> None:
    for part in ("deniedPrincipals", "exceptionPrincipals", "deniedPermissions"):
        with pytest.raises(PolicyError) as caught:
            DenyPolicy.from_dict({"rules": [{"denyRule": {part: "x"}}]})
        assert f"rules[0]: {part!r} must be a list of strings" == str(caught.value)


def test_the_groups_of_a_rule_are_asked_for_unless_its_condition_is_false() -> None:
    def team(group: str, principal: object) -> bool:
        return False

    for condition, asked in ((None, (team,)), ({"expression": "resource.matchTag('1/env', 'prod')"}, ())):
        rule = {
            "deniedPermissions": ["run.googleapis.com/routes.invoke"],
            "deniedPrincipals": ["principalSet://goog/group/team@example.com"],
        }
        document = {"rules": [{"denyRule": rule | ({"denialCondition": condition} if condition else {})}]}
        policy = InvokerPolicy.from_members(
            ["allAuthenticatedUsers"], groups=team, resource_tags={}
        ).with_deny(DenyPolicy.from_dict(document))
        assert asked == policy.group_directories
