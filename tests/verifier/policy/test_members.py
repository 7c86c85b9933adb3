from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, Issuer, PolicyError, Principal
from doorward.policy.members import KnownAccounts, Member, canonical, identities, read_member
from doorward.tokens.principal import ANONYMOUS
from support.tokens import CALLER, MEMBER, claims

OWN = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")


def principal(issuer: Issuer = GOOGLE, **changed: Any) -> Principal:
    return Principal(MappingProxyType(claims(1_790_000_000.0, **changed)), issuer)


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
def test_a_member_is_read_with_its_type_as_spelled_and_its_value_in_lower_case(
    member: str, expected: str
) -> None:
    assert expected == canonical(member)


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
    assert canonical(member) is None


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
    assert "ID token" in str(read.never)


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
def test_a_member_that_cannot_be_told_says_what_is_missing(member: str, reason: str) -> None:
    assert reason in str(read_member(member, {"another": "456"}).never)


def test_the_accounts_of_a_project_are_a_member_where_its_number_is_known() -> None:
    assert Member(PROJECT_SET, key=PROJECT_SET) == read_member(PROJECT_SET, {"proj": "123"})


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("a@proj.iam.gserviceaccount.com", True),
        ("proj@appspot.gserviceaccount.com", True),
        ("123-compute@developer.gserviceaccount.com", True),
        ("a@orders.example.com.iam.gserviceaccount.com", True),
        ("a@other.iam.gserviceaccount.com", False),
        ("124-compute@developer.gserviceaccount.com", False),
        ("service-123@gcp-sa-pubsub.iam.gserviceaccount.com", False),
        ("a@proj.example.com", False),
        ("123@cloudservices.gserviceaccount.com", False),
    ],
)
def test_a_service_account_is_one_of_its_project_by_its_address(email: str, *, expected: bool) -> None:
    known = KnownAccounts(project_numbers={"proj": "123", "example.com:orders": "123"})

    assert expected == (PROJECT_SET in identities(principal(email=email), known))


UID = "112233445566778899001"


def test_a_caller_without_an_e_mail_is_who_its_unique_id_says() -> None:
    known = KnownAccounts(unique_ids={MEMBER.upper().replace("SERVICEACCOUNT", "serviceAccount"): UID})
    nameless = principal(email=None, email_verified=None)

    assert (MEMBER, "allAuthenticatedUsers", "allUsers") == identities(nameless, known)
    assert MEMBER not in identities(principal(email=None, email_verified=None, sub="1"), known)
    assert MEMBER not in identities(principal(email_verified=False), known)
    assert MEMBER not in identities(principal(OWN, email=None), known)


def test_an_address_whose_account_is_known_to_be_another_one_is_not_that_member() -> None:
    assert MEMBER not in identities(principal(), KnownAccounts(unique_ids={MEMBER: "1"}))
    assert MEMBER in identities(principal(), KnownAccounts(unique_ids={MEMBER: UID}))


@pytest.mark.parametrize(
    "settings",
    [
        {"unique_ids": {"allUsers": "1"}},
        {"unique_ids": {"group:g@example.com": "1"}},
        {"unique_ids": {"domain:example.com": "1"}},
        {"unique_ids": {"a@example.com": "1"}},
        {"unique_ids": {"user:a@example.com": 1}},
        {"unique_ids": {"user:a@example.com": "x"}},
        {"unique_ids": {"user:a@example.com": "1", "user:b@example.com": "1"}},
        {"project_numbers": {"proj": 123}},
        {"project_numbers": {"proj": "abc"}},
    ],
    ids=repr,
)
def test_what_is_known_of_accounts_must_make_sense(settings: Any) -> None:
    with pytest.raises(PolicyError):
        KnownAccounts(**settings)


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
    with pytest.raises(PolicyError, match="spelled in exactly this case"):
        canonical(member)


@pytest.mark.parametrize(
    "member", ["user:robot@p.iam.gserviceaccount.com", "user:Robot@P.iam.GServiceAccount.com"]
)
def test_a_service_account_as_a_user_is_refused_with_the_right_spelling(member: str) -> None:
    with pytest.raises(PolicyError, match="write serviceAccount:"):
        canonical(member)


@pytest.mark.parametrize("member", [None, 7, True, ["allUsers"], {"user": "x"}, b"allUsers"], ids=repr)
def test_a_member_is_a_string(member: object) -> None:
    with pytest.raises(PolicyError, match="must be a string"):
        canonical(member)


def test_a_service_account_is_itself_and_everybody() -> None:
    assert (MEMBER, "allAuthenticatedUsers", "allUsers") == identities(principal())


def test_a_user_of_a_hosted_domain_is_also_its_domain() -> None:
    jane = principal(email="Jane@Example.com", hd="Example.com")

    assert ("user:jane@example.com", "domain:example.com", "allAuthenticatedUsers", "allUsers") == identities(
        jane
    )


def test_the_domain_of_an_address_is_not_a_hosted_domain() -> None:
    assert "domain:example.com" not in identities(principal(email="jane@example.com"))


@pytest.mark.parametrize(
    "changed", [{"email_verified": False}, {"email_verified": "true"}, {"email": None}], ids=repr
)
def test_who_has_no_verified_address_is_an_authenticated_user_and_no_more(changed: dict[str, Any]) -> None:
    assert ("allAuthenticatedUsers", "allUsers") == identities(principal(hd="example.com", **changed))


def test_who_has_another_issuer_is_no_google_account_whatever_the_token_says() -> None:
    assert ("allUsers",) == identities(principal(OWN, email=CALLER, hd="example.com"))


def test_nobody_is_one_of_all_users() -> None:
    assert ("allUsers",) == identities(ANONYMOUS)


@given(
    st.text(max_size=30)
    | st.sampled_from(["user:", "domain:", "deleted:"]).flatmap(
        lambda kind: st.text(max_size=12).map(kind.__add__)
    )
)
@settings(deadline=None, max_examples=300)
def test_no_text_raises_anything_but_a_policy_error_and_what_is_read_once_is_read_twice(text: str) -> None:
    try:
        member = canonical(text)
    except PolicyError:
        return

    assert member is None or member == canonical(member)
