from __future__ import annotations

from typing import Any

import pytest

from doorward import Issuer, PolicyError
from doorward.policy.membership.identities import KnownAccounts, identities
from doorward.tokens.principal import ANONYMOUS
from support.policies import principal
from support.tokens import CALLER, MEMBER

OWN = Issuer(name="own", iss_values=("https://issuer.example",), key_url="https://issuer.example/jwks")
PROJECT_SET = "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount"
UID = "112233445566778899001"


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


def test_a_caller_without_an_e_mail_is_the_account_of_its_unique_id() -> None:
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
def test_malformed_knowledge_of_accounts_is_refused(settings: Any) -> None:
    with pytest.raises(PolicyError):
        KnownAccounts(**settings)


def test_a_service_account_is_itself_an_authenticated_user_and_one_of_all_users() -> None:
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


def test_an_anonymous_caller_is_one_of_all_users() -> None:
    assert ("allUsers",) == identities(ANONYMOUS)
