from __future__ import annotations

from typing import Any

import pytest

from doorward import PlainRequest, PolicyError
from doorward.policy.decision import Decision
from doorward.policy.documents import remarks
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
    ],
    ids=repr,
)
def test_what_is_no_condition_matters_only_where_its_role_grants(
    conditions: Conditions, condition: object
) -> None:
    with pytest.raises(PolicyError, match=r"bindings\[0\].*condition"):
        InvokerPolicy.from_dict(document(binding(INVOKER, MEMBER, condition=condition), version=3))

    policy = InvokerPolicy.from_dict(
        document(binding("roles/run.viewer", JANE, condition=condition), binding(INVOKER, MEMBER), version=3)
    )
    assert policy.decide(principal()).granted


def test_a_condition_of_a_custom_role_matters_where_that_role_grants(conditions: Conditions) -> None:
    conditional = document(binding(CUSTOM, MEMBER, condition={"expression": 1}), version=3)

    with pytest.raises(PolicyError, match="condition"):
        InvokerPolicy.from_dict(conditional, custom_roles={CUSTOM: ["run.routes.invoke"]})
    assert not InvokerPolicy.from_dict(conditional, custom_roles={CUSTOM: []}).decide(principal()).granted


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"group": {}}, "'group' is no setting of a policy: they are permission, custom_roles, groups"),
        ({"Strict": True}, "'Strict' is no setting"),
        ({"strict": "no"}, "strict must be True or False, not 'no'"),
        ({"strict": None}, "strict must be True or False, not None"),
        ({"custom_roles": [CUSTOM]}, "custom_roles must be a mapping, not list"),
        ({"unique_ids": "1"}, "unique_ids must be a mapping, not str"),
        ({"project_numbers": 1}, "project_numbers must be a mapping, not int"),
        ({"resource_tags": ["123/env"]}, "resource_tags must be a mapping, not list"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings: Any, why: str) -> None:
    for make in (InvokerPolicy, InvokerPolicy.from_members):
        with pytest.raises(PolicyError, match=why):
            make([], **settings)
    with pytest.raises(PolicyError, match=why):
        InvokerPolicy.from_json("{}", **settings)


def test_a_setting_that_is_none_is_as_if_it_were_not_there() -> None:
    nones: Any = dict.fromkeys(["custom_roles", "groups", "unique_ids", "project_numbers", "resource_tags"])

    assert InvokerPolicy.from_members([MEMBER], **nones).decide(principal()).granted


# Conditions.


