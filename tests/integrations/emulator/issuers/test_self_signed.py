"""The published keys of service accounts: those of key files too."""

from __future__ import annotations

import httpx
import jwt
import pytest

from doorward import Verifier
from doorward.issuers.self_signed import service_account_issuer
from doorward.keys.fixed import FixedKeys
from doorward_integrations.emulator import Emulator
from support.accounts import SHOP
from support.clock import ManualClock
from support.tokens import AUDIENCE


def test_a_token_that_an_account_signs_with_its_key_file_verifies_with_the_published_keys(
    client: httpx.Client, clock: ManualClock, emulator: Emulator
) -> None:
    key = emulator.account_keys.make_file(SHOP, "http://127.0.0.1:8099")
    now = int(clock.now)
    claims = {"iss": SHOP, "sub": SHOP, "aud": AUDIENCE, "iat": now, "exp": now + 60}
    token = jwt.encode(claims, key["private_key"], "RS256", {"kid": key["private_key_id"]})
    published = client.get(f"/service_accounts/v1/jwk/{SHOP}").json()
    verifier = Verifier(
        AUDIENCE,
        issuers=[service_account_issuer(SHOP)],
        clock=clock,
        key_cache=lambda _: FixedKeys.from_dict(published),
    )

    assert f"serviceAccount:{SHOP}" == verifier.verify(token).member


@pytest.mark.parametrize("path", ["/service_accounts/v1/metadata/x509/", "/robot/v1/metadata/x509/"])
def test_both_forms_hold_the_same_keys(client: httpx.Client, emulator: Emulator, path: str) -> None:
    kid = emulator.account_keys.make_file(SHOP, "http://127.0.0.1:8099")["private_key_id"]
    certificates = client.get(f"{path}{SHOP}").json()
    jwks = client.get(f"/service_accounts/v1/jwk/{SHOP}").json()

    assert list(certificates) == [key["kid"] for key in jwks["keys"]]
    assert kid in certificates
    assert all(pem.startswith("-----BEGIN CERTIFICATE-----") for pem in certificates.values())


@pytest.mark.parametrize("account", ["jane@example.com", "x"])
def test_what_is_no_service_account_has_no_keys(client: httpx.Client, account: str) -> None:
    assert 404 == client.get(f"/service_accounts/v1/jwk/{account}").status_code
