"""The end user behind a calling service: a second token, verified by rules of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from doorward import (
    Admission,
    ConfigurationError,
    Door,
    InvokerPolicy,
    KeysUnavailableError,
    PlainRequest,
    Reason,
    Refusal,
)
from doorward.door.credentials import CredentialHeaders, find_iap_assertion
from doorward.door.events import Decided
from doorward.door.expiry import expires_at
from doorward.door.subprotocol import SubprotocolHeaders
from support.tokens import AUDIENCE, MEMBER
from support.world import World

WEB = "https://web.example.com"
ANN = {"aud": WEB, "email": "ann@example.com", "sub": "7", "azp": None}
OTHER = "serviceAccount:other@doorward-test.iam.gserviceaccount.com"
MARK = b".SIGNATURE_REMOVED_BY_GOOGLE"
IN_HEADER = CredentialHeaders(b"x-user-token", scheme=False)

Ask = Callable[..., Admission | Refusal]


@pytest.fixture(params=["admit", "aadmit"])
def ask(request: pytest.FixtureRequest) -> Ask:
    def asked(door: Door, *headers: tuple[bytes, bytes], path: str = "/orders") -> Admission | Refusal:
        facts = PlainRequest(path)
        if request.param == "admit":
            return door.admit(headers, facts)
        return asyncio.run(door.aadmit(headers, facts))

    return asked


def door_of(world: World, **settings: Any) -> Door:
    given: dict[str, Any] = {"end_user": world.verifier(WEB), "end_user_callers": [MEMBER]}
    policy = settings.pop("policy", InvokerPolicy.from_members([MEMBER, OTHER]))
    return Door(world.verifier(), policy, **given | settings)


def caller(token: str, name: bytes = b"x-serverless-authorization") -> tuple[bytes, bytes]:
    return name, b"Bearer " + token.encode()


def user(token: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + token.encode()


def of_other(world: World) -> str:
    return world.token(email=OTHER.partition(":")[2], sub="9")


def stripped(token: str) -> bytes:
    return b"Bearer " + token.rpartition(".")[0].encode() + MARK


def admitted(answer: Admission | Refusal) -> Admission:
    assert isinstance(answer, Admission), answer
    return answer


def reason(answer: Admission | Refusal) -> tuple[int, Reason]:
    assert isinstance(answer, Refusal), answer
    return answer.status, answer.reason


def test_the_caller_and_its_user_are_two_and_never_mixed(ask: Ask, world: World) -> None:
    for _ in range(2):  # the tokens are new, and then cached
        found = admitted(ask(door_of(world), caller(world.token()), user(world.token(**ANN))))
        assert found.end_user is not None
        assert (MEMBER, "user:ann@example.com") == (found.principal.member, found.end_user.member)


def test_the_application_sees_both_tokens_without_their_signatures(ask: Ask, world: World) -> None:
    one, two = world.token(), world.token(**ANN)
    found = admitted(ask(door_of(world), caller(one), (b"host", b"x"), user(two)))
    assert [
        (b"x-serverless-authorization", stripped(one)),
        (b"host", b"x"),
        (b"authorization", stripped(two)),
    ] == found.headers


def test_the_user_may_be_of_another_issuer_than_the_caller(ask: Ask, world: World) -> None:
    world.endpoint.down()
    own = World(clock=world.clock)
    door = door_of(own, end_user=World(clock=world.clock).verifier(WEB))
    answer = ask(door, caller(own.token()), user(own.token(**ANN)))
    assert admitted(answer).end_user is not None


def test_the_policy_is_asked_for_the_caller_only(ask: Ask, world: World) -> None:
    door = door_of(world, policy=InvokerPolicy.from_members(["user:ann@example.com"]))
    assert (403, Reason.PERMISSION_DENIED) == reason(
        ask(door, caller(world.token()), user(world.token(**ANN)))
    )


@pytest.mark.parametrize("name", [b"authorization", b"x-serverless-authorization"])
def test_without_a_second_token_there_is_no_user(ask: Ask, world: World, name: bytes) -> None:
    token = world.token()
    found = admitted(ask(door_of(world), caller(token, name)))
    assert (None, [(name, stripped(token))]) == (found.end_user, found.headers)


@pytest.mark.parametrize("name", [b"authorization", b"x-serverless-authorization"])
def test_where_a_user_is_required_a_missing_one_is_refused(ask: Ask, world: World, name: bytes) -> None:
    door = door_of(world, end_user_required=True)
    assert (401, Reason.NO_END_USER) == reason(ask(door, caller(world.token(), name)))


def test_the_token_of_the_caller_is_never_that_of_its_user(ask: Ask, world: World) -> None:
    door = door_of(world, end_user=world.verifier(AUDIENCE))
    assert admitted(ask(door, caller(world.token(), b"authorization"))).end_user is None


def test_from_a_caller_that_is_not_named_a_user_is_neither_believed_nor_passed_on(
    ask: Ask, world: World
) -> None:
    token = of_other(world)
    found = admitted(ask(door_of(world), caller(token), user(world.token(**ANN))))
    assert (None, OTHER) == (found.end_user, found.principal.member)
    assert [(b"x-serverless-authorization", stripped(token))] == found.headers
    required = door_of(world, end_user_required=True)
    assert (401, Reason.NO_END_USER) == reason(ask(required, caller(token), user(world.token(**ANN))))


def test_nor_from_a_caller_that_was_not_verified(ask: Ask, world: World) -> None:
    door = door_of(world, policy=InvokerPolicy.all_users())
    found = admitted(ask(door, caller("not.a.token"), user(world.token(**ANN)), (b"host", b"x")))
    assert (True, None, [(b"host", b"x")]) == (found.principal.anonymous, found.end_user, found.headers)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(lambda world: [user(world.token(**ANN | {"aud": AUDIENCE}))], id="for another audience"),
        pytest.param(lambda world: [user(world.token(**ANN, exp=int(world.clock.now) - 60))], id="expired"),
        pytest.param(lambda world: [user(world.token(**ANN)[:-4] + "AAAA")], id="forged"),
        pytest.param(lambda world: [user("h.p.SIGNATURE_REMOVED_BY_GOOGLE")], id="without a signature"),
        pytest.param(lambda world: [user(world.token(**ANN))] * 2, id="twice"),
        pytest.param(lambda world: [user(world.token(**ANN) + ", x")], id="two in one"),
        pytest.param(lambda world: [(b"authorization", b"Basic YTpi")], id="another scheme"),
        pytest.param(lambda world: [(b"authorization", b"Bearer ")], id="empty"),
        pytest.param(lambda world: [user("ya29.abc")], id="an access token"),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_a_bad_second_token_is_401_with_a_reason_of_its_own(
    ask: Ask, world: World, sent: Callable[[World], list[tuple[bytes, bytes]]], *, required: bool
) -> None:
    door = door_of(world, end_user_required=required)
    answer = ask(door, caller(world.token()), *sent(world))
    assert (401, Reason.BAD_END_USER) == reason(answer)


def test_the_log_says_what_is_wrong_with_it_without_the_token(
    ask: Ask, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    token = world.token(**ANN | {"aud": "https://else"})
    ask(door_of(world), caller(world.token()), user(token))
    (line,) = [one.getMessage() for one in caplog.records if "bad_end_user" in one.getMessage()]
    assert "wrong_audience" in line
    assert token[:20] not in caplog.text


def test_a_public_policy_admits_no_bad_end_user_as_anonymous(ask: Ask, world: World) -> None:
    door = door_of(world, policy=InvokerPolicy.all_users())
    assert (401, Reason.BAD_END_USER) == reason(ask(door, caller(world.token()), user("a.b.c")))


def test_where_the_keys_of_the_user_are_away_it_is_503(ask: Ask, world: World) -> None:
    users = World(clock=world.clock)
    users.endpoint.down(retry_after=7)
    door = door_of(world, end_user=users.verifier(WEB))
    answer = ask(door, caller(world.token()), user(users.token(**ANN)))
    assert (503, Reason.KEYS_UNAVAILABLE) == reason(answer)
    assert isinstance(answer, Refusal)
    assert isinstance(answer.error, KeysUnavailableError)
    assert 0 < answer.error.retry_after <= 7


class TestNamedHeader:
    def test_the_token_is_found_in_the_header_that_is_named(self, ask: Ask, world: World) -> None:
        one, two = world.token(), world.token(**ANN)
        door = door_of(world, end_user_credential=IN_HEADER)
        for name in (b"authorization", b"x-serverless-authorization"):
            found = admitted(ask(door, caller(one, name), (b"x-user-token", two.encode())))
            assert found.end_user is not None
            passed = two.rpartition(".")[0].encode() + MARK
            assert [(name, stripped(one)), (b"x-user-token", passed)] == found.headers

    def test_authorization_is_then_the_applications_own(self, ask: Ask, world: World) -> None:
        door = door_of(world, end_user_credential=IN_HEADER)
        own = (b"authorization", b"Basic YTpi")
        found = admitted(ask(door, caller(world.token()), own))
        assert (None, own) == (found.end_user, found.headers[1])

    @pytest.mark.parametrize("twin", [b"x_user_token", b"x-user_token"])
    def test_no_twin_of_it_reaches_the_application(self, ask: Ask, world: World, twin: bytes) -> None:
        door = door_of(world, end_user_credential=IN_HEADER)
        token = world.token()
        found = admitted(ask(door, caller(token), (twin, world.token(**ANN).encode())))
        assert (None, [(b"x-serverless-authorization", stripped(token))]) == (found.end_user, found.headers)


@pytest.mark.parametrize("header", [b"authorization", b"x-user-token"])
def test_an_exempt_request_has_no_user_needs_none_and_hands_none_on(
    ask: Ask, world: World, header: bytes
) -> None:
    where = {} if header == b"authorization" else {"end_user_credential": IN_HEADER}
    door = door_of(world, exempt=[("GET", "/healthz")], end_user_required=True, **where)
    accept = (b"accept", b"*/*")
    found = admitted(
        ask(door, caller(world.token()), (header, world.token(**ANN).encode()), accept, path="/healthz")
    )
    assert (True, None, [accept]) == (found.principal.anonymous, found.end_user, found.headers)


def test_the_shortest_way_is_not_taken_past_it(ask: Ask, world: World) -> None:
    door = door_of(world)
    headers = [caller(world.token()), user(world.token(**ANN))]
    ask(door, *headers)
    assert door.admit_cached(headers, "GET", "/orders") is None
    assert door.admit_cached([caller(world.token())], "GET", "/orders") is None


def test_a_listener_learns_of_its_refusal(ask: Ask, world: World) -> None:
    events: list[Decided] = []
    door = door_of(world, listener=events.append)
    ask(door, caller(world.token()), user("a.b.c"))
    ask(door, caller(world.token()), user(world.token(**ANN)))
    assert [Decided("refused", Reason.BAD_END_USER, 401), Decided("admitted")] == events


def test_a_door_without_it_knows_no_user_and_passes_authorization_on(ask: Ask, world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    sent = user(world.token(**ANN))
    found = admitted(ask(door, caller(world.token()), sent))
    assert (None, sent) == (found.end_user, found.headers[1])


def test_the_tokens_are_good_until_the_first_of_them_expires(ask: Ask, world: World) -> None:
    door = door_of(world)
    now = int(world.clock.now)
    of_caller, of_user = caller(world.token(exp=now + 600)), user(world.token(**ANN, exp=now + 300))
    public = Door(world.verifier(), InvokerPolicy.all_users())
    assert now + 330 == expires_at(door, admitted(ask(door, of_caller, of_user)))
    assert now + 630 == expires_at(door, admitted(ask(door, of_caller)))
    assert expires_at(public, admitted(ask(public))) is None


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"end_user": "verifier"}, "must be a Verifier"),
        ({"end_user_callers": None}, "needs end_user_callers"),
        ({"end_user_callers": []}, "needs end_user_callers"),
        ({"end_user_callers": MEMBER}, "needs end_user_callers"),
        ({"end_user_callers": ["allAuthenticatedUsers"]}, "needs end_user_callers"),
        ({"end_user_callers": ["allUsers"]}, "must name callers"),
        ({"end_user_callers": ["ann@example.com"]}, "not understood"),
        ({"end_user": None}, "need end_user"),
        ({"end_user": None, "end_user_callers": None, "end_user_required": True}, "need end_user"),
        ({"end_user_credential": find_iap_assertion, "credential": find_iap_assertion}, "the caller's own"),
        ({"end_user_credential": CredentialHeaders(b"x-serverless-authorization")}, "the caller's own"),
        ({"end_user_credential": CredentialHeaders(b"x-goog-authenticated-user-email")}, "a platform's word"),
        ({"end_user_credential": CredentialHeaders(b"a", b"b")}, "must name one header"),
        ({"end_user_credential": "x-user-token"}, "must name one header"),
        ({"end_user_credential": SubprotocolHeaders(b"authorization")}, "must name one header"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(world: World, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        door_of(world, **settings)
