"""Servers as processes: started on a core of their own, waited for, asked for their CPU time, and stopped."""

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
"""Seconds that a server has to come up, or to go."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """Find a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server, with the processes that it has made."""

    def __init__(
        self, command: Sequence[str], port: int, core: int, environ: Mapping[str, str], log: Path
    ) -> None:
        """Start it; `wait` until it listens.

        Args:
            command: What to run.
            port: Where it listens.
            core: Where it runs, with all threads and processes that it makes.
            environ: What it finds in its environment, besides ours.
            log: Where all goes that it prints.
        """
        self.port = port
        self.log = log
        mine = os.sched_getaffinity(0)
        # A child starts where its parent is; set afterwards, threads that it has made already would be left
        # out.
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
        """Wait until it takes connections.

        Raises:
            RuntimeError: If it ends instead, or takes too long; with what it has printed.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            if self.process.poll() is not None or time.monotonic() > until:
                printed = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{' '.join(self.process.args)} did not come up:\n{printed}")  # type: ignore[arg-type]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def members(self) -> list[int]:
        """Give the processes of its group, which is its own."""
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
        """Wait until it has nothing left to do: a load generator leaves requests behind when it goes."""
        until = time.monotonic() + _PATIENCE
        pids = self.members()
        used = cpu_time(pids)
        while time.monotonic() < until:
            time.sleep(0.01)
            before, used = used, cpu_time(pids)
            if used - before < 1_000_000:
                return
        raise RuntimeError(f"{' '.join(self.process.args)} does not come to rest")  # type: ignore[arg-type]

    def stop(self) -> None:
        """End it and all that it has started, whatever they are at."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_PATIENCE)


def cpu_time(pids: Sequence[int]) -> int:
    """Add up the CPU time of processes, with threads that are gone: nanoseconds, in user code and kernel."""
    return sum(_cpu_time(pid) for pid in pids)


def _cpu_time(pid: int) -> int:
    clock = ctypes.c_int()
    if (error := _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))) != 0:
        raise OSError(error, os.strerror(error), f"process {pid}")
    return time.clock_gettime_ns(clock.value)
