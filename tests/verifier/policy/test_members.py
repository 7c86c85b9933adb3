from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward import GOOGLE, Issuer, PolicyError, Principal
from doorward.policy.members import canonical, identities
from doorward.tokens.principal import ANONYMOUS
from support.tokens import CALLER, MEMBER, claims

OWN = Issuer(name="own", spellings=("https://issuer.example",), key_url="https://issuer.example/jwks")


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


@pytest.mark.parametrize(
    "member",
    [
        "group:team@example.com",
        "principal://iam.googleapis.com/locations/global/workforcePools/pool/subject/s",
        "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/subject/s",
        "principalSet://iam.googleapis.com/locations/global/workforcePools/pool/group/g",
        "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/*",
        "principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAccount",
    ],
)
def test_a_member_that_an_id_token_cannot_answer_for_is_refused_with_the_reason(member: str) -> None:
    with pytest.raises(PolicyError, match="cannot be decided on"):
        canonical(member)


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
        "serviceAccount:my-project.svc.id.goog[namespace/ksa]",
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
