"""The decisions that a listener of a door receives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from doorward import Admission, Door, InvokerPolicy, PlainRequest, Reason, Refusal
from doorward.door import events
from doorward.door.events import Decided
from doorward.loglimit import LogLimit
from support.tokens import MEMBER
from support.world import World

Headers = list[tuple[bytes, bytes]]
Ask = Callable[[Door, Headers, str], "Admission | Refusal"]


@pytest.fixture(params=["admit", "aadmit", "admit_cached"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask a door in each of its ways; as an adapter does, the full way where the short one is undecided."""
    if request.param == "admit":
        return lambda door, headers, path: door.admit(headers, PlainRequest(path))
    if request.param == "aadmit":
        return lambda door, headers, path: asyncio.run(door.aadmit(headers, PlainRequest(path)))
    return lambda door, headers, path: (
        door.admit_cached(headers, "GET", path) or door.admit(headers, PlainRequest(path))
    )


def bearer(token: str) -> Headers:
    return [(b"authorization", b"Bearer " + token.encode())]


def test_every_decision_is_reported_once_also_where_all_is_cached(ask: Ask, world: World) -> None:
    seen: list[Decided] = []
    policy = InvokerPolicy.from_members([MEMBER])
    door = Door(world.verifier(), policy, exempt=[("GET", "/healthz")], listener=seen.append)
    good = bearer(world.token())

    for headers, path in [
        (good, "/"),
        (good, "/"),
        ([], "/healthz"),
        ([], "/"),
        (bearer(world.token(email="other@doorward-test.iam.gserviceaccount.com")), "/"),
        (bearer(world.token(aud="https://other.example")), "/"),
    ]:
        ask(door, headers, path)

    assert [
        Decided("admitted"),
        Decided("admitted"),
        Decided("exempt"),
        Decided("refused", Reason.NO_CREDENTIAL, 403),
        Decided("refused", Reason.PERMISSION_DENIED, 403),
        Decided("refused", Reason.WRONG_AUDIENCE, 401),
    ] == seen


def test_who_is_admitted_unverified_is_reported_as_anonymous(ask: Ask, world: World) -> None:
    seen: list[Decided] = []
    door = Door(world.verifier(), InvokerPolicy.all_users(), listener=seen.append)

    ask(door, [], "/")
    ask(door, bearer(world.token()), "/")

    assert [Decided("anonymous"), Decided("admitted")] == seen


def test_what_cannot_be_known_is_reported_as_that(ask: Ask, world: World) -> None:
    seen: list[Decided] = []
    world.endpoint.down()
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=seen.append)

    ask(door, bearer(world.token()), "/")

    assert [Decided("refused", Reason.KEYS_UNAVAILABLE, 503)] == seen


def test_a_flood_is_reported_whole_although_it_is_logged_in_part(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Decided] = []
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=seen.append)

    for _ in range(500):
        door.admit([], PlainRequest("/"))

    assert 500 == len(seen)
    assert 21 == len(caplog.messages)


def test_a_listener_that_fails_changes_nothing_and_is_logged_within_a_limit(
    ask: Ask, world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listener(_: Decided) -> None:
        raise ValueError("of the application")

    failures = LogLimit(logging.getLogger("doorward.door"), logging.ERROR, "failures", lines=0)
    monkeypatch.setattr(events, "_failures", failures)
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), listener=listener)
    assert isinstance(ask(door, bearer(world.token()), "/"), Admission)
    assert isinstance(ask(door, [], "/"), Refusal)

    failed = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [f"the listener of the door failed on {Decided('admitted')}"] == failed


def test_without_a_listener_the_short_way_is_open(world: World) -> None:
    door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))
    headers = bearer(world.token())
    door.admit(headers, PlainRequest("/"))

    assert isinstance(door.admit_cached(headers, "GET", "/"), Admission)
