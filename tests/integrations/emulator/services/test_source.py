"""Doors that follow the policy of a service in the emulator, in its process and in others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from doorward import Admission, ConfigurationError, Door, Verifier
from doorward.door.readiness import ready
from doorward.policy.source import PolicySource
from doorward_integrations.emulator import EmulatedPolicy, Emulator, RunningEmulator
from doorward_integrations.emulator.services.following import Followers
from support.clock import ManualClock
from support.forks import forked, forking
from support.tokens import AUDIENCE

SERVICE = "projects/demo/locations/europe-west1/services/orders"
CALLER = "caller@demo.iam.gserviceaccount.com"
GRANTED = {"bindings": [{"role": "roles/run.invoker", "members": [f"serviceAccount:{CALLER}"]}]}
GROUP = {"bindings": [{"role": "roles/run.invoker", "members": ["group:all@example.com"]}]}


@pytest.fixture
def running(emulator: Emulator) -> Iterator[RunningEmulator]:
    with emulator.serve() as running:
        yield running


@pytest.fixture
def door_of(
    emulator: Emulator, running: RunningEmulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[PolicySource], Door]:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
    return lambda source: Door(Verifier(AUDIENCE, clock=clock), source)


def status(emulator: Emulator, door: Door) -> int:
    headers = [(b"authorization", b"Bearer " + emulator.issuer.mint(AUDIENCE, email=CALLER).encode())]
    outcome = door.admit_cached(headers, "GET", "/") or door.admit(headers)
    return 200 if isinstance(outcome, Admission) else outcome.status


def withdrawn(emulator: Emulator, door: Door) -> None:
    """Grant and withdraw a few times: each change decides the next request."""
    for _ in range(5):
        emulator.services.set(SERVICE, GRANTED)
        assert [200, 200] == [status(emulator, door), status(emulator, door)]
        emulator.services.set(SERVICE, {})
        assert 403 == status(emulator, door)


def test_a_door_in_the_emulators_process_follows_a_withdrawal_at_the_next_request(
    emulator: Emulator, door_of: Callable[[PolicySource], Door]
) -> None:
    withdrawn(emulator, door_of(emulator.services.policy(SERVICE)))


def test_a_door_over_http_follows_a_withdrawal_at_the_next_request(
    emulator: Emulator, running: RunningEmulator, door_of: Callable[[PolicySource], Door]
) -> None:
    withdrawn(emulator, door_of(EmulatedPolicy(SERVICE, host=running.host)))


def test_the_variable_leads_a_door_to_the_emulator(
    emulator: Emulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(SERVICE, GRANTED)

    assert 200 == status(emulator, door_of(EmulatedPolicy(SERVICE)))


def test_every_door_that_follows_has_taken_a_policy_when_it_is_set(
    emulator: Emulator, running: RunningEmulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(SERVICE, GRANTED)
    doors = [door_of(EmulatedPolicy(SERVICE, host=running.host)) for _ in range(6)]
    assert [200] * 6 == [status(emulator, door) for door in doors]
    emulator.services.set(SERVICE, {})

    assert [403] * 6 == [status(emulator, door) for door in doors]


def test_a_door_in_an_event_loop_waits_for_its_first_policy(
    emulator: Emulator, running: RunningEmulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(SERVICE, GRANTED)
    door = door_of(EmulatedPolicy(SERVICE, host=running.host))
    headers = [(b"authorization", b"Bearer " + emulator.issuer.mint(AUDIENCE, email=CALLER).encode())]

    assert isinstance(asyncio.run(door.aadmit(headers)), Admission)


def test_without_the_emulator_nothing_is_granted_until_it_is_back(
    emulator: Emulator, running: RunningEmulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(SERVICE, GRANTED)
    source = EmulatedPolicy(SERVICE, host=running.host)
    door = door_of(source)
    assert (200, True, None) == (status(emulator, door), source.ready, source.last_error)
    port = running.port
    running.stop()
    until = time.monotonic() + 10
    while source.state != "dead" and time.monotonic() < until:
        pass
    assert 503 == status(emulator, door)
    assert not ready(door)["ready"]
    assert source.last_error is not None
    with emulator.serve(port=port):
        while status(emulator, door) == 503 and time.monotonic() < until:
            pass
        assert 200 == status(emulator, door)


def test_an_emulator_stops_at_once_though_doors_follow(
    emulator: Emulator, running: RunningEmulator, door_of: Callable[[PolicySource], Door]
) -> None:
    door = door_of(EmulatedPolicy(SERVICE, host=running.host))
    assert 403 == status(emulator, door)
    began = time.monotonic()
    running.stop()

    assert time.monotonic() - began < 5  # the requests that stay open last for 20 s


def test_a_door_that_does_not_answer_holds_up_a_change_for_a_bounded_time(emulator: Emulator) -> None:
    followers: Followers = emulator.services.followers
    followers._taken[SERVICE, "gone"] = 0
    number = emulator.services._store.set(SERVICE, GRANTED).number

    assert not followers.settle(SERVICE, number, seconds=0.01)
    assert followers.settle(SERVICE, number, seconds=0.0)


def test_a_group_whose_members_are_not_given_is_undecided(
    emulator: Emulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(SERVICE, GROUP)
    members = {"all@example.com": [f"serviceAccount:{CALLER}"]}

    assert 503 == status(emulator, door_of(emulator.services.policy(SERVICE)))
    assert 200 == status(emulator, door_of(emulator.services.policy(SERVICE, groups=members)))


def test_a_policy_that_the_settings_of_a_door_refuse_decides_nothing(
    emulator: Emulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(
        SERVICE, {"bindings": [{"role": "projects/p/roles/custom", "members": ["allUsers"]}]}
    )
    door = door_of(emulator.services.policy(SERVICE, strict=True))

    assert 503 == status(emulator, door)


@forking
def test_a_child_follows_on_its_own(
    emulator: Emulator, running: RunningEmulator, door_of: Callable[[PolicySource], Door]
) -> None:
    emulator.services.set(SERVICE, GRANTED)
    door = door_of(EmulatedPolicy(SERVICE, host=running.host))

    assert [200, 200] == [status(emulator, door), forked(lambda: status(emulator, door))]


def test_a_source_without_an_emulator_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DOORWARD_EMULATOR_HOST=HOST:PORT"):
        EmulatedPolicy(SERVICE)
    with pytest.raises(ConfigurationError, match="of this machine"):
        EmulatedPolicy(SERVICE, host="example.com:80")
    with pytest.raises(ConfigurationError, match="no name of a service"):
        EmulatedPolicy("orders", host="127.0.0.1:8099")
    with pytest.raises(ConfigurationError, match="no setting of a policy"):
        EmulatedPolicy(SERVICE, host="127.0.0.1:8099", group={})  # type: ignore[call-arg]  # the mistake


def test_a_source_is_refused_on_cloud_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "orders")

    with pytest.raises(ConfigurationError, match="set on Cloud Run"):
        EmulatedPolicy(SERVICE, host="127.0.0.1:8099")
