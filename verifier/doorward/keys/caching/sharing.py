"""What the processes of one machine share: the snapshot, and a lock file beside it.

One process at a time asks the endpoint, and the others take what it has written. The lock is the kernel's
(``flock``): it is gone when its holder is, however that ended. It is waited for within a bound, and where it
cannot be had every process asks for itself.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from doorward.keys.caching.aside import Aside
from doorward.keys.caching.snapshot import Signature, Snapshot, SnapshotFile

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]  # looked at before each use

from doorward.forks import renew_in_children

__all__ = ["Failure", "Sharing", "Turn"]

_log: Final = logging.getLogger("doorward.keys")

_LOOK: Final = 2.0  # seconds that a look at the file may take
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC"))
)
_UNWRITABLE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EROFS)
_LONGEST_PAUSE: Final = 300.0  # seconds; what says more was not written by a process with a right clock


class Failure(NamedTuple):
    """A fetch that has failed; times in seconds since the epoch.

    Attributes:
        failed_at: When it failed.
        until: Until when the endpoint is left alone.
        until_without_keys: The same by a process that holds no usable keys.
    """

    failed_at: float
    until: float
    until_without_keys: float


class Turn:
    """The turn of this process to ask the endpoint, until it is ended; or leave to do so without one."""

    def __init__(self, descriptor: int | None = None, sharing: Sharing | None = None) -> None:
        """Take a turn.

        Args:
            descriptor: The lock file, which is locked; None where there is no lock.
            sharing: Has locked it.
        """
        self._descriptor: Final = descriptor
        self._sharing: Final = sharing

    def failure(self) -> Failure | None:
        """Return the failure that another process has noted; None if its last fetch was good."""
        if self._descriptor is None or self._sharing is None:
            return None
        try:
            note = os.pread(self._descriptor, 128, 0)
            failure = Failure(*map(float, note.split()))
        except (OSError, ValueError, TypeError):  # another process was killed while it wrote, or has not
            return None
        if note == self._sharing.noted:
            return None
        failed_at, until, until_without_keys = failure
        plausible = failed_at <= until_without_keys <= until <= failed_at + _LONGEST_PAUSE
        return failure if plausible else None

    def note(self, failure: Failure | None) -> None:
        """Write down for other processes how the fetch went.

        Args:
            failure: None if it was good.
        """
        if self._descriptor is None or self._sharing is None:
            return
        note = b"" if failure is None else " ".join(map(repr, failure)).encode()
        self._sharing.noted = note
        with contextlib.suppress(OSError):  # a full disk: then each process finds it out for itself
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, note, 0)

    def end(self) -> None:
        """Let another process have its turn; again has no effect, in any thread."""
        if self._descriptor is not None and self._sharing is not None:
            self._sharing.unlock(self._descriptor)


class Sharing:
    """Shares the snapshot of one endpoint with the other processes of this machine.

    Attributes:
        noted: What this process has written into the lock file last.
    """

    def __init__(self, file: SnapshotFile, url: str, clock: Callable[[], float]) -> None:
        """Start with nothing seen.

        Args:
            file: The snapshot.
            url: The endpoint that it must be of.
            clock: Wall clock, in seconds since the epoch.
        """
        self._file: Final = file
        self._url: Final = url
        self._clock: Final = clock
        self._aside: Final = Aside()
        self._seen: Signature | None = None
        self._held: Final[list[int]] = []
        self.noted: bytes = b""
        self._complaint = ""
        renew_in_children(self, Sharing.after_fork)

    def look(self) -> tuple[Snapshot, Signature] | None:
        """Read the snapshot, if it is another one than was seen last, and may be used.

        Returns:
            The snapshot, and what `saw` is given once it is taken; None if there is nothing new.
        """
        try:
            return self._aside.run(self._look, _LOOK)
        except OSError as error:
            self._complain("the key snapshot %s is not used: %s", error)
            return None

    def _look(self) -> tuple[Snapshot, Signature] | None:
        signature = self._file.signature()
        if signature is None or signature == self._seen:
            return None
        kept = self._file.load(self._url, self._clock())
        return None if kept is None else (kept, signature)

    @property
    def hangs(self) -> bool:
        """Whether the file system did not answer the last look, and has not since: it is left alone."""
        return self._aside.hangs

    def saw(self, signature: Signature | None) -> None:
        """Take note that a snapshot was taken, and need not be read again.

        Args:
            signature: Its signature. What was not taken is looked at again.
        """
        self._seen = signature

    def store(self, kept: Snapshot) -> None:
        """Write the snapshot for the other processes.

        Args:
            kept: What is held.
        """
        if not self.hangs and (signature := self._file.store(kept)) is not None:
            self._seen = signature

    def try_turn(self) -> Turn | None:
        """Take the turn of this process to ask the endpoint, without waiting.

        Returns:
            None while it is the turn of another process.
        """
        # It may be the turn of this process still: an earlier answer is being stored.
        if fcntl is None or self.hangs or self._held:
            return Turn()
        path = f"{self._file.path}.lock"
        descriptor = None
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
            self._held.append(descriptor)
            _check(os.fstat(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close(descriptor)
            return None
        except OSError as error:
            self._close(descriptor)
            if error.errno not in _UNWRITABLE:  # else the writing of the snapshot says so
                self._complain("processes do not share %s, since it cannot be locked: %s", error)
            return Turn()
        return Turn(descriptor, self)

    def unlock(self, descriptor: int) -> None:
        """Unlock the lock file, and close it; again has no effect, in any thread.

        Args:
            descriptor: Of the lock file.
        """
        try:
            self._held.remove(descriptor)
        except ValueError:
            return
        if fcntl is not None:
            # Unlocked, not only closed: a child that was just forked has the same lock until it closes it.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def _close(self, descriptor: int | None) -> None:
        if descriptor is not None:
            self._held.remove(descriptor)
            os.close(descriptor)

    def _complain(self, message: str, error: OSError) -> None:
        """Log a warning, once for each cause."""
        if (complaint := f"{message}{error}") != self._complaint:
            self._complaint = complaint
            _log.warning(message, self._file.path, error)

    def after_fork(self) -> None:
        """Close the lock files of the parent in a forked child, which would hold its lock too."""
        while self._held:
            os.close(self._held.pop())


def _check(status: os.stat_result) -> None:
    """Refuse a lock file that another user could hold for ever, or that is no file."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError("its lock file is not a regular file")
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
        raise PermissionError("its lock file belongs to another user, or others may write to it")
