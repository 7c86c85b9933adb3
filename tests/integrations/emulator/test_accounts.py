"""Emulated accounts: what follows from an address."""

from __future__ import annotations

import pytest

from doorward import ConfigurationError
from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Account, Accounts

OTHER = "other@doorward-demo.iam.gserviceaccount.com"


def test_the_unique_id_is_21_digits_and_the_same_each_time_and_in_each_case() -> None:
    subject = Account(DEFAULT_ACCOUNT).subject

    assert len(subject) == 21
    assert subject.isdigit()
    assert subject[0] == "1"
    assert subject == Account(DEFAULT_ACCOUNT.upper()).subject
    assert subject != Account(OTHER).subject


def test_a_service_account_is_its_own_authorized_party() -> None:
    account = Account(DEFAULT_ACCOUNT)

    assert {
        "azp": account.subject,
        "email": DEFAULT_ACCOUNT,
        "email_verified": True,
        "sub": account.subject,
    } == account.claims()


def test_the_authorized_party_of_a_user_is_gcloud() -> None:
    claims = Account("somebody@example.com").claims()

    assert GCLOUD_CLIENT_ID == claims["azp"]
    assert ["at_hash", "azp", "email", "email_verified", "sub"] == sorted(claims)


@pytest.mark.parametrize("email", [DEFAULT_ACCOUNT, "1234-compute@developer.gserviceaccount.com"])
def test_a_service_account_is_recognised_by_the_end_of_its_domain(email: str) -> None:
    assert Account(email).is_service_account


@pytest.mark.parametrize(
    "email",
    [
        "somebody@example.com",
        "a.gserviceaccount.com@example.com",
        "a@evilgserviceaccount.com",
        "a@x.gserviceaccount.com.example.com",
    ],
)
def test_an_address_that_only_resembles_a_service_accounts_is_a_users(email: str) -> None:
    assert not Account(email).is_service_account


@pytest.mark.parametrize("email", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a/b@c", "a@b?c", "ä@b", "a@b\n"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(ConfigurationError, match="is no e-mail address"):
        Account(email)


def test_an_account_is_found_as_default_or_by_its_address_in_any_case() -> None:
    accounts = Accounts(others=[OTHER])

    assert accounts.default == accounts.find("default")
    assert DEFAULT_ACCOUNT == accounts.default.email
    assert Account(OTHER) == accounts.find(OTHER.upper())
    assert accounts.find("nobody@doorward-demo.iam.gserviceaccount.com") is None


def test_using_an_account_attaches_it_and_keeps_the_others() -> None:
    accounts = Accounts()

    assert Account(OTHER) == accounts.use(OTHER)
    assert Account(OTHER) == accounts.find("default")
    assert Account(DEFAULT_ACCOUNT) == accounts.find(DEFAULT_ACCOUNT)
    assert [DEFAULT_ACCOUNT, OTHER] == [account.email for account in accounts]
    assert f"Accounts({OTHER!r}, [{DEFAULT_ACCOUNT!r}])" == repr(accounts)


def test_a_machine_does_not_run_as_a_user() -> None:
    with pytest.raises(ConfigurationError, match="is a user's address"):
        Accounts("somebody@example.com")
