"""The commands that ask an emulator that is running: env, status, key and token."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doorward import Verifier
from doorward.errors import TokenError
from doorward.issuers.google import EMULATOR_VARIABLE
from doorward_integrations.cli.main import main
from doorward_integrations.emulator import (
    DEFAULT_ACCOUNT,
    EmulatedIssuer,
    Emulator,
    LoopbackServer,
    RunningEmulator,
    SigningKey,
)
from support.tokens import AUDIENCE, rsa_key

SA = "caller@doorward-demo.iam.gserviceaccount.com"
NAMES = {"GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT", EMULATOR_VARIABLE}


class Keys:
    """Makes a key file of a fixed form, and says for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def routes(self) -> list[Route]:
        return [Route("/doorward/v1/accounts/{email}/keys", self._make, methods=["POST"])]

    async def _make(self, request: Request) -> Response:
        email = request.path_params["email"]
        self.asked.append((email, request.headers.get("x-doorward-emulator")))
        return JSONResponse({"type": "service_account", "client_email": email, "private_key": "PRIVATE"})


@pytest.fixture(scope="module")
def running() -> Iterator[RunningEmulator]:
    names = iter(("emulated-0", "emulated-1"))
    emulator = Emulator(EmulatedIssuer(make_key=lambda: SigningKey(rsa_key(next(names)))))
    with emulator.serve() as running:
        yield running


@pytest.fixture
def nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert 0 == main(arguments)
    out, error = capsys.readouterr()
    assert "" == error
    return out


# Where the emulator is.


def test_it_is_found_by_its_url_its_ready_file_or_the_variable(
    running: RunningEmulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "ready"
    file.write_text(json.dumps({"host": running.host}))
    found = [
        printed(capsys, "emulator", "status", "--url", running.url),
        printed(capsys, "emulator", "status", "--url", f"{running.url}/"),
        printed(capsys, "emulator", "status", "--ready-file", str(file)),
    ]
    monkeypatch.setenv(EMULATOR_VARIABLE, running.host)
    found.append(printed(capsys, "emulator", "status"))

    assert 1 == len(set(found))
    assert f"running at {running.url}" in found[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:80",
        "http://10.0.0.1:80",
        "http://127.0.0.1",
        "https://127.0.0.1:80",
        "http://127.0.0.1:80@example.com:80",
        "http://127.0.0.1:80/a",
        "",
    ],
)
def test_only_a_port_of_this_machine_is_asked(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["token", "--audience", AUDIENCE, "--url", url])
    assert "must be a port of this machine" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "null", '{"host": "example.com:80"}', "\xff"])
def test_a_ready_file_that_names_no_emulator_is_said_in_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ready"
    if text is not None:
        file.write_text(text, encoding="latin-1")

    assert 2 == main(["emulator", "env", "--ready-file", str(file)])
    assert 1 == capsys.readouterr().err.count("\n")


