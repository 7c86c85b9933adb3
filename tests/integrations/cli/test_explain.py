"""``doorward verify`` and ``doorward explain``, on tokens of an emulator."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward_integrations.cli.main import main
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, SigningKey

AUDIENCE = "https://orders-1234567890.europe-west1.run.app"
MEMBER = f"serviceAccount:{DEFAULT_ACCOUNT}"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    emulator = Emulator()
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        yield emulator


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"bindings": [{"role": "roles/run.invoker", "members": [MEMBER]}]}))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main([*arguments, "--audience", AUDIENCE])
    return status, capsys.readouterr().out


def test_verify_tells_who_is_admitted_by_what(
    emulator: Emulator, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(capsys, "verify", emulator.issuer.mint(AUDIENCE), "--policy", policy)

    told = json.loads(out)
    assert (0, True, MEMBER, "roles/run.invoker") == (status, told["admitted"], told["member"], told["role"])
    assert DEFAULT_ACCOUNT == told["principal"]["email"]


def test_verify_tells_why_a_token_is_refused(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run(capsys, "verify", emulator.issuer.mint("https://other.example"))

    told = json.loads(out)
    assert (1, 401, "wrong_audience", "aud") == (status, told["status"], told["reason"], told["claim"])


def test_verify_tells_that_nobody_can_say_now(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.certs.take_down()

    status, out = run(capsys, "verify", emulator.issuer.mint(AUDIENCE))

    assert (3, "keys_unavailable") == (status, json.loads(out)["reason"])


def test_a_token_can_come_from_standard_input_with_the_scheme_of_its_header(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"Bearer {emulator.issuer.mint(AUDIENCE)}\n"))

    assert 0 == run(capsys, "verify", "-")[0]


def test_explain_goes_through_every_check_and_names_the_binding(
    emulator: Emulator, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(capsys, "explain", emulator.issuer.mint(AUDIENCE), "--policy", policy)

    assert 0 == status
    assert 12 == sum(line.startswith("ok  ") for line in out.splitlines())
    assert f"may use run.routes.invoke by roles/run.invoker of {MEMBER}" in out


def test_explain_tells_what_was_expected_what_was_seen_and_what_to_do(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    token = emulator.issuer.mint("https://other.example", issued_at=time.time() - 9000)

    status, out = run(capsys, "explain", token)

    assert 1 == status
    assert "NO  audience" in out
    assert "NO  expiry" in out
    assert AUDIENCE in out
    assert "https://other.example" in out
    assert "Get a new token: they live for one hour." in out
    assert "the policy was not asked" in out


def test_explain_tells_why_no_binding_granted(
    emulator: Emulator, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = emulator.issuer.mint(AUDIENCE, email="other@doorward-demo.iam.gserviceaccount.com")

    status, out = run(capsys, "explain", token, "--policy", policy)

    assert 1 == status
    assert "may not use run.routes.invoke" in out
    assert "Grant roles/run.invoker to the caller" in out


def test_explain_gives_the_same_account_as_json(
    emulator: Emulator, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(capsys, "explain", emulator.issuer.mint(AUDIENCE), "--policy", policy, "--json")

    told: dict[str, Any] = json.loads(out)
    assert (0, MEMBER, None) == (status, told["principal"], told["reason"])
    assert {"passed"} == {check["outcome"] for check in told["checks"]}
    assert told["policy"]["decision"]["granted"]


def test_the_token_is_never_printed(
    emulator: Emulator, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer = emulator.issuer
    tokens = [
        issuer.mint(AUDIENCE),
        issuer.mint("x"),
        issuer.mint(AUDIENCE, key=SigningKey(), header={"kid": issuer.current.kid}),
        issuer.mint(AUDIENCE)[:-5],
    ]
    for token in tokens:
        for command in (["verify"], ["explain"], ["explain", "--json"]):
            main([*command, token, "--audience", AUDIENCE, "--policy", policy])
            captured = capsys.readouterr()
            for start in range(0, len(token) - 17, 5):
                assert token[start : start + 17] not in captured.out + captured.err


def test_a_policy_that_cannot_be_read_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["verify", "x", "--audience", AUDIENCE, "--policy", "/nowhere.json"])

    assert 2 == status
    assert "cannot be read" in capsys.readouterr().err
