"""The emulated issuer: the shape of its tokens, and its keys."""

from __future__ import annotations

import base64
import json
import logging
import string
from typing import Any

import jwt
import pytest
from cryptography import x509

from doorward import ConfigurationError, Reason, TokenError, Verifier
from doorward.errors import ClaimError, SignatureError
from doorward.issuers.google import GCLOUD_CLIENT_ID
from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    Account,
    EmulatedIssuer,
    SigningKey,
)
from support.clock import ManualClock
from support.forks import forked, forking, held_elsewhere
from support.tokens import AUDIENCE, rsa_key
from support.world import World


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload, unverified."""
    header, payload = (
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]
    )
    return header, payload


class Keys:
    """Makes keys that are shared between tests, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> SigningKey:
        self.made += 1
        return SigningKey(rsa_key(f"emulated-{self.made}"))


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_790_000_000.75)


@pytest.fixture
def issuer(keys: Keys, clock: ManualClock) -> EmulatedIssuer:
    return EmulatedIssuer(clock=clock, make_key=keys)


@pytest.fixture
def verifier(issuer: EmulatedIssuer, clock: ManualClock, world: World) -> Verifier:
    """Return a verifier with the keys that the issuer publishes when they are first asked for."""
    world.clock.now = clock.now
    world.endpoint.body = json.dumps(issuer.jwks()).encode()
    return world.verifier()


def test_the_header_has_the_form_of_googles(issuer: EmulatedIssuer) -> None:
    header, _ = parts(issuer.mint(AUDIENCE))

    assert [("alg", "RS256"), ("kid", issuer.current.kid), ("typ", "JWT")] == list(header.items())
    assert len(header["kid"]) == 40
    assert set(header["kid"]) <= set(string.hexdigits.lower())


def test_a_service_accounts_claims_are_googles(issuer: EmulatedIssuer) -> None:
    subject = Account(DEFAULT_ACCOUNT).subject
    _, claims = parts(issuer.mint(AUDIENCE))

    assert [
        ("aud", AUDIENCE),
        ("azp", subject),
        ("email", DEFAULT_ACCOUNT),
        ("email_verified", True),
        ("exp", 1_790_003_600),
        ("iat", 1_790_000_000),
        ("iss", "https://accounts.google.com"),
        ("sub", subject),
    ] == list(claims.items())


def test_a_users_token_is_the_one_that_gcloud_prints(issuer: EmulatedIssuer) -> None:
    token = issuer.mint(GCLOUD_CLIENT_ID, email="somebody@example.com", claims={"hd": "example.com"})
    _, claims = parts(token)

    assert GCLOUD_CLIENT_ID == claims["aud"] == claims["azp"]
    assert "example.com" == claims["hd"]
    assert "somebody@example.com" == claims["email"]


def test_subject_time_and_lifetime_are_chosen(issuer: EmulatedIssuer) -> None:
    _, claims = parts(issuer.mint(AUDIENCE, subject="123", issued_at=1_000.9, lifetime=60))

    assert (1_000, 1_060) == (claims["iat"], claims["exp"])
    assert ("123", "123") == (claims["sub"], claims["azp"])


def test_claims_and_header_are_changed_added_and_taken_out(issuer: EmulatedIssuer) -> None:
    token = issuer.mint(AUDIENCE, claims={"aud": ["a"], "email": None}, header={"typ": None, "crit": ["x"]})
    header, claims = parts(token)

    assert ["a"] == claims["aud"]
    assert "email" not in claims
    assert {"alg": "RS256", "kid": issuer.current.kid, "crit": ["x"]} == header


def test_the_name_of_the_issuer_is_chosen(clock: ManualClock, keys: Keys) -> None:
    issuer = EmulatedIssuer(iss="accounts.google.com", clock=clock, make_key=keys)
    _, claims = parts(issuer.mint(AUDIENCE))

    assert "accounts.google.com" == issuer.iss == claims["iss"]


def test_an_issuer_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a name"):
        EmulatedIssuer(iss="")


def test_doorward_verifies_what_is_minted(issuer: EmulatedIssuer, verifier: Verifier) -> None:
    machine = verifier.verify(issuer.mint(AUDIENCE))
    person = verifier.verify(issuer.mint(AUDIENCE, email="somebody@example.com"))

    assert f"serviceAccount:{DEFAULT_ACCOUNT}" == machine.member
    assert "user:somebody@example.com" == person.member


def test_a_forger_who_names_a_published_key_is_found_out(issuer: EmulatedIssuer, verifier: Verifier) -> None:
    forger = SigningKey(rsa_key("forger"))
    token = issuer.mint(AUDIENCE, header={"kid": issuer.current.kid}, key=forger)

    with pytest.raises(SignatureError) as refused:
        verifier.verify(token)
    assert Reason.BAD_SIGNATURE is refused.value.reason


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        ({"claims": {"aud": "https://elsewhere.run.app"}}, Reason.WRONG_AUDIENCE),
        ({"claims": {"iss": "https://accounts.google.com.example.com"}}, Reason.WRONG_ISSUER),
        ({"claims": {"exp": None}}, Reason.CLAIM_MISSING),
        ({"issued_at": 1_789_990_000}, Reason.EXPIRED),
        ({"issued_at": 1_790_010_000}, Reason.NOT_YET_VALID),
        ({"lifetime": 90_000}, Reason.LIFETIME_TOO_LONG),
    ],
)
def test_bad_tokens_are_made_to_order(
    issuer: EmulatedIssuer, verifier: Verifier, hostile: dict[str, Any], reason: Reason
) -> None:
    token = issuer.mint(AUDIENCE, **hostile)

    with pytest.raises(ClaimError) as refused:
        verifier.verify(token)
    assert reason is refused.value.reason


