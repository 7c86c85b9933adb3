"""The keys of service accounts: what is in a key file, and how many there are."""

from __future__ import annotations

import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from doorward.errors import ConfigurationError
from doorward_integrations.emulator.identities.file import parse_identities
from doorward_integrations.emulator.oauth import account_keys
from doorward_integrations.emulator.oauth.account_keys import KEYS_OF_AN_ACCOUNT, AccountKeys
from support.accounts import DOCUMENT, MIDDLE, ORDERS, SHOP
from support.clock import ManualClock
from support.tokens import rsa_key

URL = "http://127.0.0.1:8099"


@pytest.fixture
def keys(clock: ManualClock) -> AccountKeys:
    """Return the keys of the accounts of a project, made of the shared keys of the tests."""
    numbers = itertools.count()
    return AccountKeys(
        parse_identities(DOCUMENT), clock=clock, make_private_key=lambda: rsa_key(f"account-{next(numbers)}")
    )


def test_a_key_file_has_the_members_that_googles_has(keys: AccountKeys) -> None:
    content = keys.make_file(ORDERS, URL)
    private = content.pop("private_key")
    kid = content["private_key_id"]

    assert {
        "type": "service_account",
        "project_id": "orders-demo",
        "private_key_id": kid,
        "client_email": ORDERS,
        "client_id": "104200000000000000001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": f"{URL}/token",
        "auth_provider_x509_cert_url": f"{URL}/oauth2/v1/certs",
        "client_x509_cert_url": f"{URL}/robot/v1/metadata/x509/{ORDERS.replace('@', '%40')}",
        "universe_domain": "googleapis.com",
    } == content
    assert isinstance(load_pem_private_key(private.encode(), None), rsa.RSAPrivateKey)
    assert [kid] == [key.kid for key in keys.of(ORDERS)]


@pytest.mark.parametrize("email", ["jane@example.com", "other@orders-demo.iam.gserviceaccount.com", "x"])
def test_only_a_service_account_has_a_key_file(keys: AccountKeys, email: str) -> None:
    with pytest.raises(ConfigurationError, match="is none of the service accounts"):
        keys.make_file(email, URL)


def test_the_eleventh_key_of_an_account_ends_the_first(keys: AccountKeys) -> None:
    kids = [keys.make_file(SHOP, URL)["private_key_id"] for _ in range(KEYS_OF_AN_ACCOUNT + 1)]

    assert kids[1:] == [key.kid for key in keys.of(SHOP)]


def test_not_more_accounts_have_keys_than_are_bounded(
    keys: AccountKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_keys, "ACCOUNTS_WITH_KEYS", 1)
    for _ in range(2):
        keys.make_file(SHOP, URL)

    with pytest.raises(ConfigurationError, match="no more may"):
        keys.make_file(MIDDLE, URL)
    assert "AccountKeys(of 1 accounts)" == repr(keys)
