"""The tree of errors, and what each of them carries."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from doorward import Door, InvokerPolicy, Refusal, errors, explain_token
from doorward.errors import (
    ClaimError,
    ConfigurationError,
    CredentialError,
    DoorwardError,
    FetchError,
    KeysUnavailableError,
    MalformedTokenError,
    PermissionDeniedError,
    PolicyError,
    PolicyUnavailableError,
    Reason,
    RefusedError,
    SignatureError,
    TokenError,
    UnavailableError,
    UnknownServiceError,
)
from doorward.tokens import claims
from doorward.tokens.claims import NamedRule
from support.world import World

PARENTS: dict[type[Exception], tuple[type[Exception], ...]] = {
    DoorwardError: (Exception,),
    ConfigurationError: (DoorwardError, ValueError),
    PolicyError: (ConfigurationError,),
    RefusedError: (DoorwardError,),
    CredentialError: (RefusedError,),
    TokenError: (RefusedError,),
    MalformedTokenError: (TokenError,),
    SignatureError: (TokenError,),
    ClaimError: (TokenError,),
    PermissionDeniedError: (RefusedError,),
    UnavailableError: (RefusedError,),
    KeysUnavailableError: (UnavailableError,),
    PolicyUnavailableError: (UnavailableError,),
    UnknownServiceError: (RefusedError,),
    FetchError: (DoorwardError,),
}

MADE: list[DoorwardError] = [
    DoorwardError("something"),
    ConfigurationError("something"),
    PolicyError("something"),
    RefusedError(Reason.MALFORMED, "something"),
    CredentialError(Reason.NO_CREDENTIAL, "something"),
    TokenError(Reason.MALFORMED, "something"),
    MalformedTokenError(Reason.MALFORMED, "something"),
    SignatureError(Reason.UNKNOWN_KEY, "something"),
    ClaimError(Reason.WRONG_AUDIENCE, "something", "aud"),
    PermissionDeniedError("something"),
    PermissionDeniedError("something", Reason.ROUTE_NARROWED),
    KeysUnavailableError("something", 2.5),
    PolicyUnavailableError("something", 2.5),
    UnknownServiceError("something"),
    FetchError("status", "something", 30.0),
]


def name_of(value: object) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__


# The tree.


@pytest.mark.parametrize("kind", PARENTS, ids=name_of)
def test_each_error_hangs_where_the_tree_shows_it(kind: type[Exception]) -> None:
    assert PARENTS[kind] == kind.__bases__


def test_the_tree_holds_every_error_there_is() -> None:
    defined = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    }

    assert defined == PARENTS.keys()
    assert {name_of(kind) for kind in PARENTS} | {"Reason"} == set(errors.__all__)


@pytest.mark.parametrize("kind", PARENTS, ids=name_of)
def test_each_error_is_drawn_in_the_tree_and_exported(kind: type[Exception]) -> None:
    assert f" {kind.__name__} " in (errors.__doc__ or "").replace("\n", " ")
    assert kind is getattr(errors, kind.__name__)


def test_bad_token_may_not_and_cannot_know_never_mix() -> None:
    branches = (
        TokenError,
        PermissionDeniedError,
        UnknownServiceError,
        UnavailableError,
        CredentialError,
        FetchError,
    )

    assert [1] * len(MADE[4:]) == [
        sum(isinstance(error, branch) for branch in branches) for error in MADE[4:]
    ]


# What they carry.


@pytest.mark.parametrize("error", MADE, ids=name_of)
@pytest.mark.parametrize(
    "through",
    [
        *(
            pytest.param(lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        copy.copy,
        copy.deepcopy,
    ],
    ids=[*(f"pickle-{protocol}" for protocol in range(pickle.HIGHEST_PROTOCOL + 1)), "copy", "deepcopy"],
)
def test_an_error_that_travels_keeps_its_type_and_its_data(
    error: DoorwardError, through: Callable[[DoorwardError], DoorwardError]
) -> None:
    arrived = through(error)

    assert type(error) is type(arrived)
    assert (vars(error), error.args, str(error)) == (vars(arrived), arrived.args, str(arrived))


def test_a_refusal_is_its_reason_its_sentence_and_the_claim() -> None:
    error = ClaimError(Reason.EXPIRED, "the token expired 40 s ago", "exp")

    assert (Reason.EXPIRED, "the token expired 40 s ago", "exp") == (error.reason, error.message, error.claim)
    assert "expired: the token expired 40 s ago" == str(error)


def test_a_refusal_need_not_name_a_claim() -> None:
    assert RefusedError(Reason.MALFORMED, "it is not").claim is None


def test_whoever_may_not_is_refused_for_that_one_reason() -> None:
    error = PermissionDeniedError("it may not")

    assert (Reason.PERMISSION_DENIED, None) == (error.reason, error.claim)
    assert "permission_denied: it may not" == str(error)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (KeysUnavailableError, Reason.KEYS_UNAVAILABLE),
        (PolicyUnavailableError, Reason.POLICY_UNAVAILABLE),
    ],
)
def test_what_is_unavailable_is_a_503_that_says_when_to_come_again(
    kind: type[KeysUnavailableError | PolicyUnavailableError], reason: Reason
) -> None:
    error = kind("no answer", 7.0)

    assert (reason, 503, 7.0) == (error.reason, error.reason.status, error.retry_after)
    assert f"{reason}: no answer" == str(error)
    assert 1.0 == kind("no answer").retry_after


@pytest.mark.parametrize("retry_after", [None, 30.0])
def test_a_failed_fetch_is_its_stage_its_sentence_and_the_wish_of_the_endpoint(
    retry_after: float | None,
) -> None:
    error = FetchError("status", "answered with 503, not 200", retry_after)

    assert ("status", "answered with 503, not 200") == (error.stage, error.message)
    assert retry_after == error.retry_after
    assert "status: answered with 503, not 200" == str(error)


# The reasons.


def test_the_reasons_are_these_and_stay_these() -> None:
    assert [
        "no_credential",
        "multiple_headers",
        "multiple_credentials",
        "unsupported_scheme",
        "empty_credential",
        "access_token",
        "no_end_user",
        "bad_end_user",
        "unreadable_path",
        "unknown_service",
        "token_too_large",
        "malformed",
        "header_not_allowed",
        "kid_missing",
        "signature_removed",
        "algorithm_not_allowed",
        "unknown_key",
        "key_not_fetched",
        "bad_signature",
        "claim_missing",
        "claim_invalid",
        "wrong_issuer",
        "wrong_audience",
        "expired",
        "not_yet_valid",
        "lifetime_too_long",
        "permission_denied",
        "route_narrowed",
        "keys_unavailable",
        "policy_unavailable",
    ] == [reason.value for reason in Reason]


def test_no_two_reasons_share_a_code() -> None:
    assert len(Reason.__members__) == len({reason.value for reason in Reason})


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_code_wherever_text_is_wanted(reason: Reason) -> None:
    assert reason.name.lower() == str(reason) == f"{reason}" == reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_status_and_advice(reason: Reason) -> None:
    assert reason.status in {401, 403, 404, 503}
    assert reason.advice.endswith(".")


def test_that_a_key_was_not_fetched_is_not_that_it_is_unknown_and_is_a_401_too() -> None:
    assert 401 == Reason.KEY_NOT_FETCHED.status == Reason.UNKNOWN_KEY.status
    assert Reason.KEY_NOT_FETCHED.advice != Reason.UNKNOWN_KEY.advice


# One place for a reason.


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status_and_one_sentence_of_advice(reason: Reason) -> None:
    assert reason.status in {401, 403, 404, 503}
    assert reason.advice[0].isupper()
    assert reason.advice.endswith(".")


def test_a_reason_is_added_in_one_place_and_answered_logged_and_explained(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    moon = Reason.__new_member__(Reason, "full_moon", 503, "Wait for another night.")  # type: ignore[attr-defined]
    moon._name_ = "FULL_MOON"

    def refuse(*_: object) -> None:
        raise ClaimError(moon, "the moon is full", "iat")

    rule = NamedRule("moon", refuse, lambda _: "no full moon")
    monkeypatch.setattr(claims, "CLAIM_RULES", (rule, *claims.CLAIM_RULES))
    verifier = world.verifier()
    door = Door(verifier, InvokerPolicy.all_authenticated_users())

    refusal = door.admit([(b"authorization", b"Bearer " + world.token().encode())])

    assert isinstance(refusal, Refusal)
    assert (503, "full_moon") == (refusal.status, refusal.reason)
    assert "refused with 503: full_moon: the moon is full" in caplog.text
    (check,) = [check for check in explain_token(verifier, world.token()).checks if check.name == "moon"]
    assert (moon, "Wait for another night.") == (check.reason, check.advice)
