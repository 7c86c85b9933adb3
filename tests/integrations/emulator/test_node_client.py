"""Google's own clients for Node, unmodified: they find the emulator, and fetch an ID token from it."""

from __future__ import annotations

import json
import os
import shlex
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
from support.nodejs import install, program
from support.tokens import AUDIENCE, rsa_key

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def packages() -> Path:
    """Install the locked packages once, and return the folder that they are in."""
    return install(HERE)


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


@pytest.mark.skipif(sys.platform == "win32", reason="exec needs process groups")
def test_it_gets_a_token_for_a_key_file_at_its_fixed_address(packages: Path, tmp_path: Path) -> None:
    email, file = "orders@doorward-demo.iam.gserviceaccount.com", tmp_path / "key.json"
    node = shlex.join([program("node"), str(HERE / "fixed.js"), str(packages), AUDIENCE])
    doorward = f"{shlex.quote(sys.executable)} -c 'from doorward_integrations.cli.main import main; main()'"
    both = f"{doorward} emulator key {email} --out {file} >&2 && GOOGLE_APPLICATION_CREDENTIALS={file} {node}"
    done = call("emulator", "exec", "--intercept", "--", "sh", "-c", both)

    assert 0 == done.returncode, done.stderr
    assert email == json.loads(done.stdout)["claims"]["email"]


@pytest.mark.parametrize(
    ("folder", "dependencies"),
    [("emulator", {"google-auth-library", "gcp-metadata"}), ("browser", {"swagger-ui-dist"})],
)
def test_the_locked_packages_name_no_registry(folder: str, dependencies: set[str]) -> None:
    lock, wanted = (
        json.loads((HERE.parents[1] / folder / "node" / name).read_text())
        for name in ("package-lock.json", "package.json")
    )

    assert dependencies == set(wanted["dependencies"])
    assert [] == [one for one in wanted["dependencies"].values() if not one[0].isdigit()]
    for name, package in lock["packages"].items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")
