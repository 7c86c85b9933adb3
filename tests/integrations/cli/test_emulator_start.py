"""``doorward emulator start``: how it says that it is ready, and how it ends."""

from __future__ import annotations

import base64
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward import Verifier
from doorward.issuers.google import EMULATOR_VARIABLE
from support.commands import PATIENCE, call, doorward, emulator, is_free, line_of
from support.tokens import AUDIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"
FLAVOR = {"Metadata-Flavor": "Google"}
ENDINGS = [signal.SIGTERM, signal.SIGINT]

# The time of day is that of a file from then on.
JUMPING = """
import sys, time
from pathlib import Path
own, offset = time.time, Path(sys.argv.pop(1))
time.time = lambda: own() + float(offset.read_text())
from doorward_integrations.cli.main import main
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """Let processes heed SIGINT, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def token_of(url: str) -> str:
    return httpx.get(f"{url}{IDENTITY}", params={"audience": AUDIENCE}, headers=FLAVOR, trust_env=False).text


def claims_of(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_it_says_on_one_line_where_it_listens_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with doorward("emulator", "start", "--port", "0") as process:
        start, _, url = line_of(process).rpartition(" ")
        monkeypatch.setenv(EMULATOR_VARIABLE, url.removeprefix("http://"))

        assert "listening on" == start
        assert Verifier(AUDIENCE).verify(token_of(url)).member


def test_as_json_it_says_so_too_and_the_same_in_a_file_that_goes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    with emulator("--ready-file", str(file), "--account", "a@p.iam.gserviceaccount.com") as (process, ready):
        assert ready == json.loads(file.read_text())
        assert process.pid == ready["pid"]
        assert f"http://{ready['host']}" == ready["url"]
        assert "a@p.iam.gserviceaccount.com" == ready["account"]
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert [] == list(tmp_path.iterdir())


def test_the_ready_file_of_another_emulator_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    with emulator("--ready-file", str(file)) as (process, _):
        file.write_text("another")
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert "another" == file.read_text()


def test_a_ready_file_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    done = call("emulator", "start", "--port", "0", "--ready-file", str(tmp_path / "none" / "ready"))

    assert (2, "") == (done.returncode, done.stdout)
    assert "--ready-file" in done.stderr
    assert 1 == done.stderr.count("\n")


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_it_with_0_and_frees_the_port(number: signal.Signals) -> None:
    with emulator() as (process, ready):
        token_of(ready["url"])
        process.send_signal(number)
        output, error = process.communicate(timeout=PATIENCE)

    assert (0, "", "") == (process.returncode, output, error)
    assert is_free(ready["host"])


@pytest.mark.parametrize("second", ENDINGS)
def test_a_second_signal_ends_it_at_once_while_a_request_keeps_it(second: signal.Signals) -> None:
    with emulator() as (process, ready):
        name, _, port = ready["host"].rpartition(":")
        with socket.create_connection((name, int(port))) as client:
            # Its body never comes, so that the request is on its way for as long as the grace lasts.
            head = f"POST {IDENTITY}?audience=a HTTP/1.1\r\nHost: {ready['host']}\r\nContent-Length: 9\r\n"
            client.sendall(f"{head}Metadata-Flavor: Google\r\nExpect: 100-continue\r\n\r\n".encode())
            assert client.recv(12) == b"HTTP/1.1 100"
            process.send_signal(signal.SIGTERM)
            while not is_free(ready["host"]):
                pass
            process.send_signal(second)
            process.communicate(timeout=PATIENCE)

    assert -second == process.returncode
    assert is_free(ready["host"])


def test_two_signals_in_a_row_leave_no_port_behind() -> None:
    with emulator() as (process, ready):
        process.terminate()
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert process.returncode in {0, -signal.SIGTERM}
    assert is_free(ready["host"])


def test_a_port_that_is_taken_is_said_in_one_line_and_stays_with_its_owner() -> None:
    with emulator() as (_, ready):
        done = call("emulator", "start", "--port", ready["host"].rpartition(":")[2])

        assert (2, "") == (done.returncode, done.stdout)
        assert "cannot listen on 127.0.0.1" in done.stderr
        assert 1 == done.stderr.count("\n")
        assert 200 == httpx.get(f"{ready['url']}/healthz", trust_env=False).status_code


def test_a_port_is_free_for_the_next_one_at_once() -> None:
    with emulator() as (process, ready):
        token_of(ready["url"])
        process.terminate()
        process.communicate(timeout=PATIENCE)
    with doorward("emulator", "start", "--port", ready["host"].rpartition(":")[2]) as process:
        assert f"listening on {ready['url']}" == line_of(process)


@pytest.mark.parametrize("jump", [-40 * 86_400, 40 * 86_400])
def test_when_the_clock_jumps_tokens_follow_it_and_it_ends_in_order(tmp_path: Path, jump: int) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    with emulator(program=[sys.executable, "-c", JUMPING, str(offset)]) as (process, ready):
        before = claims_of(token_of(ready["url"]))["iat"]
        (tmp_path / "next").write_text(str(jump))
        (tmp_path / "next").replace(offset)
        after = claims_of(token_of(ready["url"]))["iat"]
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert abs(jump - (after - before)) < PATIENCE
    assert 0 == process.returncode
    assert is_free(ready["host"])


def test_what_reads_the_ready_line_may_go_away() -> None:
    with emulator() as (process, ready):
        assert process.stdout is not None
        process.stdout.close()
        threads = [threading.Thread(target=token_of, args=(ready["url"],)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.terminate()

        assert 0 == process.wait(PATIENCE)
