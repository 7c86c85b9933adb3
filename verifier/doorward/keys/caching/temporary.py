"""Writing a file whole or not at all, over a temporary file beside it.

What writers have left that were killed is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import Final

__all__ = ["write_whole"]

_ABANDONED_AFTER: Final = 3_600.0  # seconds; for a writer of which nothing else is known
_WRITING: Final = 60.0  # seconds; for a writer that seems to be gone
_SUFFIX: Final = ".tmp"


def write_whole(path: str, content: bytes) -> os.stat_result:
    """Write a file with mode 0600. A reader sees the file before or the new one, never a part of one.

    Args:
        path: The file; a link in its place is replaced.
        content: All of its content.

    Returns:
        The status of the file as it was written.

    Raises:
        OSError: If it cannot be written; then the file is as it was.
    """
    # Not pathlib and tempfile: they are slow to import, and a process may live for less than that.
    folder, name = os.path.split(path)
    prefix = f".{name}."
    _remove_abandoned(folder or ".", prefix)
    temporary = os.path.join(folder, f"{prefix}{_writer()}.{os.urandom(6).hex()}{_SUFFIX}")  # noqa: PTH118 - see above
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            status = os.fstat(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - as above
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - as above
        raise
    return status


def _machine() -> str:
    """Return the name of this machine, or of this container; several containers may have one name."""
    name = os.uname().nodename if hasattr(os, "uname") else "this"
    return "".join(one for one in name if one.isalnum() or one == "-") or "this"


def _writer() -> str:
    return f"{_machine()}.{os.getpid()}"


def _remove_abandoned(folder: str, prefix: str) -> None:
    """Remove the temporary files of writers that were killed. What cannot be removed stays."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):
                    if _is_abandoned(entry, prefix):
                        os.unlink(entry.path)  # noqa: PTH108 - pathlib is slow to import


def _is_abandoned(entry: os.DirEntry[str], prefix: str) -> bool:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
        return False
    age = time.time() - status.st_mtime
    if age > _ABANDONED_AFTER:
        return True
    # Containers may share the name of their host and not its process numbers: a minute is left to a writer.
    if age < _WRITING:
        return False
    machine, _, rest = entry.name[len(prefix) : -len(_SUFFIX)].partition(".")
    pid = rest.partition(".")[0]
    return machine == _machine() and pid.isdecimal() and not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    if os.name != "posix":  # elsewhere the signal 0 is not harmless
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    except OverflowError:
        return True
    return True
