"""A key set on disk, so that a process that starts while the endpoint is away, or slow, has keys at once.

What is read from disk is believed no more than what is read from the network: it goes through the same
parser, and only a file that nobody else could have written is looked at. A file that is wrong in any way is
as good as none, but for a warning.
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
from doorward.keys.freshness import LONGEST_FRESH, Freshness, Validators
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["Snapshot", "SnapshotFile"]

_log: Final = logging.getLogger("doorward.keys")

_FORMAT: Final = 1
_LIMIT: Final = 512 * 1024  # of the file: a body of at most 256 KiB in base64, and a little
_AHEAD: Final = 300.0  # seconds by which the clock that wrote it may have been ahead of ours
_LONGEST_DEAD_AFTER: Final = 1e12  # seconds: a bound of infinity is right in a setting, and is not JSON
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A good answer of a key endpoint, as it is kept.

    Attributes:
        url: The endpoint.
        body: The body of its answer.
        arrived_wall: When it last confirmed it, in seconds since the epoch.
        fresh: For how long it may be used from then on.
        validators: For a conditional request.
    """

    url: str
    body: bytes
    arrived_wall: float
    fresh: Freshness
    validators: Validators


class _Unusable(Exception):  # noqa: N818 - says what the file is; never leaves this module
    pass


class SnapshotFile:
    """Reads and writes the snapshot of one endpoint."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; it need not exist, its folder must.

        Args:
            path: Where it is kept. On Cloud Run, ``/tmp`` is memory of the one instance; a mounted volume
                outlives it.

        Raises:
            ConfigurationError: If no file can have that name.
        """
        # Not pathlib: it is slow to import, and a start from a snapshot is meant to be quick.
        self._path: Final = os.fspath(path)
        if os.path.basename(self._path) in ("", ".", "..") or "\0" in self._path:  # noqa: PTH119 - as above
            raise ConfigurationError(f"snapshot={os.fspath(path)!r} must be the path of a file")

    def __repr__(self) -> str:
        """Show where it is."""
        return f"SnapshotFile({self._path!r})"

    def load(self, url: str, wall: float) -> Snapshot | None:
        """Read it, if it can be believed.

        Args:
            url: The endpoint that it must be of.
            wall: The time, in seconds since the epoch.

        Returns:
            The snapshot; None if there is none, or none that may be used, after a warning that says why.
        """
        try:
            return self._checked(self._read(), url, wall)
        except FileNotFoundError:
            return None
        except (_Unusable, OSError, StrictJSONError) as error:
            _log.warning("the key snapshot %s is not used: %s", self._path, error)
            return None

    def _read(self) -> bytes:
        # Not through a link, and the checks are on what was opened, not on what has that name a moment later.
        with open(self._path, "rb", opener=_open_plainly) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _Unusable("it is not a regular file")
            if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
                raise _Unusable("it belongs to another user")
            if os.name == "posix" and status.st_mode & _OTHERS_MAY_WRITE:
                raise _Unusable("others may write to it: its mode must be 0600")
            content = file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise _Unusable(f"it is over {_LIMIT} bytes")
        return content

    @staticmethod
    def _checked(content: bytes, url: str, wall: float) -> Snapshot:
        document = read_object(content)
        kept = document.get("snapshot")
        if document.get("format") != _FORMAT or not isinstance(kept, Mapping) or not _is_flat(kept):
            raise _Unusable("it has another format")
        if document.get("sha256") != _digest(kept):
            raise _Unusable("its digest does not fit: it is damaged")
        if kept.get("url") != url:
            raise _Unusable("it is of another key endpoint")
        arrived, stale_after, dead_after = (
            _number(kept, name) for name in ("arrived", "stale_after", "dead_after")
        )
        validators = Validators(_header(kept, "etag"), _header(kept, "last_modified"))
        if arrived > wall + _AHEAD:
            raise _Unusable("it is from the future: compare the clocks")
        # No answer of the network would be fresh for longer either.
        if not 0 <= stale_after <= min(dead_after, LONGEST_FRESH):
            raise _Unusable("its bounds are out of range")
        if wall - arrived >= dead_after:
            raise _Unusable(f"it is {wall - arrived:.0f} s old, too old to be used")
        return Snapshot(url, _body(kept), arrived, Freshness(stale_after, dead_after), validators)

    def store(self, snapshot: Snapshot) -> None:
        """Write it whole or not at all; a failure is a warning, since keys on disk are a convenience.

        Args:
            snapshot: What to keep.
        """
        kept = {
            "url": snapshot.url,
            "body": base64.b64encode(snapshot.body).decode(),
            "arrived": snapshot.arrived_wall,
            "stale_after": snapshot.fresh.stale_after,
            "dead_after": min(snapshot.fresh.dead_after, _LONGEST_DEAD_AFTER),
            "etag": snapshot.validators.etag,
            "last_modified": snapshot.validators.last_modified,
        }
        document = {"format": _FORMAT, "snapshot": kept, "sha256": _digest(kept)}
        try:
            self._write(json.dumps(document, indent=1).encode())
        except OSError as error:
            _log.warning("the key snapshot %s was not written: %s", self._path, error)

    def _write(self, content: bytes) -> None:
        # mkstemp makes it 0600 and ours; a reader sees the old file or the new one, never half of one.
        import tempfile  # noqa: PLC0415 - slow to import, and only reading is on the way to the first answer

        folder, name = os.path.split(self._path)
        descriptor, name = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, self._path)  # noqa: PTH105 - the pair of names is all there is to it
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - as above
            raise


def _open_plainly(path: str, flags: int) -> int:
    """Open without following a link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _is_flat(kept: Mapping[str, object]) -> bool:
    return all(value is None or isinstance(value, str | int | float) for value in kept.values())


def _digest(kept: Mapping[str, object]) -> str:
    """Give the SHA-256 of what is kept: against damage; against others, the owner and the mode."""
    return hashlib.sha256(json.dumps(dict(kept), sort_keys=True).encode()).hexdigest()


def _number(kept: Mapping[str, object], name: str) -> float:
    """Read seconds; a digest fits what a faulty writer wrote, too."""
    value = kept.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LONGEST_DEAD_AFTER:
        return float(value)
    raise _Unusable(f"its {name!r} is not a number of seconds")


def _header(kept: Mapping[str, object], name: str) -> str | None:
    """Read a header to send back: one that no request can carry would fail every fetch to come."""
    value = kept.get(name)
    if value is None or (isinstance(value, str) and value.isascii() and value.isprintable()):
        return value
    raise _Unusable(f"its {name!r} is not the value of a header")


def _body(kept: Mapping[str, object]) -> bytes:
    value = kept.get("body")
    try:
        return base64.b64decode(value if isinstance(value, str) else "-", validate=True)
    except ValueError:
        raise _Unusable("its 'body' is not in base64") from None
