from __future__ import annotations

from typing import Any

import pytest

from doorward import PlainRequest, PolicyError
from doorward.policy.decision import Decision
from doorward.policy.iam import InvokerPolicy
from doorward.tokens.principal import ANONYMOUS
from support.conditions import Conditions
from support.policies import INVOKER, binding, document, principal
from support.tokens import MEMBER

JANE = "user:jane@example.com"
CUSTOM = "projects/p/roles/caller"


@pytest.fixture
def conditions(monkeypatch: pytest.MonkeyPatch) -> Conditions:
    """Have conditions compiled by a stand-in for CEL."""
    return Conditions.install(monkeypatch)


# What is not understood.


@pytest.mark.parametrize(
    "member",
    [
        "group:team@example.com",
        "principal://iam.googleapis.com/x",
        "principalSet://iam.googleapis.com/x",
        "allusers",
        "projectOwner:p",
        7,
    ],
)
def test_a_member_that_is_not_understood_matters_only_where_its_role_grants(member: object) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, member)))

    policy = InvokerPolicy.from_dict(document(binding("roles/run.viewer", member), binding(INVOKER, MEMBER)))
    assert policy.decide(principal()).granted


def test_a_group_that_nothing_resolves_is_an_error_that_says_how_to_resolve_it() -> None:
    with pytest.raises(PolicyError, match=r"groups=\{'team@example\.com'"):
        InvokerPolicy.from_members(["group:Team@example.com"])


@pytest.mark.parametrize(
    "condition",
    [
        {"expression": ""},
        {"expression": "  "},
        {"expression": 7},
        {"expression": "x", "title": 7},
        {"expression": "x", "unknown": "y"},
        {},
        "true",
        False,
        {"expression": "not (an expression"},
    ],
    ids=repr,
)
def test_a_condition_that_is_not_understood_matters_only_where_its_role_grants(
    conditions: Conditions, condition: object
) -> None:
    with pytest.raises(PolicyError, match=r"bindings\[0\].*condition"):
        InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, condition=condition), version=3))

    policy = InvokerPolicy.from_dict(
        document(binding("roles/run.viewer", JANE, condition=condition), binding(INVOKER, MEMBER), version=3)
    )
    assert policy.decide(principal()).granted


def test_a_condition_of_a_custom_role_matters_where_that_role_grants(conditions: Conditions) -> None:
    conditional = document(binding(CUSTOM, MEMBER, condition={"expression": "1"}), version=3)

    with pytest.raises(PolicyError, match="condition"):
        InvokerPolicy.from_dict(conditional, custom_roles={CUSTOM: ["run.routes.invoke"]})
    assert not InvokerPolicy.from_dict(conditional, custom_roles={CUSTOM: []}).decide(principal()).granted


# Conditions.


def conditional(*more: Any, path: str = "/orders", title: str = "") -> InvokerPolicy:
    condition = {"expression": f"request.path == {path!r}", **({"title": title} if title else {})}
    return InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, condition=condition), *more, version=3))


def test_a_conditional_binding_grants_where_its_condition_holds(conditions: Conditions) -> None:
    policy = conditional()

    assert Decision(granted=True, member=MEMBER, role=INVOKER) == policy.decide(
        principal(), PlainRequest("/orders")
    )
    assert Decision(granted=False) == policy.decide(principal(), PlainRequest("/other"))


def test_whom_no_condition_concerns_is_refused_for_good(conditions: Conditions) -> None:
    assert Decision(granted=False, same_for_every_request=True) == conditional().decide(
        ANONYMOUS, PlainRequest("/orders")
    )


def test_a_binding_without_a_condition_grants_beside_one_with(conditions: Conditions) -> None:
    policy = conditional(binding(INVOKER, MEMBER))

    assert Decision(granted=True, member=MEMBER, role=INVOKER, same_for_every_request=True) == policy.decide(
        principal(), PlainRequest("/other")
    )


