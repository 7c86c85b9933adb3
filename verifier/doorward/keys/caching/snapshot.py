"""A key set on disk: a process that starts while the endpoint is away, or slow, has keys at once.

What is read from disk is believed no more than what is read from the network: it goes through the same
parser, and only a file that no other user can have written is read. A file that is wrong in any way counts as
no file, after a warning.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from doorward.errors import ConfigurationError
from doorward.keys.http.freshness import LONGEST_FRESH, Freshness, Validators
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["Snapshot", "SnapshotFile"]

_log: Final = logging.getLogger("doorward.keys")

_FORMAT: Final = 1
_LIMIT: Final = 512 * 1024  # bytes of the file: a body of at most 256 KiB in base64, and a little more
_AHEAD: Final = 300.0  # seconds by which the clock of the process that wrote it may have been ahead
_LONGEST_DEAD_AFTER: Final = 1e12  # seconds: infinity is allowed as a setting, and is not JSON
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A good answer of a key endpoint, as it is kept.

    Attributes:
        url: The endpoint.
        body: The body of its answer.
        confirmed_at_wall: When the endpoint last confirmed it, in seconds since the epoch.
        freshness: For how long it may be used from then on.
        validators: For a conditional request.
    """

    url: str
    body: bytes
    confirmed_at_wall: float
    freshness: Freshness
    validators: Validators


class _UnusableError(Exception):
    """A file that is not used; never leaves this module."""


class SnapshotFile:
    """Reads and writes the snapshot of one endpoint."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file. It need not exist, but its folder must.

        Args:
            path: Where it is kept. On Cloud Run, ``/tmp`` is in the memory of one instance; a mounted volume
                outlives the instance.

        Raises:
            ConfigurationError: If no file can have that name.
        """
        # Not pathlib: it is slow to import, and a start from a snapshot is meant to be quick.
        self._path: Final = os.fspath(path)
        if os.path.basename(self._path) in ("", ".", "..") or "\0" in self._path:  # noqa: PTH119 - as above
            raise ConfigurationError(f"snapshot={os.fspath(path)!r} must be the path of a file")

    def __repr__(self) -> str:
        """Show the path."""
        return f"SnapshotFile({self._path!r})"

    def load(self, url: str, wall: float) -> Snapshot | None:
        """Read the snapshot, if it can be believed.

        Args:
            url: The endpoint that it must be of.
            wall: The time, in seconds since the epoch.

        Returns:
            The snapshot; None if there is no file, or none that may be used. Then a warning says why.
        """
        try:
            return self._checked(self._read(), url, wall)
        except FileNotFoundError:
            return None
        except (_UnusableError, OSError, StrictJSONError) as error:
            _log.warning("the key snapshot %s is not used: %s", self._path, error)
            return None

    def _read(self) -> bytes:
        # Links are not followed, and the checks are on the file that was opened: its name may change hands.
        with open(self._path, "rb", opener=_open_plainly) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _UnusableError("it is not a regular file")
            if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
                raise _UnusableError("it belongs to another user")
            if os.name == "posix" and status.st_mode & _OTHERS_MAY_WRITE:
                raise _UnusableError("others may write to it: its mode must be 0600")
            content = file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise _UnusableError(f"it is over {_LIMIT} bytes")
        return content

    @staticmethod
    def _checked(content: bytes, url: str, wall: float) -> Snapshot:
        document = read_object(content)
        kept = document.get("snapshot")
        if document.get("format") != _FORMAT or not isinstance(kept, Mapping) or not _is_flat(kept):
            raise _UnusableError("it has another format")
        if document.get("sha256") != _digest(kept):
            raise _UnusableError("its digest does not fit: it is damaged")
        if kept.get("url") != url:
            raise _UnusableError("it is of another key endpoint")
        confirmed_at, stale_after, dead_after = (
            _number(kept, name) for name in ("confirmed_at", "stale_after", "dead_after")
        )
        validators = Validators(_header(kept, "etag"), _header(kept, "last_modified"))
        if confirmed_at > wall + _AHEAD:
            raise _UnusableError("it is from the future: compare the clocks")
        # An answer of the endpoint is not fresh for longer either.
        if not 0 <= stale_after <= min(dead_after, LONGEST_FRESH):
            raise _UnusableError("its bounds are out of range")
        if wall - confirmed_at >= dead_after:
            raise _UnusableError(f"it is {wall - confirmed_at:.0f} s old, too old to be used")
        return Snapshot(url, _body(kept), confirmed_at, Freshness(stale_after, dead_after), validators)

    def store(self, snapshot: Snapshot) -> None:
        """Write a snapshot whole or not at all. A failure is logged as a warning: the cache works without.

        Args:
            snapshot: The snapshot.
        """
        kept = {
            "url": snapshot.url,
            "body": base64.b64encode(snapshot.body).decode(),
            "confirmed_at": snapshot.confirmed_at_wall,
            "stale_after": snapshot.freshness.stale_after,
            "dead_after": min(snapshot.freshness.dead_after, _LONGEST_DEAD_AFTER),
            "etag": snapshot.validators.etag,
            "last_modified": snapshot.validators.last_modified,
        }
        document = {"format": _FORMAT, "snapshot": kept, "sha256": _digest(kept)}
        try:
            self._write(json.dumps(document, indent=1).encode())
        except OSError as error:
            _log.warning("the key snapshot %s was not written: %s", self._path, error)

    def _write(self, content: bytes) -> None:
        # mkstemp makes the file with mode 0600. A reader sees the old file or the new one, never a part of
        # one.
        import tempfile  # noqa: PLC0415 - slow to import, and a start only reads

        folder, name = os.path.split(self._path)
        descriptor, name = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, self._path)  # noqa: PTH105 - pathlib is slow to import
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - as above
            raise


def _open_plainly(path: str, flags: int) -> int:
    """Open a file without following a link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _is_flat(kept: Mapping[str, object]) -> bool:
    return all(value is None or isinstance(value, str | int | float) for value in kept.values())


def _digest(kept: Mapping[str, object]) -> str:
    """Return the SHA-256 of what is kept. It shows damage; owner and mode keep other users out."""
    return hashlib.sha256(json.dumps(dict(kept), sort_keys=True).encode()).hexdigest()


def _number(kept: Mapping[str, object], name: str) -> float:
    """Read seconds. The digest fits also where a faulty process has written something else."""
    value = kept.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LONGEST_DEAD_AFTER:
        return float(value)
    raise _UnusableError(f"its {name!r} is not a number of seconds")


def _header(kept: Mapping[str, object], name: str) -> str | None:
    """Read a header to send back: every fetch with one that no request can carry would fail."""
    value = kept.get(name)
    if value is None or (isinstance(value, str) and value.isascii() and value.isprintable()):
        return value
    raise _UnusableError(f"its {name!r} is not the value of a header")


def _body(kept: Mapping[str, object]) -> bytes:
    value = kept.get("body")
    try:
        return base64.b64decode(value if isinstance(value, str) else "-", validate=True)
    except ValueError:
        raise _UnusableError("its 'body' is not in base64") from None
