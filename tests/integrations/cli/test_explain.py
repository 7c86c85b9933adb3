"""``doorward verify`` and ``doorward explain``, on tokens of an emulator."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward.issuers.google import GCLOUD_CLIENT_ID
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

    found = json.loads(out)
    assert (0, True, MEMBER, "roles/run.invoker") == (
        status,
        found["admitted"],
        found["member"],
        found["role"],
    )
    assert DEFAULT_ACCOUNT == found["principal"]["email"]


def test_verify_tells_why_a_token_is_refused(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run(capsys, "verify", emulator.issuer.mint("https://other.example"))

    found = json.loads(out)
    assert (1, 401, "wrong_audience", "aud") == (status, found["status"], found["reason"], found["claim"])


def test_verify_says_that_it_cannot_be_decided_now(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_explain_gives_the_same_as_json(
    emulator: Emulator, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(capsys, "explain", emulator.issuer.mint(AUDIENCE), "--policy", policy, "--json")

    found: dict[str, Any] = json.loads(out)
    assert (0, MEMBER, None) == (status, found["principal"], found["reason"])
    assert {"passed"} == {check["outcome"] for check in found["checks"]}
    assert found["policy"]["decision"]["granted"]


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


@pytest.mark.skipif(os.name != "posix", reason="this system has no such files")
@pytest.mark.parametrize("option", ["--policy", "--deny-policy", "--groups", "--unique-ids"])
def test_a_pipe_in_the_place_of_a_file_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    os.mkfifo(tmp_path / "pipe")

    (tmp_path / "policy.json").write_text("{}")
    files = ["--policy", str(tmp_path / "policy.json"), option, str(tmp_path / "pipe")]

    assert 2 == main(["verify", "x", "--audience", AUDIENCE, *files])
    assert "it is a named pipe, and must be a regular file" in capsys.readouterr().err


def test_explain_does_not_blame_the_token_where_its_key_cannot_be_fetched(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.certs.take_down()

    status, out = run(capsys, "explain", emulator.issuer.mint(AUDIENCE))

    assert 3 == status
    assert "It cannot be decided now whether the token is good" in out
    assert "not good: the policy" not in out
    assert "nothing is wrong" not in out


# The commands decide as the service does.


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, document: object) -> str:
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return str(path)

    return write


def bound(*members: str) -> dict[str, Any]:
    return {"bindings": [{"role": "roles/run.invoker", "members": list(members)}]}


@pytest.mark.parametrize("command", ["verify", "explain"])
def test_every_setting_of_a_verifier_and_a_policy_can_be_given(
    emulator: Emulator, files: Callable[..., str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    mint, subject = emulator.issuer.mint, emulator.accounts.default.subject
    named = files("named.json", bound(MEMBER, "user:dev@example.com"))
    group = files("group.json", bound("group:team@example.com"))
    everyone = {"principalSet://goog/public:all"}
    deny = {"deniedPrincipals": [*everyone], "deniedPermissions": ["run.googleapis.com/routes.invoke"]}
    rows: list[tuple[int, str, list[str]]] = [
        (1, mint(f"{AUDIENCE}/push"), ["--audience", AUDIENCE]),
        (0, mint(f"{AUDIENCE}/push"), ["--cloud-run", AUDIENCE]),
        (1, mint(GCLOUD_CLIENT_ID, email="dev@example.com"), ["--audience", AUDIENCE, "--policy", named]),
        (
            0,
            mint(GCLOUD_CLIENT_ID, email="dev@example.com"),
            ["--audience", AUDIENCE, "--policy", named, "--accept-gcloud-tokens"],
        ),
        (1, mint(AUDIENCE, claims={"email": None}), ["--audience", AUDIENCE, "--policy", named]),
        (
            0,
            mint(AUDIENCE, claims={"email": None}),
            ["--audience", AUDIENCE, "--policy", named, "--unique-ids", files("ids.json", {MEMBER: subject})],
        ),
        (
            0,
            mint(AUDIENCE),
            [
                "--audience",
                AUDIENCE,
                "--policy",
                group,
                "--groups",
                files("groups.json", {"team@example.com": [DEFAULT_ACCOUNT]}),
            ],
        ),
        (
            0,
            mint(AUDIENCE),
            ["--audience", AUDIENCE, "--policy", named, "--policy", files("x.json", bound())],
        ),
        (
            1,
            mint(AUDIENCE),
            [
                "--audience",
                AUDIENCE,
                "--policy",
                named,
                "--deny-policy",
                files("deny.json", {"rules": [{"denyRule": deny}]}),
            ],
        ),
        (1, mint(AUDIENCE, issued_at=time.time() - 3640), ["--audience", AUDIENCE]),
        (0, mint(AUDIENCE, issued_at=time.time() - 3640), ["--audience", AUDIENCE, "--leeway", "120"]),
    ]
    for expected, token, arguments in rows:
        assert expected == main([command, token, *arguments]), arguments
        capsys.readouterr()


@pytest.mark.parametrize("command", ["verify", "explain"])
def test_the_door_of_the_service_itself_can_be_asked(
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    (tmp_path / "orders_service.py").write_text(
        "from doorward import Door, InvokerPolicy, Verifier\n"
        f"door = Door(Verifier({AUDIENCE!r}), InvokerPolicy.from_members([{MEMBER!r}]))\n"
        "other = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    token = emulator.issuer.mint(AUDIENCE)
    outsider = emulator.issuer.mint(AUDIENCE, email="other@doorward-demo.iam.gserviceaccount.com")

    assert 0 == main([command, token, "--door", "orders_service:door"])
    assert 1 == main([command, outsider, "--door", "orders_service:door"])
    capsys.readouterr()
    for wrong, says in {
        "orders_service": "must be MODULE:NAME",
        "nowhere:door": "No module named",
        "orders_service:gone": "has no attribute",
        "orders_service:other": "is a int, not a Door",
    }.items():
        assert 2 == main([command, token, "--door", wrong])
        assert says in capsys.readouterr().err
    assert 2 == main([command, token, "--door", "orders_service:door", "--audience", AUDIENCE])
    assert "leave the others out" in capsys.readouterr().err
    sys.modules.pop("orders_service")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name the audience"),
        (["--audience", "x", "--issuer", "moon"], "is none of google, iap"),
        (["--audience", "x", "--issuer", "firebase:"], "is none of google, iap"),
        (["--issuer", "firebase:X"], "not the id of a Firebase project"),
        (
            ["--audience", "x", "--policy", "/nowhere.json", "--groups", "/nowhere.json"],
            "not a readable JSON",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert 2 == main(["verify", "a.b.c", *arguments])
    error = capsys.readouterr().err
    assert says in error
    assert 1 == error.count("\n")


@pytest.mark.parametrize("command", ["verify", "explain"])
def test_tags_strictness_members_and_the_users_of_an_issuer_can_be_given(
    emulator: Emulator, files: Callable[..., str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    token = emulator.issuer.mint(AUDIENCE)
    condition = {"title": "t", "expression": "resource.matchTag('123/env', 'prod')"}
    tagged = bound(MEMBER)
    tagged["bindings"][0]["condition"] = condition
    policy, tags = files("tagged.json", tagged), files("tags.json", {"123/env": "prod"})
    almost = files("almost.json", {"bindings": [{"role": "roles/run.invokers", "members": [MEMBER]}]})
    rows: list[tuple[int, list[str]]] = [
        (1, ["--policy", policy]),
        (0, ["--policy", policy, "--resource-tags", tags]),
        (1, ["--policy", almost]),
        (2, ["--policy", almost, "--strict"]),
        (0, ["--members", MEMBER]),
        (1, ["--members", "user:a@example.com"]),
        (0, ["--users-of", "google"]),
        (2, ["--users-of", "firebase:my-project-1"]),
        (0, ["--issuer", "google", "--users-of", "google", "--members", "user:a@example.com"]),
    ]
    for expected, arguments in rows:
        assert expected == main([command, token, "--audience", AUDIENCE, *arguments]), arguments
        capsys.readouterr()


@pytest.mark.parametrize("further", [[], ["--users-of", "google"]])
@pytest.mark.parametrize(
    "option",
    ["--groups", "--unique-ids", "--project-numbers", "--custom-roles", "--resource-tags", "--strict"],
)
def test_what_is_said_about_a_policy_that_is_not_given_is_a_mistake(
    files: Callable[..., str], capsys: pytest.CaptureFixture[str], option: str, further: list[str]
) -> None:
    value = [] if option == "--strict" else [files("object.json", {})]

    assert 2 == main(["verify", "a.b.c", "--audience", AUDIENCE, option, *value, *further])

    error = capsys.readouterr().err
    assert error.startswith(f"doorward verify: {option}: ")
    assert "--policy names its file" in error


def test_a_mistake_names_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["verify", "a.b.c", "--audience", AUDIENCE, "--leeway", "400"])
    assert "--leeway: leeway is 400.0; it must be 0 to 300 seconds" in capsys.readouterr().err


def test_the_door_of_the_environment_can_be_asked(
    emulator: Emulator, policy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOORWARD_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("DOORWARD_POLICY", policy)
    monkeypatch.delenv("DOORWARD_NO_SKIP", raising=False)
    outsider = emulator.issuer.mint(AUDIENCE, email="other@doorward-demo.iam.gserviceaccount.com")

    assert 0 == main(["verify", emulator.issuer.mint(AUDIENCE), "--settings"])
    assert 1 == main(["verify", outsider, "--settings"])
    capsys.readouterr()
    assert 2 == main(["verify", outsider, "--settings", "--leeway", "10"])
    assert "--settings brings its own settings: leave the others out" in capsys.readouterr().err
    assert 2 == main(["verify", outsider, "--settings", "--door", "orders:door"])
