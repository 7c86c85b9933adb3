"""The command line in processes of its own, which are killed if they do not end; nothing sleeps."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PATIENCE = 30.0
DOORWARD = [
    sys.executable,
    "-c",
    "import sys; from doorward_integrations.cli.main import main; sys.exit(main())",
]


@contextlib.contextmanager
def doorward(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    program: list[str] | None = None,
    **settings: Any,
) -> Iterator[subprocess.Popen[str]]:
    """Run ``doorward`` with these arguments."""
    pipes: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(
        [*(program or DOORWARD), *arguments],
        env={**os.environ, **(environ or {})},
        text=True,
        **pipes | settings,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def call(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``doorward`` with these arguments to its end."""
    with doorward(*arguments, environ=environ) as process:
        out, error = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(arguments, process.returncode, out, error)


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for a line of the output, and return it."""
    assert process.stdout is not None
    killer = threading.Timer(PATIENCE, process.kill)
    killer.start()
    try:
        line = process.stdout.readline().rstrip("\n")
    finally:
        killer.cancel()
    assert line, process.communicate()[1]
    return line


def read_fifo(path: Path) -> str:
    """Wait until a process writes to a named pipe, and all that have it open have closed it."""
    with path.open(encoding="utf-8") as pipe:
        return pipe.read()


@contextlib.contextmanager
def emulator(*arguments: str, **settings: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run an emulator on a free port, and return its process with what it says when it is ready."""
    with doorward("emulator", "start", "--port", "0", "--json", *arguments, **settings) as process:
        yield process, json.loads(line_of(process))


def is_free(host: str) -> bool:
    """Return whether nothing listens at a ``HOST:PORT``."""
    name, _, port = host.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((name, int(port))) != 0
