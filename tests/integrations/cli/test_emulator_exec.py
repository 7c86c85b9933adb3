"""``doorward emulator exec``: the command's exit status, its signals, and nothing that is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import DOORWARD, PATIENCE, call, doorward, is_free, line_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="what has left its process group is found through /proc"
)
PYTHON = sys.executable
EXEC = ("emulator", "exec")
HOST = "DOORWARD_EMULATOR_HOST"

# Each process holds one end of a connection, whose other end the test has: it closes when the process ends.
HOLDING = """
import os, signal, socket, subprocess, sys, time
port, ignored, forms = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
def hold():
    held = socket.create_connection(("127.0.0.1", port))
    held.sendall(b"%d\\n" % os.getpid())
    return held
if ignored == "ignoring":
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
for form in forms:
    if os.fork() == 0:
        if form == "session":
            os.setsid()
        elif form == "group":
            os.setpgid(0, 0)
        forms = ["stay"]
        break
held = hold()
if "leave" not in forms:
    signal.pause()
"""


class Processes:
    """The connections of the processes of a command: one for each of them, for as long as it runs."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port = str(self._listener.getsockname()[1])
        self._held: list[socket.socket] = []

    def wait_for(self, number: int) -> list[int]:
        """Wait until so many are there, and return their ids."""
        pids = []
        for _ in range(number):
            held, _ = self._listener.accept()
            held.settimeout(PATIENCE)
            self._held.append(held)
            pids.append(int(held.makefile().readline()))
        return pids

    def all_gone(self) -> bool:
        """Wait until all of them have ended."""
        return all(held.recv(1) == b"" for held in self._held)

    def close(self) -> None:
        for one in (*self._held, self._listener):
            one.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """Let processes heed SIGINT, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def holding(processes: Processes, *forms: str, ignoring: bool = False) -> list[str]:
    return [PYTHON, "-c", HOLDING, processes.port, "ignoring" if ignoring else "heeding", *forms]


# What the command is given.


def test_its_exit_status_is_the_command_s() -> None:
    assert [0, 7, 255] == [
        call(*EXEC, "--", PYTHON, "-c", f"raise SystemExit({one})").returncode for one in (0, 7, 255)
    ]


def test_a_command_that_a_signal_ended_has_the_status_that_shells_give() -> None:
    assert 143 == call(*EXEC, "--", "sh", "-c", "kill -TERM $$").returncode


def test_the_command_has_the_variables_standard_output_and_arguments_as_they_are() -> None:
    code = "import json, os, sys; print(json.dumps([os.environ.get('DOORWARD_EMULATOR_HOST'), sys.argv[1:]]))"
    done = call(*EXEC, "--", PYTHON, "-c", code, "--", "--port", "a b", "$X", "")
    host, arguments = json.loads(done.stdout)

    assert (0, "") == (done.returncode, done.stderr)
    assert ["--", "--port", "a b", "$X", ""] == arguments
    assert is_free(host)


def test_the_command_reads_standard_input() -> None:
    with doorward(*EXEC, "--", "cat", stdin=subprocess.PIPE) as process:
        assert ("a line", "") == process.communicate("a line", timeout=PATIENCE)


def test_two_dashes_may_be_left_out() -> None:
    assert "1\n" == call(*EXEC, "echo", "1").stdout


def test_a_command_that_is_not_there_is_127_and_one_that_cannot_run_126(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    missing, unusable = call(*EXEC, "--", "no-such-command"), call(*EXEC, "--", str(broken))

    assert (127, "doorward emulator: no-such-command: command not found\n") == (
        missing.returncode,
        missing.stderr,
    )
    assert 126 == unusable.returncode
    assert str(broken) in unusable.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["--"], ["--grace", "-1", "--", "true"], ["--grace", "nan", "true"]]
)
def test_called_wrong_it_says_so_in_one_line(arguments: list[str]) -> None:
    done = call(*EXEC, *arguments)

    assert 2 == done.returncode
    assert 1 == done.stderr.count("\n")


def test_a_port_that_is_taken_is_said_before_the_command_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = call(*EXEC, "--port", port, "--", "touch", str(tmp_path / "started"))

    assert 2 == done.returncode
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_credentials_that_lead_to_google_are_not_passed_on_and_those_of_the_emulator_are(
    tmp_path: Path,
) -> None:
    real, emulated = tmp_path / "real.json", tmp_path / "emulated.json"
    real.write_text(json.dumps({"token_uri": "https://oauth2.googleapis.com/token"}))
    emulated.write_text(json.dumps({"token_uri": "http://127.0.0.1:8099/token"}))
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    code = f"import os; print(os.environ.get({name!r}))"
    away, kept = (
        call(*EXEC, "--", PYTHON, "-c", code, environ={name: str(file)}) for file in (real, emulated)
    )

    assert ("None\n", f"{emulated}\n") == (away.stdout, kept.stdout)
    assert f"{name} is not passed on" in away.stderr
    assert "" == kept.stderr


def test_a_proxy_meant_for_elsewhere_is_not_asked_for_this_machine() -> None:
    code = "import os; print(os.environ['NO_PROXY'], os.environ['no_proxy'])"
    done = call(*EXEC, "--", PYTHON, "-c", code, environ={"NO_PROXY": "a.example", "no_proxy": "localhost"})

    assert "a.example,127.0.0.1,localhost,::1 localhost,127.0.0.1,::1\n" == done.stdout


# Signals.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_passed_on_to_the_command_and_all_that_it_started(
    number: signal.Signals, processes: Processes
) -> None:
    with doorward(*EXEC, "--", *holding(processes, "stay", "stay")) as process:
        processes.wait_for(3)
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)

    assert 128 + number == process.returncode
    assert "doorward" not in error
    assert processes.all_gone()


def test_the_status_of_a_command_that_ends_by_itself_after_a_signal_is_its_own() -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print(os.environ['DOORWARD_EMULATOR_HOST'], flush=True)\n"
        "signal.pause()\n"
    )
    with doorward(*EXEC, "--", PYTHON, "-c", code) as process:
        host = line_of(process)
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert 5 == process.returncode
    assert is_free(host)


def test_other_signals_reach_the_command_alone() -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(6))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    with doorward(*EXEC, "--", PYTHON, "-c", code) as process:
        line_of(process)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=PATIENCE)

    assert 6 == process.returncode


def test_a_command_that_ignores_signals_is_killed_after_the_grace(processes: Processes) -> None:
    command = holding(processes, "stay", "session", ignoring=True)
    with doorward(*EXEC, "--grace", "0.3", "--", *command) as process:
        processes.wait_for(3)
        began = time.monotonic()
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert 128 + signal.SIGKILL == process.returncode
    assert time.monotonic() - began >= 0.3
    assert processes.all_gone()


def test_a_second_signal_kills_a_command_that_ignores_the_first_at_once(processes: Processes) -> None:
    with doorward(*EXEC, "--grace", "600", "--", *holding(processes, "stay", ignoring=True)) as process:
        processes.wait_for(2)
        process.terminate()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)

    assert 128 + signal.SIGKILL == process.returncode
    assert processes.all_gone()


def test_a_stopped_command_is_ended_too(processes: Processes) -> None:
    with doorward(*EXEC, "--grace", "0.3", "--", *holding(processes)) as process:
        os.kill(processes.wait_for(1)[0], signal.SIGSTOP)
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert process.returncode in {128 + signal.SIGKILL, 128 + signal.SIGTERM}
    assert processes.all_gone()


def test_what_was_started_to_survive_a_hang_up_survives_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with doorward(
            *EXEC, "--", "sh", "-c", "echo ready; read line; exit 4", stdin=subprocess.PIPE
        ) as process:
            line_of(process)
            process.send_signal(signal.SIGHUP)
            process.communicate("\n", timeout=PATIENCE)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert 4 == process.returncode


# What is left behind: nothing.


@needs_proc
@pytest.mark.parametrize("form", ["stay", "group", "session"])
def test_what_the_command_leaves_behind_is_ended(form: str, processes: Processes) -> None:
    with doorward(*EXEC, "--", *holding(processes, form, "leave")) as process:
        # The last of the forms leaves at once, in both processes that have it.
        processes.wait_for(3)
        process.communicate(timeout=PATIENCE)

    assert 0 == process.returncode
    assert processes.all_gone()


@needs_proc
@pytest.mark.parametrize("ignoring", [False, True])
def test_nothing_is_left_when_exec_itself_is_killed(processes: Processes, *, ignoring: bool) -> None:
    command = holding(processes, "stay", "group", "session", ignoring=ignoring)
    with doorward(*EXEC, "--grace", "0.3", "--", *command) as process:
        processes.wait_for(4)
        process.kill()
        process.communicate(timeout=PATIENCE)  # also the guard has closed what it had of the output

    assert processes.all_gone()


def test_when_exec_is_killed_the_file_of_the_authority_goes_too(processes: Processes, tmp_path: Path) -> None:
    command = holding(processes)
    with doorward(*EXEC, "--intercept", "--", *command, environ={"TMPDIR": str(tmp_path)}) as process:
        processes.wait_for(1)
        assert 1 == len(list(tmp_path.iterdir()))
        process.kill()
        assert processes.all_gone()
        end = time.monotonic() + PATIENCE
        while list(tmp_path.iterdir()) and time.monotonic() < end:
            pass

    assert [] == list(tmp_path.iterdir())


def test_an_orderly_end_leaves_no_guard_and_no_file(tmp_path: Path) -> None:
    code = "import os; print(os.environ['SSL_CERT_FILE'])"
    done = call(*EXEC, "--intercept", "--", PYTHON, "-c", code, environ={"TMPDIR": str(tmp_path)})

    assert done.stdout.startswith(str(tmp_path))
    assert [] == list(tmp_path.iterdir())


def test_the_command_has_no_child_that_it_does_not_know_of() -> None:
    code = "import os\ntry:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError:\n    print('none')"
    done = call(*EXEC, "--", PYTHON, "-c", code)

    assert "none\n" == done.stdout


def test_the_command_has_the_default_handling_of_signals_and_no_further_file() -> None:
    code = (
        "import os, signal\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "print(sorted(os.listdir('/dev/fd'))[:3], len(os.listdir('/dev/fd')))\n"
    )
    done = call(*EXEC, "--", PYTHON, "-c", code)

    assert "True\n['0', '1', '2'] 4\n" == done.stdout  # the fourth reads the folder
    ignored = call(*EXEC, "--", "sh", "-c", "grep SigIgn /proc/$$/status || true").stdout
    assert "" == ignored or 0 == int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1))


# In a terminal.


@contextlib.contextmanager
def in_terminal(*arguments: str) -> Iterator[tuple[int, int]]:
    """Run exec in the foreground of a terminal of its own; return its process id and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(DOORWARD[0], [*DOORWARD, *EXEC, *arguments])
    try:
        yield pid, terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], PATIENCE)[0], seen
        seen += os.read(terminal, 4096)
    return seen


def test_in_a_terminal_the_command_reads_from_it_and_ctrl_c_reaches_it() -> None:
    code = (
        "import signal\n"
        "print('got ' + input())\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    signal.pause()\n"
        "except KeyboardInterrupt:\n"
        "    raise SystemExit(9)\n"
    )
    with in_terminal("--", PYTHON, "-c", code) as (pid, terminal):
        os.write(terminal, b"a line\n")
        assert b"got a line" in read_until(terminal, b"ready")  # both may come in one piece
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)

    assert 9 == os.waitstatus_to_exitcode(status)
