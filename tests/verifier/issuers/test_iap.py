"""Identity-Aware Proxy's assertions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from doorward import ConfigurationError, InvokerPolicy, PrincipalKind, RefusedError, Verifier
from doorward.audiences.iap import (
    iap_app_engine_audience,
    iap_backend_service_audience,
    iap_cloud_run_audience,
)
from doorward.errors import Reason
from doorward.issuers.iap import IAP
from doorward.policy.request import ANYWHERE
from support.endpoint import KeyEndpoint
from support.tokens import SigningKey
from support.world import World

SERVICE = "/projects/1234567890/locations/europe-west1/services/orders"
EXTERNAL = "securetoken.google.com/my-project/tenant-1:uid-1"


@dataclass
class Proxy:
    """The proxy in front of a service."""

    world: World

    def token(self, **changed: Any) -> str:
        now = int(self.world.clock.now)
        own = {
            "iss": "https://cloud.google.com/iap",
            "aud": SERVICE,
            "azp": SERVICE,
            "sub": "accounts.google.com:112233",
            "email": "jane@example.com",
            "email_verified": None,
            "hd": "example.com",
            "identity_source": "GOOGLE",
            "exp": now + 600,
        }
        return self.world.token(**own | changed)

    def verifier(self, **settings: Any) -> Verifier:
        return self.world.verifier(SERVICE, issuers=[IAP], **settings)


@pytest.fixture
def proxy(world: World) -> Proxy:
    world.key = SigningKey("f9R3yg", "ES256")
    world.endpoint = KeyEndpoint(world.key)
    return Proxy(world)


def refused(verifier: Verifier, token: str) -> tuple[Reason, str | None]:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(token)
    return caught.value.reason, caught.value.claim


def test_the_proxy_is_known_by_these() -> None:
    assert ("https://cloud.google.com/iap",) == IAP.iss_values
    assert "https://www.gstatic.com/iap/verify/public_key-jwk" == IAP.key_url
    assert ("ES256",) == IAP.algorithms


def test_a_google_user_whom_the_proxy_let_in_is_a_member(proxy: Proxy) -> None:
    """Its tokens have no email_verified: it has authenticated the user itself."""
    caller = proxy.verifier().verify(proxy.token())

    assert (PrincipalKind.USER, "user:jane@example.com", "jane@example.com", "example.com") == (
        caller.kind,
        caller.member,
        caller.email,
        caller.hosted_domain,
    )
    assert caller.google_account
    assert "accounts.google.com:112233" == caller.subject
    for member in ("user:jane@example.com", "domain:example.com", "allAuthenticatedUsers"):
        policy = InvokerPolicy.from_members([member])
        assert policy.decide(caller, ANYWHERE, proxy.world.clock.now).granted


def test_a_service_account_may_come_through_the_proxy(proxy: Proxy) -> None:
    email = "caller@my-project.iam.gserviceaccount.com"

    caller = proxy.verifier().verify(proxy.token(email=email, hd=None))

    assert (PrincipalKind.SERVICE_ACCOUNT, f"serviceAccount:{email}") == (caller.kind, caller.member)


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": EXTERNAL, "email": "securetoken.google.com/my-project/tenant-1:jane@example.com"},
        {"sub": EXTERNAL, "gcip": '{"email": "jane@example.com", "email_verified": true}'},
        {"gcip": "{}"},
        {"gcip": {"email": "jane@example.com"}, "email_verified": True},
        {"sub": "sts.google.com:AAFTZ", "email_verified": True},
        {"sub": "accounts.google.com.evil.example:1"},
        {"sub": "112233"},
    ],
    ids=str,
)
def test_an_external_identity_is_no_google_account_whatever_it_says(
    proxy: Proxy, changed: dict[str, Any]
) -> None:
    caller = proxy.verifier().verify(proxy.token(**changed))

    assert PrincipalKind.EXTERNAL == caller.kind
    assert (None, None, None, False) == (
        caller.member,
        caller.email,
        caller.hosted_domain,
        caller.google_account,
    )
    policy = InvokerPolicy.from_members(
        ["user:jane@example.com", "domain:example.com", "allAuthenticatedUsers"]
    )
    assert not policy.decide(caller, ANYWHERE, proxy.world.clock.now).granted


@pytest.mark.parametrize(
    "changed",
    [
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": "accounts.google.com:jane@example.com"},
    ],
    ids=str,
)
def test_a_google_user_without_a_plain_address_is_no_member(proxy: Proxy, changed: dict[str, Any]) -> None:
    caller = proxy.verifier().verify(proxy.token(**changed))

    assert (PrincipalKind.ACCOUNT, None, None) == (caller.kind, caller.member, caller.email)


@pytest.mark.parametrize(
    ("changed", "reason", "claim"),
    [
        ({"iss": "https://accounts.google.com"}, Reason.WRONG_ISSUER, "iss"),
        ({"iss": "https://cloud.google.com/iap/"}, Reason.WRONG_ISSUER, "iss"),
        ({"aud": f"{SERVICE}2"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"aud": "https://orders-1234567890.europe-west1.run.app"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"sub": None}, Reason.CLAIM_MISSING, "sub"),
        ({"exp": 1_790_000_000 - 10}, Reason.CLAIM_INVALID, "exp"),
        ({"iat": 1_790_000_031}, Reason.NOT_YET_VALID, "iat"),
        ({"exp": 1_790_000_661}, Reason.LIFETIME_TOO_LONG, "exp"),
        ({"exp": 1_790_003_600}, Reason.LIFETIME_TOO_LONG, "exp"),
    ],
    ids=str,
)
def test_what_the_proxy_would_not_say_is_refused(
    proxy: Proxy, changed: dict[str, Any], reason: Reason, claim: str
) -> None:
    assert (reason, claim) == refused(proxy.verifier(), proxy.token(**changed))


@pytest.mark.parametrize("changed", [{"exp": 1_790_000_660}, {"iat": 1_790_000_030}], ids=str)
def test_ten_minutes_and_twice_the_skew_are_accepted(proxy: Proxy, changed: dict[str, Any]) -> None:
    assert "jane@example.com" == proxy.verifier().verify(proxy.token(**changed)).email


def test_it_signs_with_es256_alone(proxy: Proxy) -> None:
    proxy.world.key = SigningKey("f9R3yg", "RS256")

    assert Reason.ALGORITHM_NOT_ALLOWED == refused(proxy.verifier(), proxy.token())[0]


# The audiences.


def test_its_audiences_have_three_forms() -> None:
    assert "/projects/12/apps/my-project" == iap_app_engine_audience(12, "my-project")
    assert "/projects/12/global/backendServices/345" == iap_backend_service_audience("12", 345)
    assert "/projects/12/global/backendServices/345" == iap_backend_service_audience(12, "345")
    assert SERVICE == iap_cloud_run_audience(1234567890, "europe-west1", "orders")


@pytest.mark.parametrize(
    ("form", "parts"),
    [
        (iap_app_engine_audience, ("my-project", "my-project")),
        (iap_app_engine_audience, (12, "my/project")),
        (iap_app_engine_audience, (12, "")),
        (iap_app_engine_audience, (True, "my-project")),
        (iap_backend_service_audience, (12, "orders")),
        (iap_backend_service_audience, ("", 345)),
        (iap_backend_service_audience, (12, -1)),
        (iap_cloud_run_audience, (12, "", "orders")),
        (iap_cloud_run_audience, (12, "europe-west1", "orders/x")),
        (iap_cloud_run_audience, (12, "europe-west1", None)),
    ],
)
def test_what_makes_no_audience_is_refused(form: Any, parts: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be"):
        form(*parts)
