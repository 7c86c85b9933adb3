"""``doorward gateway`` as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["GatewayProcess", "free_port", "gateway_process"]

PATIENCE = 30.0
_SERVES = re.compile(r"serves at (http://\S+);")


class GatewayProcess:
    """One run of the command.

    Attributes:
        url: Where it serves.
        process: The process.
    """

    def __init__(self, process: subprocess.Popen[bytes], out: Path, error: Path) -> None:
        self.process = process
        self._out = out
        self._error = error
        until = time.monotonic() + PATIENCE
        while (found := _SERVES.search(error.read_text())) is None:
            assert process.poll() is None, error.read_text()
            assert time.monotonic() < until, error.read_text()
            time.sleep(0.02)
        self.url: str = found[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its access log so far."""
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        return self._error.read_text()


@contextlib.contextmanager
def gateway_process(environ: Mapping[str, str], *options: str) -> Iterator[GatewayProcess]:
    """Run ``doorward gateway`` until the block ends."""
    path = os.pathsep.join(filter(None, sys.path))
    script = "import sys; from doorward_integrations.cli.main import main; sys.exit(main())"
    with tempfile.TemporaryDirectory() as folder:
        out, error = Path(folder, "out"), Path(folder, "error")
        with out.open("wb") as out_file, error.open("wb") as error_file:
            process = subprocess.Popen(
                [sys.executable, "-c", script, "gateway", *options],
                env={**os.environ, "PYTHONPATH": path, **environ},
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=error_file,
            )
        try:
            yield GatewayProcess(process, out, error)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
