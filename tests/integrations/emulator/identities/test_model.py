"""Who there is, and who may act as whom."""

from __future__ import annotations

import pytest

from doorward import ConfigurationError
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Account, Identities
from doorward_integrations.emulator.identities.model import Binding, normal_member
from doorward_integrations.emulator.identities.permissions import (
    GET_ACCESS_TOKEN,
    GET_OPEN_ID_TOKEN,
    IMPLICIT_DELEGATION,
    ROLES,
    SIGN_BLOB,
    SIGN_JWT,
)

A = "a@orders-demo.iam.gserviceaccount.com"
B = "b@orders-demo.iam.gserviceaccount.com"
JANE = "jane@example.com"
JANE_MEMBER = f"user:{JANE}"
CREATOR = "roles/iam.serviceAccountTokenCreator"


def test_by_default_every_address_is_an_account_and_none_may_act_as_another() -> None:
    identities = Identities()
    account = identities.find(A)

    assert Account(A) == account
    assert Account(JANE) == identities.find(JANE)
    assert (DEFAULT_ACCOUNT,) == identities.attached
    assert ("doorward-demo", 12) == (identities.project, len(identities.project_number))
    assert not identities.may(identities.members_of(Account(A)), GET_ACCESS_TOKEN, Account(A))


@pytest.mark.parametrize("text", ["", "a", "a@", "@a", "a@b@c", "a b@c", "104200000000000000001"])
def test_what_is_no_address_is_no_account(text: str) -> None:
    assert Identities().find(text) is None


def test_if_some_accounts_are_described_there_are_no_others_of_their_kind() -> None:
    services = Identities(accounts=(Account(A),))
    users = Identities(accounts=(Account(JANE),))

    assert [True, False, True] == [services.find(one) is not None for one in (A.upper(), B, JANE)]
    assert [True, True, False] == [users.find(one) is not None for one in (A, JANE, "sam@example.com")]


def test_an_account_is_found_by_its_unique_id_too() -> None:
    identities = Identities(accounts=(Account(A, unique_id="42"), Account(B)))

    assert [A, B, A] == [
        account.email
        for name in ("42", Account(B).subject, A)
        if (account := identities.find_by_name(name)) is not None
    ]
    assert identities.find_by_name("43") is None


def test_the_machine_runs_as_the_first_service_account_unless_another_is_attached() -> None:
    accounts = (Account(JANE), Account(A), Account(B))

    assert (A,) == Identities(accounts=accounts).attached
    assert (B, A) == Identities(accounts=accounts, attached=(B, A)).attached


def test_an_account_is_itself_its_domain_and_every_group_that_it_is_in() -> None:
    identities = Identities(
        groups={
            "inner@example.com": (f"user:{JANE.upper()}", "group:outer@example.com"),
            "outer@example.com": ("group:INNER@example.com",),
            "others@example.com": (f"serviceAccount:{A}",),
        }
    )

    assert {
        f"user:{JANE}",
        "domain:example.com",
        "group:inner@example.com",
        "group:outer@example.com",
        "allUsers",
        "allAuthenticatedUsers",
    } == identities.members_of(Account(JANE, hosted_domain="Example.com"))


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (CREATOR, {GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, IMPLICIT_DELEGATION, SIGN_BLOB, SIGN_JWT}),
        ("roles/iam.serviceAccountOpenIdTokenCreator", {GET_OPEN_ID_TOKEN}),
        ("roles/iam.workloadIdentityUser", {GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN}),
        ("roles/iam.serviceAccountUser", set[str]()),
    ],
)
def test_a_role_grants_its_permissions_and_no_others(role: str, permissions: set[str]) -> None:
    identities = Identities(bindings={B: (Binding(role, frozenset({f"serviceAccount:{A}"})),)})
    members = identities.members_of(Account(A))

    assert permissions == {one for one in ROLES[CREATOR] if identities.may(members, one, Account(B))}
    assert not any(identities.may(members, one, Account(A)) for one in ROLES[CREATOR])


@pytest.mark.parametrize(
    "member",
    [f"user:{JANE.upper()}", "group:outer@example.com", "domain:example.com", "allAuthenticatedUsers"],
)
def test_a_binding_may_name_a_user_a_group_or_a_domain(member: str) -> None:
    identities = Identities(
        groups={"outer@example.com": ("group:inner@example.com",), "inner@example.com": (JANE_MEMBER,)},
        bindings={B.upper(): (Binding(CREATOR, frozenset({member})),)},
    )
    jane, sam = Account(JANE, hosted_domain="example.com"), Account("sam@example.org")

    assert identities.may(identities.members_of(jane), GET_ACCESS_TOKEN, Account(B))
    assert (member == "allAuthenticatedUsers") == identities.may(
        identities.members_of(sam), GET_ACCESS_TOKEN, Account(B)
    )


def test_a_binding_of_the_project_holds_for_each_of_its_accounts() -> None:
    identities = Identities(project_bindings=(Binding(CREATOR, frozenset({JANE_MEMBER})),))

    assert identities.may(identities.members_of(Account(JANE)), SIGN_JWT, Account(A))


def test_the_members_and_unique_ids_are_in_the_form_that_a_policy_takes() -> None:
    identities = Identities(accounts=(Account(A, unique_id="42"), Account(JANE)))

    assert {f"serviceAccount:{A}": "42", JANE_MEMBER: Account(JANE).subject} == identities.unique_ids


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": ""}, "the id of a project"),
        ({"accounts": (Account(A), Account(A.upper()))}, "two accounts have the address"),
        (
            {"accounts": (Account(A, unique_id="1"), Account(B, unique_id="1"))},
            "two accounts have the unique id",
        ),
        ({"accounts": (Account(A),), "attached": (B,)}, "attached: .* add it to them"),
        ({"attached": (JANE,)}, "attached: .* none of the service accounts"),
        ({"bindings": {JANE: ()}}, "bindings: .* none of the service accounts"),
        ({"groups": {"g@example.com": ("group:h@example.com",)}}, "its own members are not listed"),
        ({"groups": {"g@example.com": ("allUsers",)}}, "is no member of a group: write user:EMAIL"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Identities(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["roles/owner", "serviceAccountTokenCreator", ""])
def test_a_role_that_says_nothing_about_acting_as_an_account_is_refused(role: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write one of roles/iam\.serviceAccountTokenCreator"):
        Binding(role, frozenset())


def test_a_binding_to_what_is_no_member_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not understood"):
        Binding(CREATOR, frozenset({A}))


def test_a_federated_member_keeps_its_letters() -> None:
    member = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/P/subject/S"

    assert member == normal_member(member)
