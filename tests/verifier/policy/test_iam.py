from __future__ import annotations

import json
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, ConfigurationError, Issuer, PlainRequest, PolicyError, Principal
from doorward.policy.bindings import Binding
from doorward.policy.decision import Decision
from doorward.policy.deny.policy import DenyPolicy
from doorward.policy.iam import InvokerPolicy
from doorward.policy.roles import INVOKER_ROLES
from doorward.tokens.principal import ANONYMOUS
from support.conditions import Conditions, StubCondition
from support.tokens import CALLER, MEMBER, claims

INVOKER = "roles/run.invoker"
CUSTOM = "projects/p/roles/caller"
JANE = "user:jane@example.com"


def principal(issuer: Issuer = GOOGLE, **changed: Any) -> Principal:
    return Principal(MappingProxyType(claims(1_790_000_000.0, **changed)), issuer)


def document(*bindings: Any, **more: Any) -> dict[str, Any]:
    return {"bindings": list(bindings), "etag": "BwXhEK-IySg=", "version": 1, **more}


def binding(role: str, *members: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "members": list(members), **more}


@pytest.fixture
def conditions(monkeypatch: pytest.MonkeyPatch) -> Conditions:
    """Have conditions compiled by a stand-in for CEL."""
    return Conditions.install(monkeypatch)


def deny(*principals: str) -> DenyPolicy:
    rule = {"deniedPrincipals": [*principals], "deniedPermissions": ["run.googleapis.com/routes.invoke"]}
    return DenyPolicy.from_dict({"rules": [{"denyRule": rule}]})


# Decisions.


def test_a_member_of_an_invoking_role_may_invoke() -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    assert Decision(granted=True, member=MEMBER, role=INVOKER, same_for_every_request=True) == policy.decide(
        principal()
    )


def test_any_other_caller_may_not() -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    assert Decision(granted=False, same_for_every_request=True) == policy.decide(
        principal(email="other@p.iam.gserviceaccount.com")
    )
    assert Decision(granted=False, same_for_every_request=True) == policy.decide(ANONYMOUS)


@pytest.mark.parametrize("role", sorted(INVOKER_ROLES))
def test_each_invoking_role_grants(role: str) -> None:
    assert Decision(granted=True, member=MEMBER, role=role, same_for_every_request=True) == InvokerPolicy(
        [(role, [MEMBER])]
    ).decide(principal())


@pytest.mark.parametrize(
    "role",
    [
        "roles/cloudfunctions.invoker",
        "roles/run.viewer",
        "roles/viewer",
        "roles/run.jobsExecutor",
        "roles/run.builder",
        "roles/iap.httpsResourceAccessor",
        "roles/unknown",
        "roles/Run.Invoker",
        "roles/run.invoker ",
    ],
)
def test_another_predefined_role_does_not(role: str) -> None:
    assert Decision(granted=False, same_for_every_request=True) == InvokerPolicy(
        [(role, [MEMBER, "allUsers"])]
    ).decide(principal())


def test_the_bindings_of_a_policy_are_united() -> None:
    policy = InvokerPolicy([(INVOKER, [JANE]), ("roles/run.viewer", [MEMBER]), ("roles/run.admin", [MEMBER])])

    assert Decision(
        granted=True, member=MEMBER, role="roles/run.admin", same_for_every_request=True
    ) == policy.decide(principal())


def test_addresses_are_compared_without_regard_to_case() -> None:
    policy = InvokerPolicy.from_members([MEMBER.replace("caller", "Caller")])

    assert policy.decide(principal(email=CALLER.upper())).granted


def test_a_letter_that_folds_into_another_is_another() -> None:
    policy = InvokerPolicy.from_members(["user:kate@example.com"])

    assert not policy.decide(principal(email="\u212aate@example.com")).granted


def test_a_user_of_the_domain_may_invoke_and_a_user_of_a_like_one_may_not() -> None:
    policy = InvokerPolicy.from_members(["domain:Example.com"])

    assert policy.decide(principal(email="jane@example.com", hd="example.com")).granted
    assert not policy.decide(principal(email="jane@example.com")).granted
    assert not policy.decide(principal(email="jane@example.com", hd="sub.example.com")).granted
    assert not policy.decide(
        principal(email="jane@example.com", hd="example.com", email_verified=False)
    ).granted


def test_an_address_that_is_not_verified_grants_nothing() -> None:
    policy = InvokerPolicy.from_members([MEMBER])

    for verified in (None, False, "true", 1):
        assert not policy.decide(principal(email_verified=verified)).granted


def test_all_authenticated_users_are_google_accounts_only() -> None:
    policy = InvokerPolicy.all_authenticated_users()
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")

    assert policy.decide(principal()).granted
    assert policy.decide(principal(email=None)).granted
    assert not policy.decide(principal(own)).granted
    assert not policy.decide(ANONYMOUS).granted
    assert not policy.public


def test_another_issuer_cannot_name_a_member() -> None:
    own = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")

    assert (
        not InvokerPolicy.from_members([MEMBER, "domain:example.com"])
        .decide(principal(own, hd="example.com"))
        .granted
    )


