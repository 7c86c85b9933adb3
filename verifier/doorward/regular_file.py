"""The one way in which files are read here: regular files only, without blocking, and never past a bound.

A name may lead to something else than the file that was meant: to a named pipe, whose opening waits for a
writer, to a device without an end, or to a file that has grown. Nothing here prevents a mount that hangs from
holding up the thread that looks at it: code that serves requests reads in a thread of its own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["FileRead", "read_regular_file", "read_with_status"]

_CHUNK: Final = 64 * 1024  # bytes
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
# The flags that a system does not know are not needed there.
_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
)
_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a symbolic link, which is not followed here"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class FileRead(NamedTuple):
    """What was read.

    Attributes:
        content: All of the file.
        status: The status of the very file that was opened, from before it was read.
    """

    content: bytes
    status: os.stat_result


def read_regular_file(path: str | os.PathLike[str], largest: int, *, private: bool = False) -> bytes:
    """Read a regular file whole.

    Args:
        path: The file.
        largest: The number of bytes that it may have at most.
        private: Whether it is refused unless only this user can have written it: a symbolic link, a file of
            another user, and one that others may write to.

    Returns:
        Its content.

    Raises:
        OSError: If it cannot be read, is not a regular file or is too large. Its ``strerror`` is always a
            text that says why.
    """
    return read_with_status(path, largest, private=private).content


def read_with_status(path: str | os.PathLike[str], largest: int, *, private: bool = False) -> FileRead:
    """Read a regular file whole, and its status.

    Args:
        path: As for `read_regular_file`.
        largest: As for `read_regular_file`.
        private: As for `read_regular_file`.

    Returns:
        Its content and its status.

    Raises:
        OSError: As `read_regular_file`.
    """
    name = os.fspath(path)
    try:
        # To open a device or a pipe can have effects of its own, so the name is looked at first. It may lead
        # to another file afterwards, so that what was opened is looked at again.
        _check(os.stat(name, follow_symlinks=not private), largest, private=private)  # noqa: PTH116 - pathlib is slow to import
        descriptor = os.open(name, _FLAGS | (getattr(os, "O_NOFOLLOW", 0) if private else 0))
    except ValueError:  # a NUL, or a character that the file system has no bytes for
        raise OSError(errno.EINVAL, "no file can have this name") from None
    try:
        status = os.fstat(descriptor)
        _check(status, largest, private=private)
        return FileRead(_read(descriptor, largest), status)
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, largest: int, *, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((text for is_kind, text in _KINDS if is_kind(status.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, and must be a regular file")
    if status.st_size > largest:
        raise _too_large(f"{status.st_size:,} bytes", largest)
    if not private:
        return
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if os.name == "posix" and status.st_mode & _OTHERS_MAY_WRITE:
        raise PermissionError(errno.EPERM, "others may write to it: its mode must be 0600")


def _read(descriptor: int, largest: int) -> bytes:
    """Read to the end. The size says nothing of a file that grows meanwhile, nor of one in ``/proc``."""
    parts: list[bytes] = []
    left = largest + 1
    while left > 0 and (part := os.read(descriptor, min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise _too_large("more", largest)
    return b"".join(parts)


def _too_large(size: str, largest: int) -> OSError:
    return OSError(errno.EFBIG, f"it has {size}, and may have {largest:,} bytes at most")
