"""``doorward emulator key``: writes a key file of a service account, for clients that are given one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

from doorward.errors import ConfigurationError
from doorward_integrations.cli.running import add_running_arguments, running_of

__all__ = ["HELP", "add_arguments", "run"]

HELP: Final = "write a service-account key file for the emulator that is running"

_MODE: Final = 0o600


def add_arguments(parser: ArgumentParser) -> None:
    """Add the account, the file, and where the emulator is.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument("account", metavar="EMAIL", help="the service account")
    parser.add_argument(
        "--out", metavar="FILE", help="the file to write (default: the part of EMAIL before the @, and .json)"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    add_running_arguments(parser)


def run(chosen: Namespace, out: TextIO, stdin: TextIO) -> int:
    """Have a key made, and write its file.

    Args:
        chosen: The parsed arguments.
        out: Where the name of the file is printed, and nothing of the key.
        stdin: Not read.

    Returns:
        0.

    Raises:
        ConfigurationError: If no emulator is running there, it makes no key for that account, or the file is
            there or cannot be written.
    """
    del stdin
    name, at, _ = chosen.account.partition("@")
    if not (name and at) or "/" in chosen.account:
        raise ConfigurationError(f"{chosen.account!r} is no e-mail address of a service account")
    path = Path(chosen.out or f"{name}.json")
    if path.exists() and not chosen.force:  # before a key is made that would be of no use
        raise ConfigurationError(f"{path} is there already: choose another --out, or replace it with --force")
    key = running_of(chosen).post(f"/doorward/v1/accounts/{quote(chosen.account, safe='@')}/keys", {})
    _write(path, json.dumps(key, indent=2) + "\n", replace=chosen.force)
    print(path, file=out)
    return 0


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write a file that only its owner may read: whole, or not at all."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.chmod(temporary, _MODE)  # noqa: PTH101 - of the name that mkstemp gave
                file.write(text)
            if replace:
                Path(temporary).replace(path)
            else:
                os.link(temporary, path)  # unlike a rename, it fails if a file has come there meanwhile
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108 - as above
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