def test_all_users_are_every_caller() -> None:
    policy = InvokerPolicy.all_users()

    assert policy.public
    assert Decision(
        granted=True, member="allUsers", role=INVOKER, same_for_every_request=True
    ) == policy.decide(ANONYMOUS)
    assert policy.decide(principal()).granted


def test_a_deleted_member_grants_nothing() -> None:
    policy = InvokerPolicy.from_members([f"deleted:{MEMBER}?uid=1"])

    assert not policy.decide(principal()).granted


def test_the_narrowest_member_is_named() -> None:
    policy = InvokerPolicy.from_members(["allUsers", "allAuthenticatedUsers", MEMBER])

    assert MEMBER == policy.decide(principal()).member


def test_a_repr_names_no_member() -> None:
    assert "InvokerPolicy(2 members)" == repr(InvokerPolicy.from_members([MEMBER, JANE]))


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


def test_1500_members_are_found_like_one() -> None:
    members = [f"user:u{number}@example.com" for number in range(1500)]
    index = InvokerPolicy.from_members([*members, MEMBER])._index

    assert 1501 == len(index.unconditional)
    assert ((), {}) == (index.groups, index.conditional)


# Other permissions.


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("cloudfunctions.functions.invoke", "roles/cloudfunctions.invoker"),
        ("run.instances.invoke", "roles/run.invoker"),
        ("iap.webServiceVersions.accessViaIAP", "roles/iap.httpsResourceAccessor"),
    ],
)
def test_another_permission_is_asked_for_by_name(permission: str, role: str) -> None:
    policy = InvokerPolicy.from_members([MEMBER], permission=permission)

    assert permission == policy.permission
    assert Decision(granted=True, member=MEMBER, role=role, same_for_every_request=True) == policy.decide(
        principal()
    )


def test_a_permission_that_is_not_known_cannot_be_asked_for() -> None:
    with pytest.raises(PolicyError, match="known are"):
        InvokerPolicy([], permission="run.services.get")


def test_a_custom_role_can_be_given_to_members() -> None:
    policy = InvokerPolicy.from_members([MEMBER], role=CUSTOM, custom_roles={CUSTOM: ["run.routes.invoke"]})

    assert CUSTOM == policy.decide(principal()).role


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


# In general.


emails = st.sampled_from(
    ["a@example.com", "b@example.com", "A@p.iam.gserviceaccount.com", "b@p.iam.gserviceaccount.com"]
)
members = st.one_of(
    emails.map(lambda email: f"{'serviceAccount' if 'gservice' in email else 'user'}:{email}"),
    st.sampled_from(
        ["allUsers", "allAuthenticatedUsers", "domain:example.com", "deleted:user:a@example.com?uid=1"]
    ),
)
roles = st.sampled_from([*sorted(INVOKER_ROLES)[:4], INVOKER, "roles/run.viewer", "roles/viewer"])
bindings = st.tuples(roles, st.lists(members, max_size=4))
callers = st.one_of(
    st.just(ANONYMOUS),
    st.builds(
        lambda email, hd, verified: principal(email=email, hd=hd, email_verified=verified),
        emails,
        st.sampled_from([None, "example.com"]),
        st.booleans(),
    ),
)


@given(st.lists(bindings, max_size=5), bindings, st.integers(0, 5), callers)
@settings(deadline=None, max_examples=200)
def test_a_binding_more_never_takes_a_grant_away(
    some: list[tuple[str, list[str]]], more: tuple[str, list[str]], where: int, caller: Principal
) -> None:
    before = InvokerPolicy(some).decide(caller)
    after = InvokerPolicy([*some[:where], more, *some[where:]]).decide(caller)

    assert after.granted >= before.granted


@given(st.lists(bindings, max_size=5), callers, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_the_order_of_bindings_decides_nothing(
    some: list[tuple[str, list[str]]], caller: Principal, rng: Any
) -> None:
    shuffled = [*some]
    rng.shuffle(shuffled)

    assert InvokerPolicy(some).decide(caller).granted == InvokerPolicy(shuffled).decide(caller).granted


@given(st.lists(bindings, max_size=5), callers)
@settings(deadline=None, max_examples=200)
def test_a_policy_from_json_decides_as_one_from_bindings(
    some: list[tuple[str, list[str]]], caller: Principal
) -> None:
    text = json.dumps(document(*(binding(role, *names) for role, names in some)))

    assert InvokerPolicy(some).decide(caller) == InvokerPolicy.from_json(text).decide(caller)


@given(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["bindings", "version"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "members", "condition", "x"]), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=3,
    )
)
@settings(deadline=None, max_examples=300)
def test_no_json_raises_anything_but_a_policy_error(anything: dict[str, Any]) -> None:
    try:
        policy = InvokerPolicy.from_json(json.dumps(anything))
    except PolicyError as error:
        assert str(error)  # noqa: PT017 - most draws are no policy
    else:
        assert not policy.decide(ANONYMOUS).granted or policy.public


@pytest.mark.parametrize("role", [None, 7, True, [INVOKER]], ids=repr)
def test_a_role_is_a_string(role: Any) -> None:
    with pytest.raises(PolicyError):
        InvokerPolicy([(role, [MEMBER])])
