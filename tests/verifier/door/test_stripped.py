"""Reading tokens whose signature Cloud Run has checked and removed."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from doorward import (
    Admission,
    ConfigurationError,
    CredentialError,
    Door,
    InvokerPolicy,
    Principal,
    PrincipalKind,
    Refusal,
    RefusedError,
    Verifier,
    find_iap_assertion,
    firebase,
)
from doorward.door.stripped import StrippedPrincipal, UnsafeStrippedVerifier
from doorward.door.subprotocol import find_in_subprotocol
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
    """Cloud Run lets the other one through unread."""
    headers = [
        (b"authorization", f"Bearer {world.token(email='root@example.com')}".encode()),
        (b"x-serverless-authorization", f"bearer {stripped(world.token())}".encode()),
    ]

    assert MEMBER == made(world).verify_headers(headers).member
    assert MEMBER == made(world).verify_headers(headers[::-1]).member


def test_of_two_marked_tokens_the_sender_wrote_one_and_both_are_refused(world: World) -> None:
    """A name with underscores is not read by Cloud Run, and is the real one to some servers."""
    forged = f"Bearer {stripped(world.token(email='root@example.com'))}".encode()
    checked = f"bearer {stripped(world.token())} ".encode()
    names = (b"authorization", b"x-serverless-authorization")
    for values in ((forged, checked), (checked, forged)):
        headers = list(zip(names, values, strict=True))

        with pytest.raises(CredentialError) as caught:
            made(world).verify_headers(headers)
        assert Reason.MULTIPLE_CREDENTIALS == caught.value.reason
        refused = behind(world, policy=InvokerPolicy.all_authenticated_users()).admit(headers)
        assert isinstance(refused, Refusal)
        assert (401, Reason.MULTIPLE_CREDENTIALS) == (refused.status, refused.reason)


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


# In a door: one application that is right in front of Cloud Run's check and behind it.


def behind(world: World, **settings: Any) -> Door:
    given: dict[str, Any] = {"unsafe_invoker_check_is_on": True}
    policy = settings.pop("policy", InvokerPolicy.from_members([MEMBER]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Door(world.verifier(), policy, **given | settings)


def sent(token: str, name: bytes = b"authorization") -> list[tuple[bytes, bytes]]:
    return [(name, b"Bearer " + token.encode())]


def status_of(answer: Admission | Refusal) -> int:
    return answer.status if isinstance(answer, Refusal) else 200


@pytest.mark.parametrize("name", [b"authorization", b"x-serverless-authorization"])
def test_on_cloud_run_a_door_reads_what_the_check_in_front_has_checked(world: World, name: bytes) -> None:
    headers = sent(stripped(world.token()), name)

    answer = behind(world).admit(headers)

    assert isinstance(answer, Admission)
    assert StrippedPrincipal is type(answer.principal)
    assert (MEMBER, headers, 0) == (answer.principal.member, answer.headers, world.endpoint.fetches)


@pytest.mark.parametrize("variable", [None, "", "orders"])
def test_the_mark_is_read_on_cloud_run_only_and_a_signature_is_verified_everywhere(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("K_SERVICE")
    if variable is not None:
        monkeypatch.setenv("K_SERVICE", variable)
    door = behind(world)

    statuses = [status_of(door.admit(sent(one))) for one in (stripped(world.token()), world.token())]

    assert [401 if variable is None else 200, 200] == statuses


def test_without_the_setting_a_door_on_cloud_run_reads_no_mark(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))

    assert [401, 200] == [
        status_of(door.admit(sent(one))) for one in (stripped(world.token()), world.token())
    ]


def test_the_policy_of_the_door_decides_behind_the_check_too(world: World) -> None:
    door = behind(world, policy=InvokerPolicy.from_members(["user:ann@example.com"]))

    assert 403 == status_of(door.admit(sent(stripped(world.token()))))


def test_a_mark_in_the_header_that_was_not_checked_is_not_read(world: World) -> None:
    mine = sent(world.token(aud="https://other"), b"x-serverless-authorization")

    assert 401 == status_of(behind(world).admit([*mine, *sent(stripped(world.token()))]))


@pytest.mark.parametrize(
    "changed",
    [{"aud": "https://other"}, {"exp": 1_780_000_000, "iat": 1_779_999_000}, {"iss": "https://evil"}],
    ids=["audience", "time", "issuer"],
)
def test_the_claims_of_a_token_with_the_mark_are_checked(world: World, changed: dict[str, Any]) -> None:
    assert 401 == status_of(behind(world).admit(sent(stripped(world.token(**changed)))))


def test_a_token_with_the_mark_is_in_no_cache(world: World) -> None:
    door, headers = behind(world), sent(stripped(world.token()))
    assert 200 == status_of(door.admit(headers))

    assert door.admit_cached(headers, "GET", "/") is None
    world.clock.move(3631)
    assert 401 == status_of(door.admit(headers))


def test_a_public_policy_admits_no_bad_token_with_the_mark_as_verified(world: World) -> None:
    door = behind(world, policy=InvokerPolicy.all_users())

    answer = door.admit(sent(stripped(world.token(aud="https://other"))))

    assert isinstance(answer, Admission)
    assert (True, []) == (answer.principal.anonymous, answer.headers)


def test_the_end_user_is_verified_behind_the_check_as_well(world: World) -> None:
    door = behind(world, end_user=world.verifier("https://web"), end_user_callers=[MEMBER])
    caller = sent(stripped(world.token()), b"x-serverless-authorization")

    good = door.admit([*caller, *sent(world.token(aud="https://web"))])
    marked = door.admit([*caller, *sent(stripped(world.token(aud="https://web")))])

    assert isinstance(good, Admission)
    assert good.end_user is not None
    assert Principal is type(good.end_user)
    assert 401 == status_of(marked)


@pytest.mark.parametrize("said", [None, 1, "true", "yes"], ids=repr)
def test_a_door_must_be_given_the_confirmation_itself(world: World, said: Any) -> None:
    with pytest.raises(ConfigurationError, match="unsafe_invoker_check_is_on=True"):
        behind(world, unsafe_invoker_check_is_on=said)


@pytest.mark.parametrize(
    "find", [find_iap_assertion, find_in_subprotocol, lambda _: None], ids=["iap", "subprotocol", "own"]
)
def test_a_door_that_looks_where_cloud_run_does_not_is_refused(world: World, find: Any) -> None:
    with pytest.raises(ConfigurationError, match="checks X-Serverless-Authorization and Authorization only"):
        behind(world, credential=find)


def test_a_door_for_tokens_that_cloud_run_does_not_check_is_refused(world: World) -> None:
    verifier = world.verifier(issuers=[firebase("my-project")], audience=None)
    with pytest.raises(ConfigurationError, match="Google's tokens only"):
        Door(verifier, InvokerPolicy.all_authenticated_users(), unsafe_invoker_check_is_on=True)


def test_a_door_warns_on_cloud_run_and_nowhere_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = InvokerPolicy.from_members([MEMBER])
    with pytest.warns(UserWarning, match="signatures of ID tokens are not checked here") as caught:
        Door(world.verifier(), policy, unsafe_invoker_check_is_on=True)
    assert [__file__] == [warning.filename for warning in caught]

    monkeypatch.delenv("K_SERVICE")
    with warnings.catch_warnings(record=True) as elsewhere:
        warnings.simplefilter("always")
        Door(world.verifier(), policy, unsafe_invoker_check_is_on=True)
    assert [] == elsewhere
