from __future__ import annotations

import json
from typing import Any

import pytest

from doorward import PolicyError
from doorward.policy.decision import Decision
from doorward.policy.documents.bindings import Binding
from doorward.policy.iam import InvokerPolicy
from doorward.tokens.principal import ANONYMOUS
from support.conditions import StubCondition
from support.policies import INVOKER, binding, deny, document, principal
from support.tokens import CALLER, MEMBER

JANE = "user:jane@example.com"


# Several policies.


def test_joined_policies_grant_what_any_of_them_grants() -> None:
    service, project = InvokerPolicy.from_members([JANE]), InvokerPolicy([("roles/editor", [MEMBER])])

    joined = InvokerPolicy.join(service, project)

    assert Decision(
        granted=True, member=MEMBER, role="roles/editor", same_for_every_request=True
    ) == joined.decide(principal())
    assert joined.decide(principal(email="jane@example.com")).granted
    assert service.to_dict()["bindings"] + project.to_dict()["bindings"] == joined.to_dict()["bindings"]


def test_joined_policies_deny_what_any_of_them_denies() -> None:
    denying = InvokerPolicy([]).with_deny(deny("principalSet://goog/public:all"))

    assert not InvokerPolicy.join(InvokerPolicy.all_users(), denying).decide(principal()).granted


def test_joined_policies_each_keep_their_way_to_resolve_groups() -> None:
    first = InvokerPolicy.from_members(["group:a@x.com"], groups={"a@x.com": []})
    second = InvokerPolicy.from_members(["group:a@x.com"], groups={"a@x.com": [CALLER]})

    assert "group:a@x.com" == InvokerPolicy.join(first, second).decide(principal()).member


def test_a_joined_policy_belongs_to_no_resource() -> None:
    joined = InvokerPolicy.join(InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER))))

    assert {"bindings": [binding(INVOKER, MEMBER)], "version": 1} == joined.to_dict()


def test_policies_that_do_not_go_together_are_not_joined() -> None:
    with pytest.raises(PolicyError, match="pass the policies"):
        InvokerPolicy.join()
    with pytest.raises(PolicyError, match="different permissions"):
        InvokerPolicy.join(InvokerPolicy([]), InvokerPolicy([], permission="run.instances.invoke"))
    with pytest.raises(PolicyError, match="two different numbers"):
        InvokerPolicy.join(
            InvokerPolicy([], unique_ids={MEMBER: "1"}), InvokerPolicy([], unique_ids={MEMBER: "2"})
        )


# What is saved in place of a policy.


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {}}, "from_service"),
        ({"name": "projects/p/locations/l/services/s", "uid": "x", "uri": "https://x"}, "from_service"),
        ({"policy": document()}, "the value of its member 'policy'"),
        ({"rules": []}, "read it with DenyPolicy"),
        ({"error": {"code": 403}}, "reports an error"),
        ({"binding": []}, "Terraform"),
        (binding(INVOKER, MEMBER), "one binding"),
        ({"bindings": binding(INVOKER, MEMBER)}, "--flatten"),
        ({"bindings": [], "odd": 1}, "unknown member 'odd'"),
    ],
)
def test_what_is_no_policy_is_refused_with_what_it_is(written: Any, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        InvokerPolicy.from_dict(written)


def test_a_document_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["auditConfigs"] = endless

    with pytest.raises(PolicyError, match="nested too deeply"):
        InvokerPolicy.from_dict(endless)


# Writing back.


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"etag": "ACAB"},
        document(),
        document(binding(INVOKER, MEMBER, "deleted:user:a@b.c?uid=1"), binding("roles/x", "group:g@x.com")),
        document(auditConfigs=[{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]),
        {"bindings": [{"role": INVOKER}], "kind": "x", "resourceId": "y", "version": 3},
        document(binding("roles/x", JANE, condition={"expression": "?", "title": "t", "location": "l"})),
    ],
    ids=repr,
)
def test_nothing_of_a_policy_is_lost_when_it_is_written_back(written: dict[str, Any]) -> None:
    for policy in (InvokerPolicy.from_dict(written), InvokerPolicy.from_json(json.dumps(written))):
        assert written == policy.to_dict()
        assert written == json.loads(policy.to_json())


def test_what_is_written_back_is_a_copy() -> None:
    source = document(binding(INVOKER, MEMBER))
    policy = InvokerPolicy.from_dict(source)
    source["bindings"].clear()
    policy.to_dict()["bindings"].clear()

    assert [binding(INVOKER, MEMBER)] == policy.to_dict()["bindings"]


def test_bindings_are_written_as_a_policy_document() -> None:
    condition = StubCondition("request.path == '/'", "t")
    policy = InvokerPolicy([(INVOKER, (JANE,)), Binding(INVOKER, [MEMBER], condition)])
    written = {"expression": "request.path == '/'", "title": "t"}

    assert {
        "bindings": [binding(INVOKER, JANE), binding(INVOKER, MEMBER, condition=written)],
        "version": 3,
    } == policy.to_dict()


# The check switched off.


def test_a_service_whose_check_is_off_admits_every_caller_also_denied_ones() -> None:
    policy = InvokerPolicy.check_disabled().with_deny(deny("principalSet://goog/public:all"))

    assert policy.public
    assert Decision(granted=True, same_for_every_request=True) == policy.decide(ANONYMOUS)
    assert Decision(granted=True, same_for_every_request=True) == policy.decide(principal())
    assert "InvokerPolicy(check disabled)" == repr(policy)
    assert InvokerPolicy.join(InvokerPolicy([]), policy).decide(ANONYMOUS).granted


@pytest.mark.parametrize(
    "service",
    [
        {"metadata": {"annotations": {"run.googleapis.com/invoker-iam-disabled": "true"}}},
        {"invokerIamDisabled": True},
    ],
    ids=repr,
)
def test_the_description_of_a_service_says_that_its_check_is_off(service: dict[str, Any]) -> None:
    assert Decision(granted=True, same_for_every_request=True) == InvokerPolicy.from_service(service).decide(
        ANONYMOUS
    )
    assert InvokerPolicy.from_service(service, InvokerPolicy([])).decide(ANONYMOUS).granted


@pytest.mark.parametrize(
    "service",
    [
        {},
        {"metadata": {}},
        {"metadata": {"annotations": None}},
        {"metadata": {"annotations": {"run.googleapis.com/invoker-iam-disabled": "false"}}},
        {"invokerIamDisabled": False},
    ],
    ids=repr,
)
def test_a_service_whose_check_is_on_needs_a_policy(service: dict[str, Any]) -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    assert policy is InvokerPolicy.from_service(service, policy)
    with pytest.raises(PolicyError, match="pass the policy"):
        InvokerPolicy.from_service(service)


@pytest.mark.parametrize(
    "service",
    [
        {"metadata": {"annotations": {"run.googleapis.com/invoker-iam-disabled": True}}},
        {"metadata": {"annotations": {"run.googleapis.com/invoker-iam-disabled": "TRUE"}}},
        {"metadata": {"annotations": []}},
        {"metadata": "x"},
        {"invokerIamDisabled": "true"},
    ],
    ids=repr,
)
def test_a_description_that_is_not_understood_does_not_open_a_service(service: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy.from_service(service, InvokerPolicy([]))
