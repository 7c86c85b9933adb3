"""Servers as processes on a core of their own: how they are started and stopped, and their CPU time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

__all__ = ["Server", "free_port"]

_PATIENCE: Final = 60.0
"""Seconds that a server has to start, or to end."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """Return a port of loopback on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server, with the processes that it has started."""

    def __init__(
        self, command: Sequence[str], port: int, core: int, environ: Mapping[str, str], log: Path
    ) -> None:
        """Start the server; `wait` returns once it listens.

        Args:
            command: The command.
            port: The port that it listens on.
            core: The core of the server, and of all threads and processes that it starts.
            environ: Variables to add to its environment.
            log: The file for all that it prints.
        """
        self.port = port
        self.log = log
        mine = os.sched_getaffinity(0)
        # A child starts on the core of its parent. A core that is set afterwards would not apply to threads
        # that it has started already.
        os.sched_setaffinity(0, {core})
        try:
            with log.open("wb") as out:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environ},
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, mine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self) -> None:
        """Wait until the server accepts connections.

        Raises:
            RuntimeError: If it ends instead, or takes too long; with the end of its log.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            if self.process.poll() is not None or time.monotonic() > until:
                printed = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{' '.join(self.process.args)} did not start:\n{printed}")  # type: ignore[arg-type]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def members(self) -> list[int]:
        """Return the ids of the processes of its process group."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                # The name, in brackets, may hold blanks; state, parent and group follow it.
                if int(stat.rpartition(")")[2].split()[2]) == self.process.pid:
                    found.append(int(entry.name))
        return sorted(found)

    def settle(self) -> None:
        """Wait until the server is idle: a load generator leaves unanswered requests behind."""
        until = time.monotonic() + _PATIENCE
        pids = self.members()
        used = cpu_time(pids)
        while time.monotonic() < until:
            time.sleep(0.01)
            before, used = used, cpu_time(pids)
            if used - before < 1_000_000:
                return
        raise RuntimeError(f"{' '.join(self.process.args)} did not become idle")  # type: ignore[arg-type]

    def stop(self) -> None:
        """End the server and all processes that it has started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_PATIENCE)


def cpu_time(pids: Sequence[int]) -> int:
    """Return the CPU time of some processes, their ended threads included: nanoseconds, user and kernel."""
    return sum(_cpu_time(pid) for pid in pids)


def _cpu_time(pid: int) -> int:
    clock = ctypes.c_int()
    if (error := _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))) != 0:
        raise OSError(error, os.strerror(error), f"process {pid}")
    return time.clock_gettime_ns(clock.value)
