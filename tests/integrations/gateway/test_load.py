"""Large bodies, slow readers and idle websockets: what the gateway holds does not grow with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator
from support.gateway import PATIENCE, Connection, RawUpstream
from support.gateway_process import GatewayProcess, gateway_process
from support.servers import asgi_server
from support.tokens import AUDIENCE

MIB = 1024 * 1024
GIB = 1024 * MIB
PIECE = bytes(256 * 1024)
MOST = 100 * MIB
SOCKETS = 1_000

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@pytest.fixture
def emulator() -> Iterator[tuple[str, dict[str, str]]]:
    emulator = Emulator()
    with emulator.serve() as running:
        yield emulator.issuer.mint(AUDIENCE), running.environment()


@contextlib.contextmanager
def gateway_before(
    url: str, environ: dict[str, str], folder: Path, *options: str
) -> Iterator[GatewayProcess]:
    bindings = [{"role": "roles/run.invoker", "members": [f"serviceAccount:{DEFAULT_ACCOUNT}"]}]
    (folder / "policy.json").write_text(json.dumps({"bindings": bindings}))
    behind = [
        "--upstream",
        url,
        "--policy",
        str(folder / "policy.json"),
        "--audience",
        AUDIENCE,
        "--port",
        "0",
    ]
    with gateway_process(environ, *behind, *options) as gateway:
        yield gateway


def memory(gateway: GatewayProcess, field: str = "VmHWM") -> int:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def connected(gateway: GatewayProcess, token: str, line: str, *headers: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), PATIENCE)
    sent = [line, "Host: a.test", f"Authorization: Bearer {token}", *headers, "", ""]
    client.sendall("\r\n".join(sent).encode())
    return client


def read_length(client: socket.socket) -> int:
    received = 0
    while data := client.recv(MIB):
        received += len(data)
    return received


@linux
def test_a_gibibyte_comes_back_within_a_bound_of_memory(
    emulator: tuple[str, dict[str, str]], upstream: RawUpstream, tmp_path: Path
) -> None:
    async def talk(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIB)
        for _ in range(GIB // len(PIECE)):
            await connection.write(PIECE)

    upstream.talk = talk
    with gateway_before(f"http://127.0.0.1:{upstream.port}", emulator[1], tmp_path) as gateway:
        with connected(gateway, emulator[0], "GET / HTTP/1.1", "Connection: close") as client:
            assert GIB < read_length(client)
        assert memory(gateway) < MOST


@linux
def test_a_gibibyte_goes_up_within_a_bound_of_memory(
    emulator: tuple[str, dict[str, str]], upstream: RawUpstream, tmp_path: Path
) -> None:
    received = 0

    async def talk(connection: Connection) -> None:
        nonlocal received
        await connection.read_head()
        while received < GIB:
            received += len(await connection.read_some())
            connection.received = b""
        await connection.write(upstream.answer)

    upstream.talk = talk
    with gateway_before(f"http://127.0.0.1:{upstream.port}", emulator[1], tmp_path) as gateway:
        length = f"Content-Length: {GIB}"
        with connected(gateway, emulator[0], "PUT / HTTP/1.1", "Connection: close", length) as client:
            for _ in range(GIB // len(PIECE)):
                client.sendall(PIECE)
            assert client.recv(MIB).startswith(b"HTTP/1.1 200 ")
        assert GIB == received
        assert memory(gateway) < MOST


@linux
def test_a_reader_that_reads_nothing_stops_the_upstream_and_costs_no_memory(
    emulator: tuple[str, dict[str, str]], upstream: RawUpstream, tmp_path: Path
) -> None:
    written, halted = 0, threading.Event()

    async def talk(connection: Connection) -> None:
        nonlocal written
        await connection.read_request()
        await connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIB)
        while True:
            try:
                async with asyncio.timeout(1):
                    await connection.write(PIECE)
            except TimeoutError:
                halted.set()
                return
            written += len(PIECE)

    upstream.talk = talk
    with (
        gateway_before(f"http://127.0.0.1:{upstream.port}", emulator[1], tmp_path) as gateway,
        connected(gateway, emulator[0], "GET / HTTP/1.1", "Connection: close"),
    ):
        assert halted.wait(PATIENCE)
        # The buffers of the kernel hold some megabytes for each of the two connections.
        assert written < 64 * MIB
        assert memory(gateway) < MOST


@linux
def test_a_thousand_idle_websockets_are_held(emulator: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - on Linux

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * SOCKETS:
        pytest.skip(f"{hard} open files are allowed: four for each websocket are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * SOCKETS, hard))
    token, environ = emulator

    async def echo(scope: dict[str, str], receive: object, send: object) -> None:
        if scope["type"] == "websocket":
            await receive()  # type: ignore[operator]
            await send({"type": "websocket.accept"})  # type: ignore[operator]
            while (message := await receive())["type"] == "websocket.receive":  # type: ignore[operator]
                await send({"type": "websocket.send", "text": message["text"]})  # type: ignore[operator]

    async def hold(gateway: GatewayProcess) -> int:
        async with contextlib.AsyncExitStack() as stack:
            opened = []
            for _ in range(SOCKETS):
                headers = {"Authorization": f"Bearer {token}"}
                url = gateway.url.replace("http", "ws")
                opening = connect(
                    url, additional_headers=headers, open_timeout=60, ping_interval=None, proxy=None
                )
                opened.append(await stack.enter_async_context(opening))
            held = memory(gateway, "VmRSS")
            for socket in opened:
                await socket.send("still here")
            assert {"still here"} == {await socket.recv() for socket in opened}
            return held

    try:
        with asgi_server(echo) as url, gateway_before(url, environ, tmp_path) as gateway:  # type: ignore[arg-type]
            before = memory(gateway, "VmRSS")
            assert asyncio.run(hold(gateway)) - before < MOST
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
