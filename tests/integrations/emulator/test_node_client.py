"""Google's own clients for Node, unmodified: they find the emulator, and fetch an ID token from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward import Verifier
from doorward.issuers.google import EMULATOR_VARIABLE
from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    EmulatedIssuer,
    Emulator,
    RunningEmulator,
    SigningKey,
)
from support.commands import call
from support.tokens import AUDIENCE, rsa_key

HERE = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[3] / ".node"


def program(name: str) -> str:
    """Return the path of a program; skip the test without it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: the packages of Google's clients for Node need it")
    return path


@pytest.fixture(scope="module")
def packages() -> Path:
    """Install the locked packages once, and return the folder that they are in."""
    npm = program("npm")
    lock = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        installed = subprocess.run(
            [npm, "ci", *quiet], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert 0 == installed.returncode, installed.stderr
        done.touch()
    return folder


@pytest.fixture
def running() -> Iterator[RunningEmulator]:
    """Serve an emulator on the system's clock."""
    names = iter(("emulated-0", "emulated-1"))
    emulator = Emulator(EmulatedIssuer(make_key=lambda: SigningKey(rsa_key(next(names)))))
    with emulator.serve() as running:
        yield running


def run(packages: Path, variables: dict[str, str]) -> Any:
    """Run the clients in an environment of these variables, and return what they print."""
    done = subprocess.run(
        [program("node"), str(HERE / "client.js"), str(packages), AUDIENCE],
        env={"PATH": os.environ["PATH"], "HOME": os.devnull} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_googles_client_for_node_finds_the_emulator_and_gets_a_token_that_verifies(
    packages: Path, running: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run(packages, running.environment())
    monkeypatch.setenv(EMULATOR_VARIABLE, running.host)
    scheme, _, token = printed["authorization"].partition(" ")
    verified = Verifier(AUDIENCE).verify(token)

    assert "Bearer" == scheme
    assert f"serviceAccount:{DEFAULT_ACCOUNT}" == verified.member
    assert printed["available"] is True
    assert (DEFAULT_ACCOUNT, "doorward-demo") == (printed["email"], printed["project"])
    assert DEFAULT_ACCOUNT in printed["instance"]["serviceAccounts"]


@pytest.mark.skipif(sys.platform == "win32", reason="exec needs process groups")
def test_it_verifies_a_token_with_the_keys_of_its_fixed_address(packages: Path) -> None:
    command = [program("node"), str(HERE / "fixed.js"), str(packages), AUDIENCE]
    done = call("emulator", "exec", "--intercept", "--", *command, environ={"NO_PROXY": "*"})

    assert 0 == done.returncode, done.stderr
    printed = json.loads(done.stdout)
    assert (AUDIENCE, DEFAULT_ACCOUNT) == (printed["claims"]["aud"], printed["claims"]["email"])


def test_the_locked_packages_name_no_registry() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]

    assert {"google-auth-library", "gcp-metadata"} == set(wanted)
    assert wanted["google-auth-library"].startswith("10.")
    for name, package in lock["packages"].items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")
