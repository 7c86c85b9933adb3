"""``doorward emulator exec``: starts the emulator, runs a command in its environment, and stops it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from doorward.errors import ConfigurationError
from doorward.hostport import is_on_this_machine
from doorward.regular_file import read_regular_file
from doorward_integrations.cli.serving import add_emulator_arguments, emulator_of

if TYPE_CHECKING:
    from doorward_integrations.emulator import RunningEmulator
    from doorward_integrations.emulator.intercept import Intercept

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "start, run a command that uses the emulator, stop: its exit status is the command's"

_NOT_FOUND: Final = 127
_CREDENTIALS: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_LARGEST_FILE: Final = 64 * 1024
_DIRECT: Final = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command, how it is run, and what describes the emulator.

    Args:
        parser: The parser of the command.
    """
    parser.usage = "doorward emulator exec [OPTIONS] -- COMMAND ..."
    parser.add_argument("--port", type=int, default=0, help="the port of 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--intercept",
        action="store_true",
        help="answer for Google's hosts too, for clients whose addresses are fixed; refuse all other hosts",
    )
    parser.add_argument(
        "--offline", action="store_true", help="as --intercept, and say at the end what was refused"
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long the command may take to end after a signal (default: %(default)s)",
    )
    add_emulator_arguments(parser)
    parser.add_argument("arguments", nargs=REMAINDER, metavar="COMMAND", help="the command, after --")


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Run a command with an emulator of its own.

    Args:
        chosen: The parsed arguments.
        out: Not written to: standard output is the command's.
        stdin: Not read: standard input is the command's.

    Returns:
        The exit status of the command; 128 and the number of a signal that ended it; 127 if it is not there.

    Raises:
        ConfigurationError: If there is no command, or another argument cannot work.
    """
    del out, stdin
    command = chosen.arguments[1:] if chosen.arguments[:1] == ["--"] else chosen.arguments
    if not command:
        raise ConfigurationError("exec needs a command: doorward emulator exec -- COMMAND")
    if not 0 <= chosen.grace < float("inf"):
        raise ConfigurationError(f"--grace {chosen.grace} must be 0 seconds or more")
    if shutil.which(command[0]) is None:
        print(f"doorward emulator: {command[0]}: command not found", file=sys.stderr)
        return _NOT_FOUND
    from doorward_integrations.cli.child.child import run_child  # noqa: PLC0415 - not on Windows

    with emulator_of(chosen).serve(port=chosen.port) as running:
        with _intercepted(running, wanted=chosen.intercept or chosen.offline) as intercept:
            environ = _environ(os.environ, running.environment(), intercept)
            rubbish = [] if intercept is None else [str(intercept.bundle)]
            status = run_child(command, environ, grace=chosen.grace, rubbish=rubbish)
        if chosen.offline and intercept is not None:
            _report(intercept.refused)
    return status


@contextlib.contextmanager
def _intercepted(running: RunningEmulator, *, wanted: bool) -> Iterator[Intercept | None]:
    if not wanted:
        yield None
        return
    from doorward_integrations.emulator.intercept import Intercept  # noqa: PLC0415 - only where it is wanted

    with Intercept(running) as intercept:
        yield intercept


def _environ(
    outer: Mapping[str, str], variables: Mapping[str, str], intercept: Intercept | None
) -> dict[str, str]:
    """Return the environment of the command: what leads to Google elsewhere is not in it."""
    environ = {**outer, **variables}
    if _CREDENTIALS in environ and not _is_emulated(environ[_CREDENTIALS]):
        del environ[_CREDENTIALS]
        print(
            f"doorward emulator: {_CREDENTIALS} is not passed on: it leads to Google itself", file=sys.stderr
        )
    if intercept is not None:
        return environ | intercept.environment()
    for name in ("NO_PROXY", "no_proxy"):  # a proxy meant for elsewhere does not reach this machine
        given = [one for one in environ.get(name, "").split(",") if one.strip()]
        environ[name] = ",".join([*given, *(one for one in _DIRECT if one not in given)])
    return environ


def _is_emulated(name: str) -> bool:
    """Return whether a file of credentials leads to this machine, as those of ``doorward emulator key``."""
    try:
        address = json.loads(read_regular_file(Path(name), _LARGEST_FILE))["token_uri"]
        host = str(address).removeprefix("http://").partition("/")[0]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_on_this_machine(host)


def _report(refused: Mapping[str, int]) -> None:
    """Say what was refused, on standard error: standard output is the command's."""
    if not refused:
        print("doorward emulator: nothing was refused", file=sys.stderr)
    for name, times in refused.items():
        print(f"doorward emulator: refused {name}, {times} times", file=sys.stderr)
