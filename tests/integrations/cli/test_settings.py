"""``doorward settings``: what the environment comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from doorward_integrations.cli.main import main
from doorward_integrations.settings.variables import VARIABLES
from support.tokens import AUDIENCE, MEMBER


@pytest.fixture(autouse=True)
def _only_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [one for one in os.environ if one.startswith("DOORWARD_")]:
        monkeypatch.delenv(name)
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}]}))
    monkeypatch.setenv("DOORWARD_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("DOORWARD_POLICY", str(policy))


def test_every_setting_is_shown_with_its_origin(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["settings"])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [one.name for one in VARIABLES.values()] == [line[0] for line in lines]
    shown = {line[0]: (line[1], line[-1]) for line in lines}
    assert (AUDIENCE, "DOORWARD_AUDIENCE") == shown["DOORWARD_AUDIENCE"]
    assert ("30", "default") == shown["DOORWARD_LEEWAY"]
    assert ("-", "default") == shown["DOORWARD_GROUPS"]


def test_the_check_makes_the_door_and_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["settings", "--check"])

    *_, verifier, policy = capsys.readouterr().out.splitlines()
    assert f"Verifier(audience={AUDIENCE}, issuers=[google])" == verifier
    assert "InvokerPolicy(1 members)" == policy


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DOORWARD_LEEWAY", "400", "DOORWARD_LEEWAY: leeway is 400"),
        ("DOORWARD_POLICIES", "s3cret", "DOORWARD_POLICIES is not a variable of doorward"),
        ("DOORWARD_POLICY", "/nowhere.json", "DOORWARD_POLICY: the policy file '/nowhere.json'"),
    ],
)
def test_a_mistake_is_one_line_with_its_name_and_the_status_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv(name, value)

    assert 2 == main(["settings", "--check"])

    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.startswith(f"doorward settings: {says}")
    assert (1, False) == (captured.err.count("\n"), "s3cret" in captured.err)


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOORWARD_AUDIENCE", "https://user:s3cret@a.example/?key=s3cret")

    assert 0 == main(["settings", "--check"])

    out = capsys.readouterr().out
    assert "s3cret" not in out
    assert "https://***@a.example/?***" in out


def test_the_command_itself_exits_with_2() -> None:
    environ = {**os.environ, "DOORWARD_LEEWAY": "soon"}
    command = [
        sys.executable,
        "-c",
        "import sys; from doorward_integrations.cli.main import main; sys.exit(main())",
    ]

    done = subprocess.run(
        [*command, "settings", "--check"], env=environ, capture_output=True, text=True, check=False
    )

    assert (2, "") == (done.returncode, done.stdout)
    assert "doorward settings: DOORWARD_LEEWAY must be a number, such as 30 or 0.5\n" == done.stderr
