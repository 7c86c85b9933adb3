"""One command of the user's: started under a guard, waited for, and ended with all that it has started."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Self

from doorward.errors import ConfigurationError
from doorward_integrations.cli.child import guard

__all__ = ["run_child"]

_BASE: Final = 128
# Those that ask to end go to the whole group, as from a terminal; the others to the command alone.
_ENDING: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
_FURTHER: Final = ("SIGUSR1", "SIGUSR2")
_FROM_A_TERMINAL: Final = ("SIGINT", "SIGQUIT")


def run_child(
    command: Sequence[str], environ: Mapping[str, str], *, grace: float, rubbish: Sequence[str] = ()
) -> int:
    """Run a command, pass signals on to it, and leave nothing of it behind.

    In the foreground of a terminal, the command stays in the process group of this process, so that it can
    use the terminal, and that the terminal's own signals reach both. Elsewhere it leads its own group.

    The first signal that asks to end is passed on, and after the grace the command is killed; a second one
    kills it at once. What it leaves behind when it has ended is ended in the same way.

    Args:
        command: The command with its arguments.
        environ: Its environment.
        grace: Seconds that it has to end after a signal.
        rubbish: Files to remove, with their folders, if this process is killed.

    Returns:
        Its exit status; 128 and the number of the signal if one ended it.

    Raises:
        ConfigurationError: If the system has no process groups.
    """
    if sys.platform == "win32":
        raise ConfigurationError(
            "doorward emulator exec needs process groups, which Windows does not have: "
            "use doorward emulator start and doorward emulator env"
        )
    in_terminal = _is_in_foreground()
    with _Inbox() as inbox, _Guarded(command, environ, in_terminal, grace, rubbish) as guarded:
        waiting = _Waiting(guarded, inbox, grace, in_terminal=in_terminal)
        status = waiting.for_command()
        guard.end(guarded.family, grace, waiting.for_rest)
    return _BASE - status if status < 0 else status


def _is_in_foreground() -> bool:
    """Return whether standard input is a terminal, and this process in its foreground."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


class _Guarded:
    """The command and its guard, as a context manager: at its end the guard is sent away."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        in_terminal: bool,  # noqa: FBT001 - private
        grace: float,
        rubbish: Sequence[str],
    ) -> None:
        mark = secrets.token_hex(8)
        theirs, self._ours = os.pipe()
        group = "shared" if in_terminal else "group"
        settings = [str(theirs), mark, str(grace), group, str(len(rubbish)), *rubbish]
        script = str(Path(guard.__file__))
        try:
            # Nothing runs between fork and exec here, where threads make it unsafe: the script does it.
            self.process = subprocess.Popen(  # noqa: S603 - the command is the user's own
                [sys.executable, "-I", "-S", script, *settings, *command],
                env=dict(environ),
                pass_fds=[theirs],
                process_group=None if in_terminal else 0,
            )
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)
        pid = self.process.pid
        self.family = guard.Family(pid, None if in_terminal else pid, mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            guard.end(self.family, 0)
            self.process.wait()
        with contextlib.suppress(OSError):  # the guard was killed
            os.write(self._ours, guard.DONE)
        os.close(self._ours)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing more: the number of the signal is in the pipe already."""


class _Inbox:
    """Receives signals as bytes of a pipe, for as long as it is open; those ignored before stay ignored.

    The bytes are written where a signal arrives, in any thread. A handler in Python would run only when the
    main thread wakes up, and a signal that another thread has received does not wake it.
    """

    def __enter__(self) -> Self:
        self.descriptor, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        os.set_blocking(self.descriptor, False)
        numbers = [getattr(signal, name) for name in (*_ENDING, *_FURTHER)]
        heeded = [one for one in numbers if signal.getsignal(one) not in {signal.SIG_IGN, None}]
        self._pipe_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before = {one: signal.signal(one, _ignore) for one in (*heeded, signal.SIGCHLD)}
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)
        signal.set_wakeup_fd(self._pipe_before)
        os.close(self.descriptor)
        os.close(self._writing)

    def wait(self, seconds: float | None) -> Iterator[int]:
        """Wait for signals, for so many seconds at most; None waits as long as it takes."""
        if select.select([self.descriptor], [], [], seconds)[0]:
            yield from os.read(self.descriptor, 512)


class _Waiting:
    """Waits for the command, then for what it left behind, and passes signals on meanwhile."""

    def __init__(self, guarded: _Guarded, inbox: _Inbox, grace: float, *, in_terminal: bool) -> None:
        self._guarded = guarded
        self._inbox = inbox
        self._grace = grace
        self._asked = False
        self._until: float | None = None
        self._silent = (
            {getattr(signal, name) for name in _FROM_A_TERMINAL} if in_terminal else set[signal.Signals]()
        )

    def for_command(self) -> int:
        """Return what `subprocess` says of its end."""
        family, process = self._guarded.family, self._guarded.process
        while (status := process.poll()) is None:
            left = None if self._until is None else max(0.0, self._until - time.monotonic())
            at_once = [self._pass_on(number) for number in self._inbox.wait(left)]
            if any(at_once) or (self._until is not None and time.monotonic() >= self._until):
                family.send(signal.SIGKILL)
                family.send_all(signal.SIGKILL)
                self._until = None
        return status

    def for_rest(self, seconds: float) -> bool:
        """Wait for so many seconds; return whether a second signal asks to end at once."""
        at_once = [self._pass_on(number, started=False) for number in self._inbox.wait(seconds)]
        return any(at_once)

    def _pass_on(self, number: int, *, started: bool = True) -> bool:
        """Pass a signal on; return whether it is a second one that asks to end."""
        if number == signal.SIGCHLD or number in self._silent:
            return False
        if number in {getattr(signal, name) for name in _FURTHER}:
            if started:
                with contextlib.suppress(ProcessLookupError):
                    self._guarded.process.send_signal(number)
            return False
        if self._asked:
            return number != signal.SIGHUP  # which closing terminals send besides
        self._asked = True
        if started:
            self._guarded.family.send(number)
            self._until = time.monotonic() + self._grace
        return False
