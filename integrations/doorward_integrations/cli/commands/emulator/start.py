"""``doorward emulator start``: serves the emulator on a port of this machine, until a signal ends it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from doorward.errors import ConfigurationError
from doorward_integrations.cli.serving import DEFAULT_PORT, add_emulator_arguments, emulator_of
from doorward_integrations.cli.signals import EndedBySignal

__all__ = ["HELP", "add_arguments", "run", "serve"]

HELP: Final = "serve until SIGINT or SIGTERM, and say on one line when it is ready"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the port, how it says that it is ready, and what describes the emulator.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="the port of 127.0.0.1 to listen on; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="say that it is ready as one line of JSON")
    parser.add_argument(
        "--ready-file", metavar="PATH", help="a file to write the same JSON to; removed at the end"
    )
    add_emulator_arguments(parser)


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        chosen: The parsed arguments.
        out: Where it says that it is ready.
        stdin: Not read.

    Returns:
        The exit status, 0: a signal ends it as it should.

    Raises:
        ConfigurationError: If the port is taken, or another argument cannot work.
    """
    del stdin
    with contextlib.suppress(EndedBySignal):
        serve(chosen, out, threading.Event())
    return 0


def serve(chosen: Namespace, out: TextIO, stop: threading.Event) -> None:
    """Serve the emulator, and say when it is ready.

    Args:
        chosen: The parsed arguments.
        out: Where to say so.
        stop: Ends it when set.

    Raises:
        ConfigurationError: If the port is taken, or another argument cannot work.
    """
    emulator = emulator_of(chosen)
    with emulator.serve(port=chosen.port) as running:
        ready = {
            "url": running.url,
            "host": running.host,
            "pid": os.getpid(),
            "account": emulator.accounts.default.email,
        }
        with _ready_file(chosen.ready_file, json.dumps(ready)):
            line = json.dumps(ready) if chosen.json else f"listening on {running.url}"
            print(line, file=out, flush=True)
            stop.wait()


@contextlib.contextmanager
def _ready_file(name: str | None, text: str) -> Iterator[None]:
    """Write a file whole or not at all, and remove it at the end if it is still this one."""
    if name is None:
        yield
        return
    path = Path(name)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
        Path(temporary).replace(path)
    except OSError as error:
        raise ConfigurationError(f"--ready-file {name}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8") == f"{text}\n":
                path.unlink()
