"""Starts a command under a guard, which ends it if the process that asked for it is killed.

This file is run as a script, by an interpreter that imports nothing else. It forks a guard,
which leaves the process group, and then becomes the command. The guard holds the reading end of a pipe whose
writing end only the asking process has: a byte from it means that all is in order, and its end without that
byte that the process was killed. As the guard is there before the command is, no moment is left uncovered.

What belongs to a command is found in two ways: by its process group, and on Linux also by a variable of its
environment, which processes keep that have made a group or a session of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

__all__ = ["DONE", "MARK", "Family", "end", "launch"]

DONE = b"."
"""What the asking process writes when nothing is left to be ended."""

MARK = "DOORWARD_EMULATOR_EXEC"
"""The variable that all processes of one command have in their environment."""

_PROC = "/proc"
_TICK = 0.02
_LAST_SECONDS = 5.0
_CANNOT_RUN = 126


class Family:
    """The processes of one command: the command itself, and what it has started."""

    def __init__(self, pid: int, group: int | None, mark: str) -> None:
        """Name the processes.

        Args:
            pid: The id of the command.
            group: The id of its process group; None if it shares that of the asking process.
            mark: The value of the variable `MARK`.
        """
        self._pid = pid
        self._group = group
        self._mark = f"{MARK}={mark}".encode()
        self._has_proc = os.path.isdir(f"{_PROC}/self")  # noqa: PTH112 - pathlib takes 10 ms to import

    def alive(self) -> list[int]:
        """Return the ids of the processes that run now; zombies are not among them."""
        if self._has_proc:
            return [pid for pid in self._candidates() if pid != os.getpid() and self._belongs(pid)]
        return [self._group] if self._group is not None and _group_exists(self._group) else []

    def send(self, number: int) -> None:
        """Send a signal to the whole process group, or to the command alone where it has none.

        Args:
            number: The number of the signal.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._group is not None:
                os.killpg(self._group, number)
            else:
                os.kill(self._pid, number)

    def send_all(self, number: int) -> None:
        """Send a signal to every process that is found.

        Args:
            number: The number of the signal.
        """
        if not self._has_proc:
            self.send(number)
            return
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    @staticmethod
    def _candidates() -> Iterator[int]:
        return (int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208 - as above

    def _belongs(self, pid: int) -> bool:
        try:
            # After the name, which is in parentheses and may hold any character: state, parent, group.
            state, _, group = _read(f"{_PROC}/{pid}/stat").rpartition(b")")[2].split()[:3]
            if state in {b"Z", b"X"}:
                return False
            if self._group is not None and int(group) == self._group:
                return True
            return self._mark in _read(f"{_PROC}/{pid}/environ").split(b"\0")
        except (OSError, ValueError):  # it has ended meanwhile, or is another user's
            return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return file.read()


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def end(family: Family, grace: float, wait: Callable[[float], bool] | None = None) -> None:
    """End all processes of a command: SIGTERM, and after the grace SIGKILL.

    Args:
        family: The processes.
        grace: Seconds that they have to end by themselves.
        wait: Waits for some seconds, and says whether the grace is over before its time; sleeps by default.
    """
    if not family.alive():
        return
    family.send_all(signal.SIGTERM)
    family.send_all(signal.SIGCONT)  # one that is stopped does not see the first until it goes on
    until = time.monotonic() + grace
    while family.alive() and time.monotonic() < until:
        if wait is None:
            time.sleep(_TICK)
        elif wait(_TICK):
            break
    until = time.monotonic() + _LAST_SECONDS
    # Again and again, since one of them may have started another.
    while family.alive() and time.monotonic() < until:
        family.send_all(signal.SIGKILL)
        time.sleep(_TICK)


def _guard(life: int, family: Family, grace: float, rubbish: Sequence[str]) -> None:
    """Wait until the asking process says that all is in order, or is gone."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # who reads the output of the command must not wait for the guard
        os.dup2(nothing, number)
    os.chdir("/")  # it keeps no folder busy
    if os.read(life, 1) == DONE:
        return
    end(family, grace)
    for path in rubbish:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - as above
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))  # noqa: PTH106, PTH120 - as above


def launch(arguments: Sequence[str]) -> None:
    """Fork the guard, then become the command.

    Args:
        arguments: The file descriptor of the pipe, the mark, the grace in seconds, ``group`` if this process
            leads a group of its own, how many files to remove, those files, then the command.
    """
    descriptor, mark, grace, group, files, *rest = arguments
    life, rubbish, command = int(descriptor), rest[: int(files)], rest[int(files) :]
    pid = os.getpid()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.set_inheritable(life, False)  # noqa: FBT003 - positional only
    middle = os.fork()
    if middle == 0:
        # Twice, so that the command has no child that it does not know of.
        os.setsid()
        if os.fork() == 0:
            try:
                _guard(life, Family(pid, pid if group == "group" else None, mark), float(grace), rubbish)
            finally:
                os._exit(0)
        os._exit(0)
    os.waitpid(middle, 0)
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and what is ignored would stay so
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, {**os.environ, MARK: mark})  # noqa: S606 - the user's own command
    except OSError as error:
        print(f"doorward emulator: {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(_CANNOT_RUN)


if __name__ == "__main__":
    launch(sys.argv[1:])