@pytest.mark.parametrize("expression", ["not (an expression", "x" * 5000, "request.path.lower() == '/x'"])
def test_a_condition_that_is_not_understood_grants_nothing_and_says_so(
    conditions: Conditions, expression: str, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = binding(INVOKER, JANE, condition={"expression": expression, "title": "odd"})
    policy = InvokerPolicy.from_dict(document(unreadable, binding(INVOKER, MEMBER), version=3))

    assert policy.decide(principal()).granted
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(ANONYMOUS)
    assert not policy.decide(principal(email="jane@example.com")).granted
    (logged,) = caplog.messages
    assert logged.startswith("policy: bindings[0] (roles/run.invoker): the condition is not understood")
    (line,) = [line for line in str(policy.explain(ANONYMOUS)).splitlines() if "condition odd" in line]
    assert "it is not understood, so that it grants nothing" in line
    assert (False, False) == (policy.explain(ANONYMOUS).bindings[0].grants, policy.public)


def test_in_strict_mode_a_condition_that_is_not_understood_is_an_error(conditions: Conditions) -> None:
    with pytest.raises(PolicyError, match=r"bindings\[0\].*condition is not understood"):
        InvokerPolicy.from_dict(
            document(binding(INVOKER, MEMBER, condition={"expression": "not (an expression"})), strict=True
        )


def test_a_binding_for_all_users_whose_condition_is_not_understood_is_not_public(
    conditions: Conditions,
) -> None:
    policy = InvokerPolicy.from_dict(document(binding(INVOKER, "allUsers", condition={"expression": "?"})))

    assert (False, False) == (policy.public, policy.decide(ANONYMOUS).granted)


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


def test_a_member_of_a_policy_that_is_null_is_as_if_it_were_not_there() -> None:
    named = {"expression": "true", "title": None, "description": None, "location": None}
    nulls = {"version": None, "etag": None, "auditConfigs": None, "kind": None, "resourceId": None}
    written = {"bindings": [binding(INVOKER, MEMBER, condition=named), {"role": INVOKER, "members": None}]}
    policy = InvokerPolicy.from_dict({**written, **nulls})

    assert policy.decide(principal()).granted
    assert {**written, **nulls} == policy.to_dict()
    joined = InvokerPolicy.join(policy, InvokerPolicy.from_dict({"bindings": None, "version": None}))
    assert {**written, "auditConfigs": [], "version": 0} == joined.to_dict()


def test_a_binding_may_have_an_id() -> None:
    written = document(binding(INVOKER, MEMBER, bindingId="b-1"))
    policy = InvokerPolicy.from_dict(written)

    assert policy.decide(principal()).granted
    assert written == policy.to_dict()


@pytest.mark.parametrize(
    "document",
    [
        document(version=2),
        document(version=4),
        document(version=-1),
        document(version="1"),
        document(version=True),
        document(version=1.0),
        {"bindings": {}},
        {"bindings": ""},
        {"bindings": 0},
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
        document({"role": INVOKER, "members": ""}),
        document({"role": INVOKER, "members": False}),
        document({"role": INVOKER, "members": {MEMBER: 1}}),
        document({"role": INVOKER, "members": [MEMBER], "conditions": []}),
        document({"role": INVOKER, "members": [[MEMBER]]}),
    ],
    ids=repr,
)
def test_what_is_not_a_policy_is_refused_whole(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy.from_dict(document)


# Custom roles.


@pytest.mark.parametrize("role", [CUSTOM, "organizations/1/roles/caller", "caller", "roles/a/b"])
def test_in_strict_mode_a_role_that_is_not_described_is_an_error_that_says_how_to_describe_it(
    role: str,
) -> None:
    with pytest.raises(PolicyError, match=r"bindings\[0\].*gcloud iam roles describe"):
        InvokerPolicy.from_dict(document(binding(role, MEMBER)), strict=True)


def test_one_warning_lists_every_role_that_is_not_described(caplog: pytest.LogCaptureFixture) -> None:
    roles = [CUSTOM, "organizations/1/roles/other", CUSTOM, "roles/a/b"]
    policy = InvokerPolicy.from_dict(
        document(*(binding(role, JANE) for role in roles), binding(INVOKER, MEMBER))
    )

    (logged,) = caplog.messages
    assert all(role in logged for role in roles)
    assert "gcloud iam roles describe" in logged
    assert policy.decide(principal()).granted
    assert not policy.decide(principal(email="jane@example.com")).granted
    assert logged.removeprefix("policy: ") in str(policy.explain(ANONYMOUS))


@pytest.mark.parametrize(
    ("role", "meant"),
    [
        ("roles/run.invokers", INVOKER),
        ("roles/run.Invoker", INVOKER),
        ("Roles/run.invoker", INVOKER),
        ("roles/run.invoke", INVOKER),
        ("role/run.invoker", INVOKER),
        ("run.invoker", INVOKER),
        (" roles/run.invoker", INVOKER),
        ("roles/run.serviceInvoker", "roles/run.servicesInvoker"),
    ],
)
def test_a_misspelt_role_warns_that_it_grants_nothing(
    role: str, meant: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = InvokerPolicy.from_dict(document(binding(role, MEMBER), binding("roles/run.admin", JANE)))

    (logged,) = caplog.messages
    assert f"did you mean {meant!r}?" in logged
    assert not policy.decide(principal()).granted
    with pytest.raises(PolicyError, match="did you mean"):
        InvokerPolicy.from_dict(document(binding(role, MEMBER)), strict=True)


def test_so_many_roles_are_compared_with_those_that_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr(remarks, "intended_role", lambda role, _: compared.append(role))
    once = [binding(f"roles/x{number}", MEMBER) for number in range(1_500)]
    InvokerPolicy.from_dict(document(*once, *once))

    assert [f"roles/x{number}" for number in range(1_000)] == compared


@pytest.mark.parametrize(
    "role",
    [
        "roles/run.viewer",
        "roles/viewer",
        "roles/run.jobsExecutor",
        "roles/cloudfunctions.invoker",
        "roles/browser",
    ],
)
def test_a_role_that_is_not_meant_to_invoke_warns_of_nothing(
    role: str, caplog: pytest.LogCaptureFixture
) -> None:
    InvokerPolicy.from_dict(document(binding(role, MEMBER), binding(INVOKER, MEMBER)), strict=True)

    assert [] == caplog.messages


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({}, "it has no bindings"),
        ({"etag": "ACAB"}, "it has no bindings"),
        ({"bindings": None}, "it has no bindings"),
        (document(binding("roles/run.viewer", MEMBER)), "none of its roles holds the permission"),
        (document(binding(INVOKER)), "name no principal"),
        (document(binding(INVOKER, "deleted:user:a@b.c?uid=1")), "name no principal"),
    ],
)
def test_a_policy_that_grants_to_no_principal_warns_of_it(
    written: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = InvokerPolicy.from_dict(written)

    (logged,) = caplog.messages
    assert "no principal is granted run.routes.invoke" in logged
    assert why in logged
    assert logged.removeprefix("policy: ") in str(policy.explain(principal()))


def test_a_policy_that_is_made_without_bindings_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    InvokerPolicy([])
    InvokerPolicy.from_members([MEMBER])

    assert [] == caplog.messages


def test_members_that_are_an_empty_list_warn_that_no_principal_is_granted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    InvokerPolicy.from_members([])

    (logged,) = caplog.messages
    assert "its bindings name no principal" in logged


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
