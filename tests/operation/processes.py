"""Real uvicorn, as a process of its own, started and stopped around a block."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["uvicorn"]

PATIENCE = 20.0
_TESTS = Path(__file__).resolve().parents[1]
_RUNNING = re.compile(rb"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@contextlib.contextmanager
def uvicorn(
    target: str, environ: Mapping[str, str], *options: str, folder: Path | None = None
) -> Iterator[str]:
    """Serve an ASGI application with uvicorn, as a process of its own; yields its base URL.

    Args:
        target: The application, as on uvicorn's command line.
        environ: Variables to set in its environment.
        options: Further options of its command line.
        folder: Where it runs; where the tests are by default.
    """
    path = os.pathsep.join([str(_TESTS), *filter(None, sys.path)])
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--port", "0", "--no-access-log", *options, target],
            cwd=folder or _TESTS,
            env={**os.environ, "PYTHONPATH": path, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            until = time.monotonic() + PATIENCE
            while (found := _RUNNING.search(_text(log.fileno()))) is None:
                assert process.poll() is None, _text(log.fileno())
                assert time.monotonic() < until, _text(log.fileno())
                time.sleep(0.02)
            yield found[1].decode()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _text(descriptor: int) -> bytes:
    return os.pread(descriptor, 1_000_000, 0)
