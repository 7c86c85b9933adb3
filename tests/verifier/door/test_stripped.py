"""Reading tokens whose signature Cloud Run has checked and removed."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from doorward import (
    ConfigurationError,
    CredentialError,
    Door,
    InvokerPolicy,
    Principal,
    PrincipalKind,
    RefusedError,
    Verifier,
)
from doorward.door.stripped import StrippedPrincipal, UnsafeStrippedVerifier
from doorward.errors import Reason
from doorward.issuers.google import GCLOUD_CLIENT_ID
from support.tokens import AUDIENCE, CALLER, MEMBER, b64, claims, header, signed
from support.world import World

MARK = "SIGNATURE_REMOVED_BY_GOOGLE"


@pytest.fixture(autouse=True)
def _on_cloud_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "orders")


def stripped(token: str) -> str:
    return f"{token.rpartition('.')[0]}.{MARK}"


def made(world: World, **settings: Any) -> UnsafeStrippedVerifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        given: dict[str, Any] = {"audience": AUDIENCE, "invoker_check_is_on": True, "clock": world.clock}
        return UnsafeStrippedVerifier(**given | settings)


def refused(verifier: UnsafeStrippedVerifier, token: str | bytes) -> tuple[Reason, str | None]:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(token)
    return caught.value.reason, caught.value.claim


# What it takes to have one.


def test_it_warns_and_logs_when_it_is_made(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(UserWarning, match="signatures of ID tokens are not checked here") as caught:
        UnsafeStrippedVerifier(AUDIENCE, invoker_check_is_on=True)

    assert [__file__] == [warning.filename for warning in caught]
    assert ["WARNING"] == [
        record.levelname for record in caplog.records if record.name == "doorward.stripped"
    ]


@pytest.mark.parametrize("said", [False, None, 1, "true", "yes"], ids=repr)
def test_it_must_be_said_that_the_check_is_on(world: World, said: object) -> None:
    with pytest.raises(ConfigurationError, match="invoker_check_is_on=True"):
        made(world, invoker_check_is_on=said)


def test_it_cannot_be_left_unsaid() -> None:
    with pytest.raises(TypeError, match="invoker_check_is_on"):
        UnsafeStrippedVerifier(AUDIENCE)  # type: ignore[call-arg]


def test_it_exists_on_cloud_run_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("K_SERVICE")

    with pytest.raises(ConfigurationError, match="K_SERVICE is not set"):
        made(world)


def test_it_does_not_go_with_an_emulator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", "127.0.0.1:8099")

    with pytest.raises(ConfigurationError, match="Remove the variable"):
        made(world)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"audience": ""}, "audience is needed"),
        ({"audience": None}, "audience is needed"),
        ({"audience": []}, "audience is needed"),
        ({"leeway": -1}, "leeway"),
        ({"leeway": 301}, "leeway"),
        ({"max_token_bytes": 0}, "max_token_bytes"),
    ],
    ids=str,
)
def test_its_settings_are_those_of_a_verifier(world: World, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        made(world, **settings)


def test_it_is_no_verifier_and_no_door_takes_it(world: World) -> None:
    unsafe: Any = made(world)

    assert not isinstance(unsafe, Verifier)
    with pytest.raises(ConfigurationError, match="a door needs a Verifier"):
        Door(unsafe, InvokerPolicy.all_authenticated_users())


def test_a_verifier_never_reads_such_a_token_by_itself(world: World) -> None:
    with pytest.raises(RefusedError) as caught:
        world.verifier().verify(stripped(world.token()))
    assert Reason.SIGNATURE_REMOVED == caught.value.reason


# Whom it reads.


def test_a_token_that_cloud_run_has_checked_names_the_caller(world: World) -> None:
    caller = made(world).verify(stripped(world.token()))

    assert (PrincipalKind.SERVICE_ACCOUNT, MEMBER, CALLER) == (caller.kind, caller.member, caller.email)


def test_such_a_caller_is_never_equal_to_a_verified_one(world: World) -> None:
    verifier = made(world)
    caller = verifier.verify(stripped(world.token()))
    checked = world.verifier().verify(world.token())

    assert isinstance(caller, StrippedPrincipal)
    assert isinstance(caller, Principal)
    assert not isinstance(checked, StrippedPrincipal)
    assert caller != checked
    assert checked != caller
    assert caller == verifier.verify(stripped(world.token(exp=int(world.clock.now) + 60)))
    assert f"StrippedPrincipal({MEMBER})" == repr(caller)


@pytest.mark.parametrize(
    "third",
    [
        MARK[:-1],
        f"{MARK}A",
        MARK.lower(),
        "signature",
        b64(b"\x00" * 256),
        b64(MARK.encode()),
        f"{MARK}=",
    ],
    ids=lambda third: third[:40],
)
def test_any_other_third_segment_is_refused(world: World, third: str) -> None:
    token = f"{world.token().rpartition('.')[0]}.{third}"

    assert (Reason.BAD_SIGNATURE, None) == refused(made(world), token)


def test_a_token_with_its_signature_is_refused_even_a_good_one(world: World) -> None:
    """With a signature, it is not in the header that Cloud Run has checked."""
    assert (Reason.BAD_SIGNATURE, None) == refused(made(world), world.token())


@pytest.mark.parametrize(
    ("changed", "reason", "claim"),
    [
        ({"aud": "https://other.example"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"aud": GCLOUD_CLIENT_ID, "email": "jane@example.com"}, Reason.WRONG_AUDIENCE, "aud"),
        ({"iss": "https://evil.example"}, Reason.WRONG_ISSUER, "iss"),
        ({"iss": "https://cloud.google.com/iap"}, Reason.WRONG_ISSUER, "iss"),
        ({"exp": 1_790_000_000 + 86_400}, Reason.LIFETIME_TOO_LONG, "exp"),
        ({"iat": 1_789_990_000, "exp": 1_789_993_600}, Reason.EXPIRED, "exp"),
        ({"iat": 1_790_000_031}, Reason.NOT_YET_VALID, "iat"),
        ({"sub": None}, Reason.CLAIM_MISSING, "sub"),
        ({"email": "a@b@c"}, Reason.CLAIM_INVALID, "email"),
    ],
    ids=str,
)
def test_its_claims_are_checked_all_the_same(
    world: World, changed: dict[str, Any], reason: Reason, claim: str
) -> None:
    assert (reason, claim) == refused(made(world), stripped(world.token(**changed)))


def test_an_unverified_address_is_no_member_here_either(world: World) -> None:
    assert made(world).verify(stripped(world.token(email_verified=False))).member is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"alg": "none"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": "ES256"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": "HS256"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"kid": None}, Reason.KID_MISSING),
        ({"crit": ["exp"]}, Reason.HEADER_NOT_ALLOWED),
        ({"jwk": {}}, Reason.HEADER_NOT_ALLOWED),
    ],
    ids=str,
)
def test_its_header_is_read_as_strictly(world: World, changed: dict[str, Any], reason: Reason) -> None:
    token = signed(world.key, header(world.key, **changed), claims(world.clock.now))

    assert (reason, None) == refused(made(world), stripped(token))


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", Reason.MALFORMED),
        (MARK, Reason.MALFORMED),
        (f"..{MARK}", Reason.MALFORMED),
        (f"e30.e30.{MARK}.{MARK}", Reason.MALFORMED),
        (f"e30.W10.{MARK}", Reason.ALGORITHM_NOT_ALLOWED),
        (f"e30.\xe9.{MARK}", Reason.MALFORMED),
        ("x" * 16_385, Reason.TOKEN_TOO_LARGE),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_token_is_refused(world: World, token: str, reason: Reason) -> None:
    assert (reason, None) == refused(made(world), token)


def test_the_tokens_of_gclouds_users_are_accepted_where_that_is_asked_for(world: World) -> None:
    token = stripped(world.token(aud=GCLOUD_CLIENT_ID, email="jane@example.com"))

    assert "user:jane@example.com" == made(world, accept_gcloud_tokens=True).verify(token).member


# Out of the header that was checked.


def test_the_serverless_header_decides_where_it_is_there(world: World) -> None:
    """Cloud Run lets the other one through unread: its mark may have been put there by anybody."""
    forged = stripped(world.token(email="root@example.com"))
    checked = stripped(world.token())
    headers = [
        (b"authorization", f"Bearer {forged}".encode()),
        (b"x-serverless-authorization", f"bearer {checked}".encode()),
    ]

    assert MEMBER == made(world).verify_headers(headers).member
    assert MEMBER == made(world).verify_headers(headers[::-1]).member


def test_without_a_credential_nobody_is_calling(world: World) -> None:
    with pytest.raises(CredentialError) as caught:
        made(world).verify_headers([(b"host", b"orders")])
    assert Reason.NO_CREDENTIAL == caught.value.reason


def test_its_repr_shows_what_is_accepted(world: World) -> None:
    assert f"UnsafeStrippedVerifier(audience={AUDIENCE})" == repr(made(world))


def test_no_error_repeats_the_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    token = world.token(aud="other")
    with caplog.at_level(logging.DEBUG), pytest.raises(RefusedError) as caught:
        made(world).verify(stripped(token))
    for segment in token.split("."):
        assert segment[:17] not in f"{caught.value!r} {caplog.text}"
