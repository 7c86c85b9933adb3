"""How a signal ends a command: real processes, which close what they have opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward_integrations.cli.main import main
from doorward_integrations.cli.signals import EndedBySignal, ending_in_order
from doorward_integrations.emulator import LoopbackServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
PATIENCE = 20.0

# A command of the test's own, which says what it has left in order.
COMMAND = """
import contextlib, sys, time
from doorward_integrations.emulator import LoopbackServer
HELP = "hold"
def add_arguments(parser):
    parser.add_argument("--hang", action="store_true")
async def app(scope, receive, send):
    pass
@contextlib.contextmanager
def held(chosen, out):
    try:
        yield
    finally:
        print("leaving", file=out, flush=True)
        if chosen.hang:
            time.sleep(600)
        print("left", file=out, flush=True)
def run(chosen, out, stdin):
    with held(chosen, out), LoopbackServer(app) as server:
        print("port", server.port, file=out, flush=True)
        time.sleep(600)
    return 7
"""
PROGRAM = """
import sys
from doorward_integrations.cli import commands
from doorward_integrations.cli.main import main
commands.__path__ = [*commands.__path__, sys.argv.pop(1)]
sys.exit(main())
"""


@contextlib.contextmanager
def running(
    folder: Path, *arguments: str, ignore: signal.Signals | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run the command line in a process of its own, which is killed if it does not end."""
    command = [sys.executable, "-c", PROGRAM, str(folder), *arguments]
    before = signal.signal(ignore, signal.SIG_IGN) if ignore is not None else None
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        if ignore is not None:
            signal.signal(ignore, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """Let the commands heed the signals, also where the tests run in the background, which ignores SIGINT."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hold.py").write_text(COMMAND)
    return tmp_path


def line_of(process: subprocess.Popen[str], start: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise AssertionError(process.communicate()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_every_with_statement_and_closes_the_servers(
    folder: Path, number: signal.Signals
) -> None:
    with running(folder, "hold") as process:
        port = int(line_of(process, "port").split()[1])
        process.send_signal(number)
        output, error = process.communicate(timeout=PATIENCE)

    assert (128 + number, "leaving\nleft\n", "") == (process.returncode, output, error)
    assert is_free(port)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_emulator_with_0(folder: Path, number: signal.Signals) -> None:
    with running(folder, "emulator", "start", "--port", "0") as process:
        port = int(line_of(process, "listening on").rpartition(":")[2])
        assert not is_free(port)
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)

    assert (0, "") == (process.returncode, error)
    assert is_free(port)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_demo_in_order_and_not_as_a_success(folder: Path, number: signal.Signals) -> None:
    with running(folder, "demo") as process:
        port = int(line_of(process, "Emulator at").partition(";")[0].rpartition(":")[2])
        process.send_signal(number)
        output, error = process.communicate(timeout=PATIENCE)

    assert 128 + number == process.returncode
    assert "as expected, in" not in output
    assert "Traceback" not in error
    assert is_free(port)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_that_waits_for_its_input(folder: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(folder), "verify", "--audience", "https://a.example", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        end = time.monotonic() + PATIENCE
        status = Path(f"/proc/{process.pid}/status")
        if not status.exists():
            pytest.skip("what signals a process handles is read from /proc")
        while not handles(status, number) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)

    assert (128 + number, b"") == (process.returncode, error)


def handles(status: Path, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal, and for SIGTERM, for which Python sets none."""
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    mask = int(caught.split()[1], 16)
    return all(mask >> (one - 1) & 1 for one in (number, signal.SIGTERM))


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_command_that_hangs_at_once(folder: Path, second: signal.Signals) -> None:
    with running(folder, "hold", "--hang") as process:
        line_of(process, "port")
        process.send_signal(signal.SIGTERM)
        line_of(process, "leaving")
        process.send_signal(second)
        process.communicate(timeout=PATIENCE)

    assert -second == process.returncode


def test_a_hang_up_that_follows_does_not_break_the_order(folder: Path) -> None:
    with running(folder, "hold") as process:
        line_of(process, "port")
        process.send_signal(signal.SIGTERM)
        line_of(process, "leaving")
        process.send_signal(signal.SIGHUP)
        line_of(process, "left")
        process.communicate(timeout=PATIENCE)

    assert 128 + signal.SIGTERM == process.returncode


def test_what_was_started_to_survive_a_hang_up_survives_it(folder: Path) -> None:
    with running(folder, "hold", ignore=signal.SIGHUP) as process:
        line_of(process, "port")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert 128 + signal.SIGTERM == process.returncode


def test_a_signal_while_a_server_starts_stops_it() -> None:
    started = threading.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        started.set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(600)

    server = LoopbackServer(app)
    before = {one: signal.getsignal(one) for one in SIGNALS}
    try:
        with pytest.raises(EndedBySignal) as ended, ending_in_order():
            server.start()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

    assert 143 == ended.value.status
    assert started.is_set()
    assert "LoopbackServer(stopped)" == repr(server)


def test_after_a_command_has_ended_the_handlers_are_as_they_were() -> None:
    before = [signal.getsignal(one) for one in SIGNALS]

    with ending_in_order():
        assert before != [signal.getsignal(one) for one in SIGNALS]
    with contextlib.suppress(ValueError), ending_in_order():
        raise ValueError

    assert before == [signal.getsignal(one) for one in SIGNALS]


def test_in_another_thread_a_command_changes_no_handler() -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    statuses: list[int] = []
    thread = threading.Thread(
        target=lambda: statuses.append(main(["emulator", "start", "--account", "a@example.com"]))
    )
    thread.start()
    thread.join(PATIENCE)

    assert [2] == statuses
    assert before == [signal.getsignal(one) for one in SIGNALS]