def test_an_algorithm_that_is_not_the_keys_is_refused(issuer: EmulatedIssuer, verifier: Verifier) -> None:
    with pytest.raises(TokenError) as refused:
        verifier.verify(issuer.mint(AUDIENCE, header={"alg": "none"}))
    assert Reason.ALGORITHM_NOT_ALLOWED is refused.value.reason


def test_two_keys_are_published_as_google_prints_them(issuer: EmulatedIssuer) -> None:
    published = issuer.jwks()["keys"]

    assert [key.kid for key in issuer.keys] == [jwk["kid"] for jwk in published]
    assert len({jwk["kid"] for jwk in published}) == 2
    for jwk in published:
        assert ["kid", "e", "alg", "n", "kty", "use"] == list(jwk)
        assert ("AQAB", "RS256", "RSA", "sig") == (jwk["e"], jwk["alg"], jwk["kty"], jwk["use"])


def test_certificates_hold_the_same_keys_as_the_jwks(issuer: EmulatedIssuer) -> None:
    token = issuer.mint(AUDIENCE)
    certificates = issuer.certificates()
    keys = {jwk["kid"]: jwt.PyJWK(jwk).key for jwk in issuer.jwks()["keys"]}

    assert list(keys) == list(certificates)
    for kid, pem in certificates.items():
        certificate = x509.load_pem_x509_certificate(pem.encode())
        assert keys[kid] == certificate.public_key()
        certificate.verify_directly_issued_by(certificate)
        if kid == issuer.current.kid:
            claims = jwt.decode(
                token,
                keys[kid],
                algorithms=["RS256"],
                audience=AUDIENCE,
                options={"verify_iat": False, "verify_exp": False},
            )
            assert DEFAULT_ACCOUNT == claims["email"]


def test_a_key_is_published_in_the_same_bytes_each_time(issuer: EmulatedIssuer) -> None:
    assert issuer.certificates() == issuer.certificates()
    assert issuer.jwks() == issuer.jwks()


def test_keys_are_made_when_they_are_needed(issuer: EmulatedIssuer, keys: Keys) -> None:
    assert 0 == keys.made
    issuer.mint(AUDIENCE)
    issuer.mint(AUDIENCE)
    assert 1 == keys.made
    issuer.jwks()
    issuer.certificates()
    assert 2 == keys.made


def test_a_rotation_signs_with_a_key_that_was_not_published_and_still_publishes_the_last(
    issuer: EmulatedIssuer,
) -> None:
    before = issuer.keys
    new = issuer.rotate()

    assert (new, before[0]) == issuer.keys
    assert new.kid not in {key.kid for key in before}
    assert new.kid == parts(issuer.mint(AUDIENCE))[0]["kid"]


def test_a_rotation_before_the_first_token_publishes_two_keys(issuer: EmulatedIssuer) -> None:
    new = issuer.rotate()

    assert new is issuer.keys[0]
    assert new.kid != issuer.keys[1].kid


def test_a_withdrawn_key_is_not_published_any_more(issuer: EmulatedIssuer) -> None:
    before = {key.kid for key in issuer.keys}
    issuer.rotate(withdraw=True)
    after = {jwk["kid"] for jwk in issuer.jwks()["keys"]}

    assert len(after) == 2
    assert not before & after


def test_a_key_of_ones_own_making_is_rsa_2048_with_an_id_of_its_own() -> None:
    key = SigningKey()
    modulus = base64.urlsafe_b64decode(key.jwk()["n"] + "==")

    assert 256 == len(modulus)
    assert key.kid != SigningKey(rsa_key("emulated-1")).kid


def test_a_repr_shows_ids_of_keys_only(issuer: EmulatedIssuer) -> None:
    assert "EmulatedIssuer(iss='https://accounts.google.com', kids=[])" == repr(issuer)
    kids = [key.kid for key in issuer.keys]

    assert f"EmulatedIssuer(iss='https://accounts.google.com', kids={kids!r})" == repr(issuer)
    assert f"SigningKey(kid={kids[0]!r})" == repr(issuer.current)


def test_no_token_is_logged(issuer: EmulatedIssuer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "doorward.emulator"):
        token = issuer.mint(AUDIENCE)
        issuer.rotate()

    assert f"minted an ID token for {DEFAULT_ACCOUNT}, audience {AUDIENCE}" == caplog.messages[0]
    assert all(part not in caplog.text for part in token.split("."))


@pytest.mark.parametrize(
    "evil",
    ["\n", "\r", "\r\n", "\x00", "\x1b[2J", "\x85", "\u2028", "\u2029", "\u202e", "\ud800", "\t", "\x7f"],
    ids=ascii,
)
def test_an_audience_forges_no_line_of_the_log(
    evil: str, issuer: EmulatedIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "doorward"):
        issuer.mint(f"{AUDIENCE}{evil}CRITICAL doorward: forged")

    (record,) = [record for record in caplog.records if "minted" in record.message]
    assert record.message.isprintable()
    assert record.message.isascii()
    assert ascii(evil)[1:-1] in record.message


def test_a_long_audience_is_clipped_in_the_log(
    issuer: EmulatedIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "doorward"):
        issuer.mint("\n" * 1_000_000)

    (record,) = [record for record in caplog.records if "minted" in record.message]
    assert len(record.message) < 1_000


@forking
def test_a_child_mints_while_another_thread_of_its_parent_makes_a_key(issuer: EmulatedIssuer) -> None:
    kid = issuer.current.kid

    with held_elsewhere(issuer.ring._lock):
        assert kid == forked(lambda: issuer.current.kid)
