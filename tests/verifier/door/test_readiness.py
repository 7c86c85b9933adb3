"""Whether a door can decide now: which part is not ready, and what a probe starts."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from doorward import (
    GOOGLE,
    CloudIdentityGroups,
    Door,
    InvokerPolicy,
    Issuer,
    KeysUnavailableError,
    PlainRequest,
)
from doorward.door import readiness
from doorward.door.readiness import PartReadiness, ready
from doorward.errors import FetchError
from doorward.keys.fixed import FixedKeys
from doorward.keys.key import VerificationKey
from doorward.loglimit import LogLimit
from doorward.policy.membership.groups import Unresolved
from support.endpoint import KeyEndpoint
from support.simulator import join_fetches
from support.tokens import AUDIENCE, MEMBER, jwks
from support.world import World

POLICY = InvokerPolicy.from_members([MEMBER])


def join_warming() -> None:
    """Wait until no probe is warming keys, and what it fetched is there."""
    for thread in threading.enumerate():
        if thread.name == "doorward-warm":
            thread.join(10)
    join_fetches()


@pytest.fixture(autouse=True)
def _joined() -> Iterator[None]:
    yield
    join_warming()


def parts(door: Door) -> dict[str, PartReadiness]:
    return {part["part"]: part for part in ready(door)["parts"]}


def test_a_door_with_keys_and_a_policy_is_ready(world: World) -> None:
    door = Door(world.verifier(), POLICY)
    door.verifier.warm()

    found = ready(door)

    assert found["ready"]
    assert [("keys", "google", "fresh", None), ("policy", "InvokerPolicy", None, None)] == [
        (part["part"], part["name"], part["state"], part["why"]) for part in found["parts"]
    ]
    assert found == json.loads(json.dumps(found))


def test_a_door_without_keys_is_not_ready_and_the_probe_fetches_them(world: World) -> None:
    door = Door(world.verifier(), POLICY)

    assert not ready(door)["ready"]
    join_warming()
    assert ready(door)["ready"]
    assert 1 == world.endpoint.fetches


def test_a_probe_does_not_wait_for_a_fetch_and_starts_no_second_one(world: World) -> None:
    door = Door(world.verifier(), POLICY)
    world.endpoint.gate.clear()

    found = [ready(door)["ready"] for _ in range(5)]
    world.endpoint.gate.set()
    join_warming()

    assert [False] * 5 == found
    assert 1 == world.endpoint.fetches


def test_it_says_of_which_issuer_the_keys_are_missing_and_why(world: World) -> None:
    other = Issuer(
        name="partner",
        iss_values=("https://partner.example",),
        key_url="https://partner.example/keys",
        google_accounts=False,
        audiences=(AUDIENCE,),
    )
    away = KeyEndpoint()
    away.down()
    caches = {"google": world.cache, "partner": lambda issuer: world.cache(issuer, fetch=away)}
    verifier = world.verifier(
        issuers=[GOOGLE, other],
        key_cache=lambda issuer: caches[issuer.name](issuer),
    )
    door = Door(verifier, POLICY)
    ready(door)
    join_warming()

    found = ready(door)

    google, partner, _ = found["parts"]
    assert not found["ready"]
    assert ("google", True, None) == (google["name"], google["ready"], google["why"])
    assert ("partner", False) == (partner["name"], partner["ready"])
    assert (
        "the keys cannot decide now, in the state 'empty'; the last attempt to renew failed" == partner["why"]
    )
    assert "connect: connection refused" == partner["last_error"]


def test_stale_keys_are_ready_and_say_so(world: World) -> None:
    door = Door(world.verifier(), POLICY)
    door.verifier.warm()
    world.endpoint.down()
    world.clock.move(3_700.0)
    ready(door)  # starts the refresh that fails
    join_fetches()

    found = parts(door)["keys"]

    assert (True, "stale") == (found["ready"], found["state"])
    assert "the keys can decide, in the state 'stale'; the last attempt to renew failed" == found["why"]


def test_once_the_endpoint_is_back_a_probe_alone_makes_the_door_ready(world: World) -> None:
    door = Door(world.verifier(), POLICY)
    world.endpoint.down()
    for _ in range(3):
        ready(door)
        join_warming()
    assert not ready(door)["ready"]

    world.endpoint.up()
    world.clock.move(600.0)
    ready(door)
    join_warming()

    assert ready(door)["ready"]


def test_keys_that_never_change_are_ready(world: World) -> None:
    door = Door(world.verifier(key_cache=lambda _: FixedKeys(jwks(world.key))), POLICY)

    assert ready(door)["ready"]
    assert parts(door)["keys"]["state"] is None


class Source:
    """A key source of the application's own, without a state that can be asked for."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.warmed = 0

    def keys(self, _wall: float, /) -> Mapping[str, VerificationKey] | None:
        return None if self.error else {}

    def get(self, kid: str, /) -> VerificationKey:
        raise NotImplementedError

    async def aget(self, kid: str, /) -> VerificationKey:
        raise NotImplementedError

    def warm(self) -> None:
        self.warmed += 1
        if self.error is not None:
            raise self.error

    async def awarm(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("error", [None, KeysUnavailableError("away"), ValueError("of the application")])
def test_another_key_source_is_asked_for_its_keys(
    world: World,
    error: Exception | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("doorward.door")
    monkeypatch.setattr(readiness, "_failures", LogLimit(logger, logging.ERROR, "failures"))
    source = Source(error)
    door = Door(world.verifier(key_cache=lambda _: source), POLICY)

    assert (error is None) == ready(door)["ready"]
    join_warming()

    assert (0 if error is None else 1) == source.warmed
    assert isinstance(error, ValueError) == ("warming Source failed" in caplog.messages)


class Watched:
    """A source of a policy that can say how it is."""

    def __init__(self, **health: Any) -> None:
        self.current = POLICY
        self._health = health

    def health(self) -> dict[str, Any]:
        return self._health


def test_a_policy_that_is_not_ready_makes_the_door_not_ready(world: World) -> None:
    source = Watched(ready=False, state="dead", last_error="policy.json: no such file")
    door = Door(world.verifier(), source)
    door.verifier.warm()

    found = ready(door)

    assert not found["ready"]
    assert ("Watched", "dead", "policy.json: no such file") == (
        found["parts"][1]["name"],
        found["parts"][1]["state"],
        found["parts"][1]["last_error"],
    )
    assert (
        "the policy cannot decide now, in the state 'dead'; the last attempt to renew failed"
        == (found["parts"][1]["why"])
    )


def test_a_source_that_only_has_the_attribute_ready_is_asked_for_that(world: World) -> None:
    class Plain:
        current = POLICY
        ready = False

    door = Door(world.verifier(), Plain())
    door.verifier.warm()

    assert "the policy cannot decide now" == parts(door)["policy"]["why"]


def test_groups_that_cannot_be_looked_up_are_named_and_leave_the_door_ready(world: World) -> None:
    def fetch(_url: str, _headers: Mapping[str, str], /) -> Any:
        raise FetchError("connect", "connection refused")

    groups = CloudIdentityGroups(lambda: "secret-token", fetch=fetch, monotonic=world.clock)
    policy = InvokerPolicy.from_members(["group:team@example.com"], groups=groups)
    door = Door(world.verifier(), policy)
    door.verifier.warm()
    assert parts(door)["groups"]["ready"]

    door.admit([(b"authorization", b"Bearer " + world.token().encode())], PlainRequest("/"))

    found = ready(door)
    directory = found["parts"][2]
    assert found["ready"]
    assert ("groups", "CloudIdentityGroups", False) == (
        directory["part"],
        directory["name"],
        directory["ready"],
    )
    assert "team@example.com could not be looked up" in str(directory["last_error"])
    assert 1 == groups.health()["failures"]
    assert "secret-token" not in json.dumps(found)


def test_a_function_that_resolves_groups_is_taken_as_ready(world: World) -> None:
    def team(_group: str, _principal: object) -> bool | Unresolved:
        return True

    door = Door(world.verifier(), InvokerPolicy.from_members(["group:team@example.com"], groups=team))

    assert ("function", True) == (parts(door)["groups"]["name"], parts(door)["groups"]["ready"])


def test_where_no_thread_can_be_started_the_next_probe_tries_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    door = Door(world.verifier(), POLICY)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert not ready(door)["ready"]
    ready(door)
    join_warming()

    assert ready(door)["ready"]


def test_the_keys_of_end_users_count_as_those_of_callers(world: World) -> None:
    users = World(clock=world.clock)
    door = Door(world.verifier(), POLICY, end_user=users.verifier("https://web"), end_user_callers=[MEMBER])
    door.verifier.warm()

    before = ready(door)
    join_warming()
    after = ready(door)

    assert ["keys", "keys", "policy"] == [part["part"] for part in before["parts"]]
    assert [(False, [True, False, True]), (True, [True] * 3)] == [
        (found["ready"], [part["ready"] for part in found["parts"]]) for found in (before, after)
    ]
