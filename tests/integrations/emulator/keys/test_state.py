"""Keys on disk: a restarted emulator signs with the same ones."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from doorward import ConfigurationError
from doorward_integrations.emulator import EmulatedIssuer, Emulator, RotationSchedule, SigningKey
from support.clock import ManualClock
from support.tokens import ec_key, rsa_key

PROJECT = "my-project-1a2b3"
OWN = "https://id.example.com"
ROBOT = "robot@doorward-demo.iam.gserviceaccount.com"


def emulator_of(state: Path, clock: ManualClock) -> Emulator:
    return Emulator(EmulatedIssuer(clock=clock), state=state)


def kids(emulator: Emulator) -> dict[str, list[str]]:
    issuers = (
        emulator.issuer,
        emulator.iap,
        emulator.firebase,
        emulator.oidc(OWN),
        emulator.self_signed(ROBOT),
    )
    return {one.name: [key.kid for key in one.keys] for one in issuers}


def test_a_restarted_emulator_has_the_same_keys_of_every_issuer(tmp_path: Path, clock: ManualClock) -> None:
    first = emulator_of(tmp_path / "state", clock)
    first.issuer.rotate()
    before = kids(first)
    certificates = first.issuer.certificates()
    clock.move(100)
    again = emulator_of(tmp_path / "state", clock)

    assert before == kids(again)
    assert certificates == again.issuer.certificates()
    assert [OWN] == [one.iss for one in again.oidc]


def test_a_revoked_key_stays_away_after_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    first = emulator_of(tmp_path, clock)
    kid = first.issuer.current.kid
    first.issuer.revoke(kid)

    assert kid not in {key.kid for key in emulator_of(tmp_path, clock).issuer.keys}


def test_an_overlap_goes_on_after_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    rotation = RotationSchedule(overlap=60)
    first = Emulator(EmulatedIssuer(clock=clock, rotation=rotation), state=tmp_path)
    old, new = first.issuer.current.kid, first.issuer.rotate().kid
    clock.move(59)
    again = Emulator(EmulatedIssuer(clock=clock, rotation=rotation), state=tmp_path)
    assert [new, old] == [key.kid for key in again.issuer.keys]
    clock.move(1)
    assert [new] == [key.kid for key in again.issuer.keys]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_state_is_the_users_alone(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "state"
    emulator_of(folder, clock)

    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert 0o600 == stat.S_IMODE((folder / "keys.json").stat().st_mode)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="must be a folder that can be written"):
        emulator_of(tmp_path / "file", clock)
    with pytest.raises(ConfigurationError, match="must be a folder that can be written"):
        emulator_of(tmp_path / "missing" / "state", clock)


@pytest.mark.parametrize(
    "changed",
    [
        {"private": "-----BEGIN"},
        {"private": SigningKey(ec_key("state")).private_pem},
        {"private": SigningKey(rsa_key("short", 1024)).private_pem},
        {"private": 1},
        {"since": None},
        {"until": "later"},
        {"made": True},
    ],
    ids=["no key", "another algorithm", "short", "number", "no time", "text", "boolean"],
)
def test_keys_that_cannot_be_used_are_neither_used_nor_overwritten(
    changed: dict[str, Any], tmp_path: Path, clock: ManualClock
) -> None:
    emulator_of(tmp_path, clock)
    file = tmp_path / "keys.json"
    state = json.loads(file.read_text())
    state["rings"]["google"][0] |= changed
    file.write_text(json.dumps(state))

    with pytest.raises(ConfigurationError, match=r"the keys of 'google'.*Move it away to begin anew"):
        emulator_of(tmp_path, clock)
    assert state == json.loads(file.read_text())


@pytest.mark.parametrize("rings", [[], {"google": []}, {"google": 1}, {"google": [1]}], ids=str)
def test_a_file_of_another_shape_is_not_used(rings: Any, tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"format": 1, "rings": rings}))
    file.chmod(0o600)

    with pytest.raises(ConfigurationError, match="is not what this emulator writes"):
        emulator_of(tmp_path, clock)


def test_no_part_of_a_state_is_left_behind(tmp_path: Path, clock: ManualClock) -> None:
    emulator = emulator_of(tmp_path, clock)
    for _ in range(3):
        emulator.iap.rotate()

    assert ["keys.json"] == [one.name for one in tmp_path.iterdir()]