def test_a_condition_that_depends_on_nothing_is_decided_once(conditions: Conditions) -> None:
    yes = InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, condition={"expression": "true"})))
    no = InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, condition={"expression": "false"})))

    for _ in range(3):
        assert Decision(granted=True, member=MEMBER, role=INVOKER, same_for_every_request=True) == yes.decide(
            principal()
        )
        assert Decision(granted=False, same_for_every_request=True) == no.decide(principal())
    assert 2 == conditions.asked


def test_all_users_under_a_condition_are_public_there_only(conditions: Conditions) -> None:
    policy = InvokerPolicy.from_dict(
        document(binding(INVOKER, "allUsers", condition={"expression": "request.path == '/hook'"}), version=3)
    )

    assert policy.public
    assert policy.decide(ANONYMOUS, PlainRequest("/hook")).granted
    assert not policy.decide(ANONYMOUS, PlainRequest("/")).granted


def test_a_condition_that_is_null_is_none() -> None:
    assert (
        InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, condition=None)))
        .decide(principal())
        .granted
    )


@pytest.mark.parametrize(
    "document",
    [
        document(version=2),
        document(version=4),
        document(version=-1),
        document(version="1"),
        document(version=True),
        document(version=1.0),
        document(version=None),
        {"bindings": {}},
        {"bindings": None},
        {"bindings": "x"},
        {"binding": []},
        {"Bindings": []},
        {"policy": document()},
        document("roles/run.invoker"),
        document(None),
        document([INVOKER, [MEMBER]]),
        document({"members": [MEMBER]}),
        document({"role": "", "members": [MEMBER]}),
        document({"role": 7, "members": [MEMBER]}),
        document({"role": INVOKER, "members": MEMBER}),
        document({"role": INVOKER, "members": None}),
        document({"role": INVOKER, "members": {MEMBER: 1}}),
        document({"role": INVOKER, "members": [MEMBER], "conditions": []}),
        document({"role": INVOKER, "members": [[MEMBER]]}),
        document({"role": "run.invoker", "members": [MEMBER]}),
        document({"role": "Roles/run.invoker", "members": [MEMBER]}),
    ],
    ids=repr,
)
def test_what_is_not_a_policy_is_refused_whole(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy.from_dict(document)


# Custom roles.


def test_a_custom_role_without_permissions_is_an_error_that_says_how_to_describe_it() -> None:
    for role in (CUSTOM, "organizations/1/roles/caller"):
        with pytest.raises(PolicyError, match="gcloud iam roles describe"):
            InvokerPolicy.from_dict(document(binding(role, MEMBER)))


def test_a_custom_role_grants_if_it_holds_the_permission() -> None:
    holds, lacks = {CUSTOM: ["run.routes.invoke", "run.jobs.run"]}, {CUSTOM: ["run.jobs.run"]}

    granted = InvokerPolicy.from_dict(document(binding(CUSTOM, MEMBER)), custom_roles=holds).decide(
        principal()
    )
    assert Decision(granted=True, member=MEMBER, role=CUSTOM, same_for_every_request=True) == granted
    assert not InvokerPolicy([(CUSTOM, [MEMBER])], custom_roles=lacks).decide(principal()).granted


def test_the_permissions_of_a_custom_role_are_a_list_and_not_one_string() -> None:
    """In one string a permission is found as a part of another."""
    with pytest.raises(PolicyError):
        InvokerPolicy([(CUSTOM, [MEMBER])], custom_roles={CUSTOM: "run.routes.invokeNothing"})


@pytest.mark.parametrize("role", ["roles/run.viewer", "roles/cloudfunctions.invoker", CUSTOM, ""])
def test_members_cannot_be_given_a_role_that_does_not_invoke(role: str) -> None:
    with pytest.raises(PolicyError, match=r"roles/run\.invoker does"):
        InvokerPolicy.from_members([MEMBER], role=role)


@pytest.mark.parametrize("members", ["allUsers", MEMBER])
def test_members_are_a_list_and_not_one_string(members: str) -> None:
    with pytest.raises(PolicyError, match="not one string"):
        InvokerPolicy.from_members(members)


@pytest.mark.parametrize("role", [None, 7, True, [INVOKER]], ids=repr)
def test_a_role_is_a_string(role: Any) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy([(role, [MEMBER])])
