"""``doorward gateway`` as a process, before a real upstream, with tokens of the emulator."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator
from support.gateway import PATIENCE, Connection, RawUpstream, head_and_body
from support.gateway_process import gateway_process
from support.tokens import AUDIENCE

OTHER = "https://billing-1234567890.europe-west1.run.app"


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def running(emulator: Emulator) -> Iterator[RunningEmulator]:
    with emulator.serve() as running:
        yield running


def policy_file(folder: Path, *members: str, name: str = "policy.json") -> str:
    path = folder / name
    path.write_text(json.dumps({"bindings": [{"role": "roles/run.invoker", "members": members}]}))
    return str(path)


def get(url: str, token: str, host: str = "a.test") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", "host": host}
    return httpx.get(url, headers=headers, trust_env=False, timeout=PATIENCE)


def test_it_guards_one_service_and_ends_in_order(
    emulator: Emulator, running: RunningEmulator, upstream: RawUpstream, tmp_path: Path
) -> None:
    policy = policy_file(tmp_path, f"serviceAccount:{DEFAULT_ACCOUNT}")
    service = ["--upstream", f"http://127.0.0.1:{upstream.port}", "--policy", policy, "--audience", AUDIENCE]
    with gateway_process(running.environment(), *service, "--port", "0") as gateway:
        assert 200 == get(gateway.url, emulator.issuer.mint(AUDIENCE)).status_code
        assert 401 == get(gateway.url, emulator.issuer.mint(OTHER)).status_code
        assert 0 == gateway.stop()

        assert [200, 401] == [line["httpRequest"]["status"] for line in gateway.lines]
        assert "wrong_audience" == gateway.lines[1]["doorward"]["reason"]
        # One more says that the keys are the emulator's.
        assert 2 == len(gateway.errors.splitlines()), gateway.errors


def test_it_guards_several_services_by_their_hosts(
    emulator: Emulator, running: RunningEmulator, upstream: RawUpstream, tmp_path: Path
) -> None:
    policy = policy_file(tmp_path, f"serviceAccount:{DEFAULT_ACCOUNT}")
    with RawUpstream() as other:
        other.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nbilling"
        billing = {"upstream": f"http://127.0.0.1:{other.port}", "policy": policy, "audience": [OTHER]}
        (tmp_path / "services.json").write_text(json.dumps({"billing": billing}))
        orders = f"orders=http://127.0.0.1:{upstream.port},policy={policy},audience={AUDIENCE}"
        options = ["--service", orders, "--services", str(tmp_path / "services.json"), "--port", "0"]
        with gateway_process(running.environment(), *options) as gateway:
            for audience, text in ((AUDIENCE, "ok"), (OTHER, "billing")):
                token, host = emulator.issuer.mint(audience), audience.removeprefix("https://")
                assert text == get(gateway.url, token, host).text
                assert text == get(gateway.url, token, f"green---{host}").text
            assert 401 == get(gateway.url, emulator.issuer.mint(OTHER), AUDIENCE[8:]).status_code
            assert 404 == get(gateway.url, emulator.issuer.mint(AUDIENCE), "unknown.run.app").status_code
            gateway.stop()
            services = [line["doorward"].get("service") for line in gateway.lines]
    assert ["orders", "orders", "billing", "billing", "orders", None] == services


def test_a_policy_of_the_emulator_is_followed(
    emulator: Emulator, running: RunningEmulator, upstream: RawUpstream
) -> None:
    name = "projects/demo/locations/europe-west1/services/orders"
    service = ["--upstream", f"http://127.0.0.1:{upstream.port}", "--policy", name, "--audience", AUDIENCE]
    token = emulator.issuer.mint(AUDIENCE)

    def allow(*members: str) -> None:
        policy = {"policy": {"bindings": [{"role": "roles/run.invoker", "members": members}]}}
        set_policy = httpx.post(f"{running.url}/v2/{name}:setIamPolicy", json=policy, trust_env=False)
        assert 200 == set_policy.status_code, set_policy.text

    with gateway_process(running.environment(), *service, "--port", "0") as gateway:
        assert 403 == get(gateway.url, token).status_code
        allow(f"serviceAccount:{DEFAULT_ACCOUNT}")
        assert 200 == get(gateway.url, token).status_code
        allow()
        assert 403 == get(gateway.url, token).status_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_waits_for_the_answer_of_a_request_that_was_accepted(
    emulator: Emulator,
    running: RunningEmulator,
    upstream: RawUpstream,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    policy = policy_file(tmp_path, f"serviceAccount:{DEFAULT_ACCOUNT}")
    service = ["--upstream", f"http://127.0.0.1:{upstream.port}", "--policy", policy, "--audience", AUDIENCE]
    with gateway_process(running.environment(), *service, "--port", "0") as gateway:

        async def talk(connection: Connection) -> None:
            await connection.read_request()
            gateway.process.send_signal(number)
            await connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
            await connection.write(b"k")

        upstream.talk = talk
        port = int(gateway.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            token = emulator.issuer.mint(AUDIENCE).encode()
            client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
            received = b""
            while data := client.recv(65_536):
                received += data
        assert (200, b"ok") == head_and_body(received)[::2]
        assert 0 == gateway.process.wait(PATIENCE)
