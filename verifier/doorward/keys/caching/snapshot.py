"""A key set on disk: a process that starts while the endpoint is away, or slow, has keys at once.

What is read from disk is believed no more than what is read from the network: it goes through the same
parser, and only a file that no other user can have written is read. A file that is wrong in any way counts as
no file, after a warning.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from doorward.errors import ConfigurationError
from doorward.keys.caching.temporary import write_whole
from doorward.keys.http.freshness import LONGEST_FRESH, Freshness, Validators
from doorward.regular_file import read_regular_file
from doorward.strictjson import StrictJSONError, read_object

__all__ = ["Signature", "Snapshot", "SnapshotFile"]

_log: Final = logging.getLogger("doorward.keys")

_FORMAT: Final = 1
_LIMIT: Final = 512 * 1024  # bytes of the file: a body of at most 256 KiB in base64, and a little more
_AHEAD: Final = 300.0  # seconds by which the clock of the process that wrote it may have been ahead
_LONGEST_DEAD_AFTER: Final = 1e12  # seconds: infinity is allowed as a setting, and is not JSON

Signature = tuple[int, int, int, int]
"""What tells one state of a file from another without reading it: device, inode, size, time of change."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A good answer of a key endpoint, as it is kept.

    Attributes:
        url: The endpoint.
        body: The body of its answer.
        confirmed_at_wall: When the endpoint last confirmed it, in seconds since the epoch.
        freshness: For how long it may be used from then on.
        validators: For a conditional request.
        asked_at_wall: When the endpoint was asked for it, in seconds since the epoch; 0.0 if that is not
            known. A key that was published later may be missing.
    """

    url: str
    body: bytes
    confirmed_at_wall: float
    freshness: Freshness
    validators: Validators
    asked_at_wall: float = 0.0


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
        self._refused: Signature | None = None

    @property
    def path(self) -> str:
        """Where it is kept."""
        return self._path

    def __repr__(self) -> str:
        """Show the path."""
        return f"SnapshotFile({self._path!r})"

    def load(self, url: str, wall: float) -> Snapshot | None:
        """Read the snapshot, if it can be believed.

        Args:
            url: The endpoint that it must be of.
            wall: The time, in seconds since the epoch.

        Returns:
            The snapshot; None if there is no file, or none that may be used. Then a warning says why, once
            for each state of the file.
        """
        signature = self.signature()
        try:
            kept = self._checked(read_regular_file(self._path, _LIMIT, private=True), url, wall)
        except FileNotFoundError:
            return None
        except (_UnusableError, OSError, StrictJSONError) as error:
            if signature is None or signature != self._refused:
                self._refused = signature
                why = error.strerror if isinstance(error, OSError) and error.strerror else error
                _log.warning("the key snapshot %s is not used: %s", self._path, why)
            return None
        self._refused = None
        return kept

    def signature(self) -> Signature | None:
        """Look at the file without reading it.

        Returns:
            None if there is none.
        """
        try:
            return _signature(os.stat(self._path, follow_symlinks=False))  # noqa: PTH116 - pathlib is slow to import
        except OSError:
            return None

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
        asked_at = _number(kept, "asked_at") if "asked_at" in kept else 0.0
        freshness = Freshness(stale_after, dead_after)
        return Snapshot(url, _body(kept), confirmed_at, freshness, validators, asked_at)

    def store(self, snapshot: Snapshot) -> Signature | None:
        """Write a snapshot whole or not at all. A failure is logged as a warning: the cache works without.

        Args:
            snapshot: The snapshot.

        Returns:
            What `signature` returns while no other process writes; None after a failure.
        """
        kept = {
            "url": snapshot.url,
            "body": base64.b64encode(snapshot.body).decode(),
            "confirmed_at": snapshot.confirmed_at_wall,
            "stale_after": snapshot.freshness.stale_after,
            "dead_after": min(snapshot.freshness.dead_after, _LONGEST_DEAD_AFTER),
            "etag": snapshot.validators.etag,
            "last_modified": snapshot.validators.last_modified,
            "asked_at": snapshot.asked_at_wall,
        }
        document = {"format": _FORMAT, "snapshot": kept, "sha256": _digest(kept)}
        try:
            return _signature(write_whole(self._path, json.dumps(document, indent=1).encode()))
        except OSError as error:
            _log.warning("the key snapshot %s was not written: %s", self._path, error)
            return None


def _signature(status: os.stat_result) -> Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


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
