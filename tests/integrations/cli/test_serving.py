"""The arguments that describe an emulator."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from doorward import ConfigurationError
from doorward_integrations.cli.serving import add_emulator_arguments, emulator_of
from doorward_integrations.emulator import Emulator


def made(*arguments: str) -> Emulator:
    parser = argparse.ArgumentParser()
    add_emulator_arguments(parser)
    return emulator_of(parser.parse_args(arguments))


def test_a_state_is_kept_from_one_start_to_the_next(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))

    assert made(*state).issuer.current.kid == made(*state).issuer.current.kid
    assert made().issuer.current.kid != made().issuer.current.kid


def test_the_keys_of_every_issuer_rotate_as_the_arguments_say() -> None:
    emulator = made("--rotate-every", "1e-9", "--overlap", "0")
    for issuer in (emulator.iap, emulator.oidc("partner")):
        assert issuer.current.kid != issuer.current.kid


@pytest.mark.parametrize("arguments", [("--rotate-every", "0"), ("--overlap", "-1"), ("--overlap", "nan")])
def test_a_schedule_that_cannot_work_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="seconds, or None"):
        made(*arguments)


def test_a_file_says_who_there_is(tmp_path: Path) -> None:
    file = tmp_path / "identities.json"
    file.write_text(json.dumps({"project": "shop-demo", "users": {"ann@example.com": {}}}))

    assert "shop-demo" == made("--identities", str(file)).identities.project
    assert made("--identities", str(file)).identities.find("bob@example.com") is None
