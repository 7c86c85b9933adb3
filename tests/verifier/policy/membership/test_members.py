from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import PolicyError
from doorward.policy.membership.members import Member, member_key, read_member
from support.tokens import MEMBER


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("allUsers", "allUsers"),
        ("allAuthenticatedUsers", "allAuthenticatedUsers"),
        ("user:jane@example.com", "user:jane@example.com"),
        ("user:Jane.Doe@Example.COM", "user:jane.doe@example.com"),
        (MEMBER, MEMBER),
        (MEMBER.replace("caller", "CALLER"), MEMBER),
        (
            "serviceAccount:1-compute@developer.gserviceaccount.com",
            "serviceAccount:1-compute@developer.gserviceaccount.com",
        ),
        ("domain:example.com", "domain:example.com"),
        ("domain:Example.COM", "domain:example.com"),
        ("user:\u212aa@example.com", "user:\u212aa@example.com"),
    ],
)
def test_a_member_is_read_with_its_type_as_written_and_its_value_in_lower_case(
    member: str, expected: str
) -> None:
    assert expected == member_key(member)


@pytest.mark.parametrize(
    "member",
    [
        "deleted:user:jane@example.com?uid=123",
        f"deleted:{MEMBER}?uid=123",
        "deleted:group:team@example.com?uid=123",
        "deleted:principal://iam.googleapis.com/locations/global/workforcePools/pool/subject/s",
    ],
)
def test_a_deleted_account_is_granted_nothing(member: str) -> None:
    assert member_key(member) is None


FEDERATED = [
    "principal://iam.googleapis.com/locations/global/workforcePools/pool/subject/s",
    "principalSet://iam.googleapis.com/locations/global/workforcePools/pool/group/g",
    "principalSet://iam.googleapis.com/locations/global/workforcePools/pool/attribute.team/x",
    "principalSet://iam.googleapis.com/locations/global/workforcePools/pool/*",
    "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/subject/s/t",
    "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/group/g",
    "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/*",
    "principal://agents.global.org-1.system.id.goog/resources/x",
    "serviceAccount:my-project.svc.id.goog[namespace/ksa]",
]


@pytest.mark.parametrize("member", FEDERATED)
def test_a_member_that_no_id_token_can_be_loads_with_the_reason(member: str) -> None:
    read = read_member(member)

    assert (None, None) == (read.key, read.group)
    assert "ID token" in str(read.never_reason)


def test_a_group_is_read_with_its_address_in_lower_case() -> None:
    assert Member("group:Team@Example.com", group="team@example.com") == read_member("group:Team@Example.com")


PROJECT_SET = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount"


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (PROJECT_SET, "project_numbers={'PROJECT_ID': '123'}"),
        (PROJECT_SET.replace("projects", "folders"), "which folders"),
        (PROJECT_SET.replace("projects", "organizations"), "which organizations"),
        (PROJECT_SET.replace("ServiceAccount", "ServiceAgent"), "which projects"),
        ("deleted:user:a@example.com?uid=1", "undeleted"),
    ],
)
def test_a_member_that_cannot_be_decided_says_what_is_missing(member: str, reason: str) -> None:
    assert reason in str(read_member(member, {"another": "456"}).never_reason)


def test_the_accounts_of_a_project_are_a_member_where_its_number_is_known() -> None:
    assert Member(PROJECT_SET, key=PROJECT_SET) == read_member(PROJECT_SET, {"proj": "123"})


@pytest.mark.parametrize(
    "member",
    [
        "",
        "jane@example.com",
        "allusers",
        "AllUsers",
        "ALLUSERS",
        "allauthenticatedusers",
        "allUsers ",
        " allUsers",
        "allUsers:",
        "User:jane@example.com",
        "USER:jane@example.com",
        "serviceaccount:a@p.iam.gserviceaccount.com",
        "Domain:example.com",
        "user:",
        "user:jane",
        "user:a@b@c",
        "user: jane@example.com",
        "user:jane@example.com\n",
        "serviceAccount:x y@p.com",
        "domain:",
        "domain:a@b.com",
        "domain:a b",
        "deleted:",
        "projectOwner:my-project",
        "projectEditor:p",
        "projectViewer:p",
        "serviceAccount:my-project.svc.id.goog",
        "group:",
        "group:team",
        "Group:team@example.com",
        "deleted:x",
        "deleted:user:a@example.com",
        "principal://iam.googleapis.com/x",
        "principalSet://iam.googleapis.com/locations/global/workforcePools/pool",
        "Principal://iam.googleapis.com/locations/global/workforcePools/pool/subject/s",
        "principal://goog/subject/a@example.com",
        "principalSet://goog/public:all",
        "*",
        "user:*",
    ],
    ids=repr,
)
def test_what_is_no_member_is_refused_with_what_is(member: str) -> None:
    with pytest.raises(PolicyError, match="with exactly these upper-case and lower-case letters"):
        member_key(member)


@pytest.mark.parametrize(
    "member", ["user:robot@p.iam.gserviceaccount.com", "user:Robot@P.iam.GServiceAccount.com"]
)
def test_a_service_account_as_a_user_is_refused_with_the_right_form(member: str) -> None:
    with pytest.raises(PolicyError, match="write serviceAccount:"):
        member_key(member)


@pytest.mark.parametrize("member", [None, 7, True, ["allUsers"], {"user": "x"}, b"allUsers"], ids=repr)
def test_a_member_is_a_string(member: object) -> None:
    with pytest.raises(PolicyError, match="must be a string"):
        member_key(member)


@given(
    st.text(max_size=30)
    | st.sampled_from(["user:", "domain:", "deleted:"]).flatmap(
        lambda kind: st.text(max_size=12).map(kind.__add__)
    )
)
@settings(deadline=None, max_examples=300)
def test_no_text_raises_anything_but_a_policy_error_and_what_is_read_once_is_read_twice(text: str) -> None:
    try:
        member = member_key(text)
    except PolicyError:
        return

    assert member is None or member == member_key(member)
