"""The services that the arguments of ``doorward gateway`` describe, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doorward_integrations.cli.main import main

ORDERS = "orders=http://127.0.0.1:1"
AUDIENCE = "audience=https://orders-1.europe-west1.run.app"


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"bindings": []}))
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--audience AUD"),
        (["--audience", "a"], "--policy FILE is missing"),
        (["--audience", "a", "--policy", "POLICY"], "--upstream URL is missing"),
        (["--audience", "a", "--policy", "POLICY", "--upstream", "localhost:1"], "must be an origin"),
        (["--audience", "a", "--policy", "POLICY", "--upstream", "http://a/b"], "must be an origin"),
        (["--audience", "a", "--policy", "/nowhere", "--upstream", "http://a"], "/nowhere"),
        (["--audience", "a", "--service", f"{ORDERS},policy=POLICY,{AUDIENCE}"], "one of the two"),
        (["--service", "orders"], "must be NAME=URL"),
        (["--service", f"{ORDERS},policy"], "must be NAME=URL"),
        (["--service", f"{ORDERS},{AUDIENCE}"], "'orders' needs one policy"),
        (["--service", f"{ORDERS},policy=POLICY,policy=POLICY,{AUDIENCE}"], "'orders' needs one policy"),
        (["--service", f"{ORDERS},policy=POLICY"], "'orders' needs an audience"),
        (["--service", f"{ORDERS},policy=POLICY,audience=opaque"], "a host if no audience is a URL"),
        (["--service", f"{ORDERS},policy=POLICY,{AUDIENCE},path=/a"], "has no setting 'path'"),
        (["--service", f"{ORDERS},policy=POLICY,{AUDIENCE}"] * 2, "described twice"),
        (["--services", "POLICY"], "the members of each service"),
        (["--services", "/nowhere"], "is not a readable JSON file"),
    ],
    ids=range(17),
)
def test_a_mistake_is_said_in_one_line(
    arguments: list[str], sentence: str, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [one.replace("POLICY", policy) for one in arguments]

    assert 2 == main(["gateway", *given])
    error = capsys.readouterr().err
    assert sentence in error
    assert 1 == error.count("\n")


def test_a_service_that_a_file_names_twice_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "services.json"
    path.write_text(
        '{"orders": {"upstream": "http://127.0.0.1:1"}, "orders": {"upstream": "http://127.0.0.1:2"}}'
    )

    assert 2 == main(["gateway", "--services", str(path)])
    assert "a member name occurs twice" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--concurrency", "--emulate-request-timeout"])
def test_a_limit_of_nothing_is_refused(option: str, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    service = ["--audience", "a", "--policy", policy, "--upstream", "http://127.0.0.1:1"]

    assert 2 == main(["gateway", *service, option, "0"])
    assert "must be" in capsys.readouterr().err
