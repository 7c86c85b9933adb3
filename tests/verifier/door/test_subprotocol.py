"""The credential of a browser's websocket, in a subprotocol that it offers."""

from __future__ import annotations

from typing import Any

import pytest

from doorward import Admission, CredentialError, Door, InvokerPolicy, PlainRequest, Reason, Refusal
from doorward.door.subprotocol import find_in_subprotocol, without_token
from support.tokens import MEMBER
from support.world import World

OFFERED = b"sec-websocket-protocol"
SOCKET = PlainRequest("/live", websocket=True)


@pytest.fixture
def door(world: World) -> Door:
    policy = InvokerPolicy.from_members([MEMBER])
    return Door(world.verifier(), policy, credential=find_in_subprotocol)


def offer(token: str, *others: str, gap: str = ", ") -> tuple[bytes, bytes]:
    return OFFERED, gap.join([*others, f"doorward.bearer.{token}"]).encode()


def admitted(door: Door, *headers: tuple[bytes, bytes]) -> Admission:
    answer = door.admit(headers, SOCKET)
    assert isinstance(answer, Admission)
    return answer


def refused(door: Door, *headers: tuple[bytes, bytes]) -> Reason:
    answer = door.admit(headers, SOCKET)
    assert isinstance(answer, Refusal)
    return answer.reason


@pytest.mark.parametrize("gap", [",", ", ", " ,\t"])
@pytest.mark.parametrize("others", [(), ("doorward.bearer",), ("chat", "superchat")])
def test_the_token_in_a_subprotocol_is_the_credential(
    door: Door, world: World, others: tuple[str, ...], gap: str
) -> None:
    for _ in range(2):  # new, and then cached
        assert MEMBER == admitted(door, offer(world.token(), *others, gap=gap)).principal.member


def test_the_application_receives_the_other_offers_only(door: Door, world: World) -> None:
    host = (b"host", b"orders")
    found = admitted(door, host, offer(world.token(), "chat", "doorward.bearer"))
    assert [host, (OFFERED, b"chat, doorward.bearer")] == found.headers


def test_a_header_that_offered_the_token_alone_is_left_out(door: Door, world: World) -> None:
    assert [] == admitted(door, offer(world.token())).headers


def test_an_offer_in_a_header_of_its_own_counts_too(door: Door, world: World) -> None:
    headers = [(OFFERED, b"chat"), offer(world.token()), (OFFERED, b"superchat")]
    assert [(OFFERED, b"chat"), (OFFERED, b"superchat")] == admitted(door, *headers).headers


def test_the_subprotocol_decides_and_authorization_is_the_applications_own(door: Door, world: World) -> None:
    own = (b"authorization", b"Basic YTpi")
    found = admitted(door, own, offer(world.token()))
    assert (MEMBER, [own]) == (found.principal.member, found.headers)


def test_a_bad_token_in_the_subprotocol_is_not_mended_by_a_good_one_in_the_header(
    door: Door, world: World
) -> None:
    good = (b"authorization", b"Bearer " + world.token().encode())
    assert Reason.EXPIRED == refused(door, good, offer(world.token(exp=int(world.clock.now) - 60, iat=1)))


@pytest.mark.parametrize("name", [b"authorization", b"x-serverless-authorization"])
def test_what_looks_as_if_it_had_been_checked_does_not_pass_beside_it(
    door: Door, world: World, name: bytes
) -> None:
    claimed = (name, b"Bearer h.p.SIGNATURE_REMOVED_BY_GOOGLE")
    assert [] == admitted(door, claimed, offer(world.token())).headers


def test_without_an_offer_the_headers_decide_as_before(door: Door, world: World) -> None:
    token = world.token()
    found = admitted(door, (b"authorization", b"Bearer " + token.encode()), (OFFERED, b"chat"))
    stripped = token.rpartition(".")[0].encode() + b".SIGNATURE_REMOVED_BY_GOOGLE"
    assert [(b"authorization", b"Bearer " + stripped), (OFFERED, b"chat")] == found.headers
    assert Reason.NO_CREDENTIAL == refused(door, (OFFERED, b"chat"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"doorward.bearer.", Reason.EMPTY_CREDENTIAL),
        (b"doorward.bearer.a, doorward.bearer.b", Reason.MULTIPLE_CREDENTIALS),
        (b"doorward.bearer.a.b", Reason.MALFORMED),
        (b"doorward.bearer.\xff.b.c", Reason.MALFORMED),
        (b"doorward.bearer.ya29.abc", Reason.ACCESS_TOKEN),
        (b"Doorward.Bearer.a.b.c", Reason.NO_CREDENTIAL),
        (b"doorward.bearerX", Reason.NO_CREDENTIAL),
        (b"doorward.bearer", Reason.NO_CREDENTIAL),
        (b",, ,", Reason.NO_CREDENTIAL),
    ],
)
def test_what_is_not_one_token_is_refused(door: Door, value: bytes, reason: Reason) -> None:
    assert reason == refused(door, (OFFERED, value))


def test_two_headers_with_a_token_each_are_refused(door: Door, world: World) -> None:
    assert Reason.MULTIPLE_CREDENTIALS == refused(door, offer(world.token()), offer(world.token()))


def test_no_error_holds_the_token(world: World) -> None:
    with pytest.raises(CredentialError) as caught:
        find_in_subprotocol([offer(world.token()), offer(world.token())])
    assert world.token()[:16] not in str(caught.value)


def test_a_door_that_was_not_asked_to_look_there_does_not(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    assert Reason.NO_CREDENTIAL == refused(door, offer(world.token()))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"policy": InvokerPolicy.all_users()}, id="a public door"),
        pytest.param(
            {"policy": InvokerPolicy.from_members([MEMBER]), "exempt": [("WEBSOCKET", "/live")]}, id="exempt"
        ),
    ],
)
def test_a_token_that_was_not_verified_does_not_reach_the_application_either(
    world: World, settings: dict[str, Any]
) -> None:
    door = Door(world.verifier(), credential=find_in_subprotocol, **settings)
    found = admitted(door, offer("not.a.token", "chat"))
    assert (True, [(OFFERED, b"chat")]) == (found.principal.anonymous, found.headers)


@pytest.mark.parametrize("twin", [b"sec_websocket_protocol", b"sec-websocket_protocol"])
def test_no_twin_of_the_header_reaches_the_application(door: Door, world: World, twin: bytes) -> None:
    assert [] == admitted(door, (twin, b"doorward.bearer.a.b.c"), offer(world.token())).headers


def test_of_the_subprotocols_of_a_scope_those_with_a_token_are_left_out() -> None:
    assert ["doorward.bearer", "chat"] == without_token(["doorward.bearer", "doorward.bearer.a.b.c", "chat"])
