"""Doors for tokens of other issuers: each takes its keys from the emulator, as simply as Google's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from doorward import (
    IAP,
    Admission,
    ConfigurationError,
    Door,
    Issuer,
    PrincipalKind,
    Verifier,
    discover,
    find_iap_assertion,
    firebase,
)
from doorward import InvokerPolicy as Policy
from doorward.door.refusal import Refusal
from doorward.errors import RefusedError
from doorward.issuers.chat import CHAT_ACCOUNT, chat_project_number
from doorward.issuers.self_signed import service_account_issuer
from doorward_integrations.emulator import Emulator, RunningEmulator
from support.clock import ManualClock

IAP_AUDIENCE = "/projects/1234567890/locations/europe-west1/services/orders"
PROJECT = "my-project-1a2b3"
OWN = "https://id.example.com/tenant"
ROBOT = "robot@doorward-demo.iam.gserviceaccount.com"
JANE = "jane@example.com"


@pytest.fixture
def running(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        yield running


def test_a_door_for_iap_admits_the_user_of_an_emulated_assertion(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock
) -> None:
    verifier = Verifier(IAP_AUDIENCE, issuers=[IAP], clock=clock)
    door = Door(verifier, Policy.from_members([f"user:{JANE}"]), credential=find_iap_assertion)

    def outcome(token: str) -> Admission | Refusal:
        return door.admit([(b"x-goog-iap-jwt-assertion", token.encode())])

    admitted = outcome(emulator.iap.token(IAP_AUDIENCE, email=JANE, hosted_domain="example.com"))
    assert isinstance(admitted, Admission)
    assert ("example.com", f"user:{JANE}") == (admitted.principal.hosted_domain, admitted.principal.member)
    assert isinstance(outcome(emulator.iap.token(IAP_AUDIENCE)), Refusal)
    assert isinstance(outcome(emulator.iap.token("/projects/1/apps/other", email=JANE)), Refusal)
    assert 1 == emulator.iap.certs.fetches


def test_a_door_for_firebase_admits_the_users_of_its_project(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock
) -> None:
    project = firebase(PROJECT)
    door = Door(Verifier(issuers=[project], clock=clock), Policy.users_of(project))

    def outcome(token: str) -> Admission | Refusal:
        return door.admit([(b"authorization", b"Bearer " + token.encode())])

    admitted = outcome(emulator.firebase.token(PROJECT, email=JANE, subject="uid-1"))
    assert isinstance(admitted, Admission)
    assert ("uid-1", JANE) == (admitted.principal.subject, admitted.principal.email)
    assert isinstance(outcome(emulator.firebase.token("another-project")), Refusal)
    assert isinstance(outcome(emulator.firebase.token(PROJECT, issued_at=clock.now - 4_000)), Refusal)


def test_a_door_for_an_issuer_of_ones_own_finds_it_by_discovery(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock
) -> None:
    issuer = discover(OWN)
    assert ((OWN,), ("RS256",)) == (issuer.iss_values, issuer.algorithms)
    assert issuer.key_url.startswith(f"{running.url}/")
    verifier = Verifier("orders", issuers=[issuer], clock=clock)

    caller = verifier.verify(emulator.oidc(OWN).token("orders", subject="s-1", email=JANE))
    assert (PrincipalKind.ACCOUNT, "s-1", JANE) == (caller.kind, caller.subject, caller.email)
    with pytest.raises(RefusedError):
        verifier.verify(emulator.oidc("https://other.example.com").token("orders"))
    with pytest.raises(RefusedError):
        verifier.verify(emulator.oidc("https://other.example.com").token("orders", claims={"iss": OWN}))


def test_a_plain_name_stands_for_an_issuer_under_test(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock
) -> None:
    verifier = Verifier("orders", issuers=[discover("https://partner.test")], clock=clock)

    assert "user-1" == verifier.verify(emulator.oidc("partner").token("orders")).subject
    assert emulator.oidc("partner") is emulator.oidc("https://partner.test")


def test_an_issuer_at_the_emulators_own_address_is_found_without_the_variable(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOORWARD_EMULATOR_HOST")
    iss = f"{running.url}/oidc/partner"
    verifier = Verifier("orders", issuers=[discover(iss)], clock=clock)

    assert "user-1" == verifier.verify(emulator.oidc(iss).token("orders")).subject


def test_a_service_account_signs_for_itself(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock
) -> None:
    verifier = Verifier("orders", issuers=[service_account_issuer(ROBOT)], clock=clock)

    member = verifier.verify(emulator.self_signed(ROBOT).token("orders")).member
    assert f"serviceAccount:{ROBOT}" == member
    with pytest.raises(RefusedError):
        verifier.verify(
            emulator.self_signed(f"x{ROBOT}").token("orders", claims={"iss": ROBOT, "sub": ROBOT})
        )


def test_google_chat_signs_with_a_certificate(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock
) -> None:
    verifier = Verifier(issuers=[chat_project_number(1234567890)], clock=clock)
    token = emulator.self_signed(CHAT_ACCOUNT).token("1234567890", claims={"sub": None})

    assert f"serviceAccount:{CHAT_ACCOUNT}" == verifier.verify(token).member


@pytest.mark.parametrize(
    "make", [lambda: IAP, lambda: firebase(PROJECT), lambda: service_account_issuer(ROBOT)], ids=range(3)
)
def test_no_issuer_takes_keys_of_an_emulator_on_cloud_run(
    make: Any, running: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K_SERVICE", "orders")
    issuer: Issuer = make()

    with pytest.raises(ConfigurationError, match="set on Cloud Run"):
        Verifier(None if issuer.audiences else "orders", issuers=[issuer])


@pytest.mark.parametrize(
    ("variable", "value"), [("K_SERVICE", "orders"), ("DOORWARD_EMULATOR_HOST", "a.example:1")]
)
def test_no_issuer_is_discovered_at_an_emulator_that_cannot_be(
    variable: str, value: str, running: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match="DOORWARD_EMULATOR_HOST"):
        discover(OWN)


def test_the_keys_of_iap_are_published_in_both_forms(emulator: Emulator, client: httpx.Client) -> None:
    jwks = client.get("/iap/verify/public_key-jwk").json()
    pem = client.get("/iap/verify/public_key").json()
    token = emulator.iap.token("a", email=JANE)

    assert [one["kid"] for one in jwks["keys"]] == list(pem)
    key = pem[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="a", options=options)
    assert {"aud", "azp", "email", "exp", "iat", "identity_source", "iss", "sub"} == claims.keys()
    assert 600 == claims["exp"] - claims["iat"]


def test_the_keys_of_firebase_are_published_in_both_forms(emulator: Emulator, client: httpx.Client) -> None:
    account = "securetoken@system.gserviceaccount.com"
    jwks = client.get(f"/service_accounts/v1/jwk/{account}").json()
    pem = client.get(f"/robot/v1/metadata/x509/{account}").json()

    assert emulator.firebase.jwks() == jwks
    assert emulator.firebase.certificates() == pem


@pytest.mark.parametrize(
    "path",
    [
        "/doorward/v1/oidc/ftp%3A%2F%2Fid.example.com/jwks",
        "/doorward/v1/oidc/http%3A%2F%2Fid.example.com/.well-known/openid-configuration",
        "/doorward/v1/oidc/x/jwks",
        "/oidc/a%3Fb/jwks",
        "/service_accounts/v1/jwk/jane@example.com",
        "/service_accounts/v1/metadata/x509/x",
    ],
)
def test_what_names_no_issuer_is_not_found(path: str, client: httpx.Client) -> None:
    assert 404 == client.get(path).status_code


def test_requests_make_no_endless_number_of_issuers(emulator: Emulator) -> None:
    for number in range(100):
        emulator.oidc(f"https://i{number}.example.com")

    assert emulator.oidc("https://i1.example.com") is emulator.oidc("https://i1.example.com")
    with pytest.raises(ConfigurationError, match="at most 100 issuers"):
        emulator.oidc("https://one-more.example.com")


@pytest.mark.parametrize(
    "name", ["", "Name", "https://a?b", "https://a#b", "http://example.com", "a" * 300, None], ids=repr
)
def test_what_is_no_name_of_an_issuer_is_refused(name: Any, emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="names no issuer"):
        emulator.oidc(name)


def test_only_a_service_account_signs_for_itself(emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="not the address of a service account"):
        emulator.self_signed(JANE)