@pytest.mark.parametrize(
    "command", [["token", "--audience", AUDIENCE], ["emulator", "env"], ["emulator", "key", SA]]
)
def test_where_none_is_running_that_is_said_in_one_line(
    command: list[str], nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([*command, "--url", nowhere])
    out, error = capsys.readouterr()

    assert (2, "") == (status, out)
    assert f"no emulator answers at {nowhere}" in error
    assert "doorward emulator start" in error
    assert 1 == error.count("\n")


@pytest.mark.parametrize("answer", [b"[]", b"no", b"{}", b'{"emulator": "another"}'])
def test_another_server_is_not_taken_for_an_emulator(
    answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    app = Starlette(routes=[Route("/healthz", lambda _: Response(answer))])
    with LoopbackServer(app) as server:
        assert 2 == main(["emulator", "env", "--url", server.url])
    assert "is no emulator of doorward" in capsys.readouterr().err


def test_a_proxy_of_the_environment_is_not_asked(
    running: RunningEmulator,
    nowhere: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)

    assert "running" in printed(capsys, "emulator", "status", "--url", running.url)


# status


def test_status_is_0_or_1_and_json_says_the_same(
    running: RunningEmulator, nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(printed(capsys, "emulator", "status", "--json", "--url", running.url))
    stopped = main(["emulator", "status", "--json", "--url", nowhere])

    assert (running.url, "ok", DEFAULT_ACCOUNT) == (told["url"], told["status"], told["account"])
    assert 1 == stopped
    assert "stopped" == json.loads(capsys.readouterr().out)["status"]


def test_status_says_who_there_is_and_what_is_kept_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = "projects/demo/locations/europe-west1/services/orders"
    names = iter(f"emulated-{number}" for number in range(9))
    issuer = EmulatedIssuer(make_key=lambda: SigningKey(rsa_key(next(names))))
    emulator = Emulator(issuer, other_accounts=[SA.replace("caller", "other")], state=tmp_path / "state")
    emulator.services.set(service, {"bindings": []})
    with emulator.serve() as running:
        out = printed(capsys, "emulator", "status", "--url", running.url)

    for said in (SA.replace("caller", "other"), str(tmp_path / "state"), service):
        assert said in out


# env


def test_env_prints_what_leads_to_it_in_three_forms(
    running: RunningEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = running.environment()
    as_json = printed(capsys, "emulator", "env", "--format", "json", "--url", running.url)
    as_dotenv = printed(capsys, "emulator", "env", "--format", "dotenv", "--url", running.url)

    assert set(wanted) >= NAMES
    assert wanted == json.loads(as_json)
    assert wanted == dict(line.split("=", 1) for line in as_dotenv.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
def test_a_shell_takes_the_exports(running: RunningEmulator, capsys: pytest.CaptureFixture[str]) -> None:
    exports = printed(capsys, "emulator", "env", "--url", running.url)
    done = subprocess.run(["sh", "-c", f"{exports}\nenv"], env={}, capture_output=True, text=True, check=True)

    assert set(running.environment().items()) <= {
        tuple(line.split("=", 1)) for line in done.stdout.splitlines()
    }


# token


def minted(capsys: pytest.CaptureFixture[str], running: RunningEmulator, *arguments: str) -> str:
    out = printed(capsys, "token", "--audience", AUDIENCE, "--url", running.url, *arguments)
    assert 1 == out.count("\n")
    return out.strip()


def test_a_token_verifies_and_is_all_that_is_printed(
    running: RunningEmulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = minted(capsys, running, "--as", "user@example.com", "--expires", "60")
    monkeypatch.setenv(EMULATOR_VARIABLE, running.host)

    assert "user:user@example.com" == Verifier(AUDIENCE).verify(token).member


def test_an_expired_token_can_be_asked_for(
    running: RunningEmulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = minted(capsys, running, "--expires", "-60")
    monkeypatch.setenv(EMULATOR_VARIABLE, running.host)

    with pytest.raises(TokenError, match="expired"):
        Verifier(AUDIENCE).verify(token)


@pytest.mark.parametrize(
    ("issuer", "iss"),
    [
        ("google", "https://accounts.google.com"),
        ("iap", "https://cloud.google.com/iap"),
        ("oidc:partner", "https://partner.test"),
    ],
)
def test_a_token_of_another_issuer_can_be_asked_for(
    issuer: str, iss: str, running: RunningEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    token = minted(capsys, running, "--issuer", issuer, "--as", "user@example.com")
    claims = jwt.decode(token, options={"verify_signature": False})

    assert (iss, "user@example.com") == (claims["iss"], claims["email"])


def test_a_token_is_logged_nowhere(
    running: RunningEmulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    token = minted(capsys, running)

    assert token.split(".")[1][:17] not in caplog.text
    assert token.split(".")[2][:17] not in caplog.text


def test_what_the_emulator_refuses_is_said_in_one_line(
    running: RunningEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["token", "--audience", AUDIENCE, "--as", "nothing", "--url", running.url])
    error = capsys.readouterr().err

    assert "'nothing' is no e-mail address" in error
    assert 1 == error.count("\n")


# key


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def making(keys: Keys) -> Iterator[str]:
    """Serve an endpoint in the place of the emulator's own, and return its URL."""
    health = Route("/healthz", lambda _: JSONResponse({"emulator": "doorward"}))
    with LoopbackServer(Starlette(routes=[health, *keys.routes()])) as server:
        yield server.url


def test_a_key_file_is_written_for_its_owner_alone(
    making: str, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key.json"
    out = printed(capsys, "emulator", "key", SA, "--out", str(file), "--url", making)

    assert f"{file}\n" == out
    assert [(SA, "1")] == keys.asked
    assert SA == json.loads(file.read_text())["client_email"]
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert [file] == list(tmp_path.iterdir())


def test_without_a_name_it_is_called_after_the_account(
    making: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert "caller.json\n" == printed(capsys, "emulator", "key", SA, "--url", making)


def test_a_file_that_is_there_is_replaced_only_by_force(
    making: str, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key.json"
    file.write_text("precious")
    arguments = ["emulator", "key", SA, "--out", str(file), "--url", making]

    assert 2 == main(arguments)
    assert "is there already" in capsys.readouterr().err
    assert ("precious", []) == (file.read_text(), keys.asked)
    assert 0 == main([*arguments, "--force"])
    assert SA == json.loads(file.read_text())["client_email"]
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_a_folder_that_is_not_there_is_said_in_one_line(
    making: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["emulator", "key", SA, "--out", str(tmp_path / "none" / "key"), "--url", making])
    assert 1 == capsys.readouterr().err.count("\n")


@pytest.mark.parametrize("account", ["caller", "@example.com", "a/b@example.com", "../x@example.com"])
def test_what_is_no_address_gets_no_key(account: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["emulator", "key", account, "--url", "http://127.0.0.1:1"])
    assert "is no e-mail address" in capsys.readouterr().err


def test_the_emulator_answers_health_to_any_client(running: RunningEmulator) -> None:
    assert 200 == httpx.get(f"{running.url}/healthz", trust_env=False).status_code
