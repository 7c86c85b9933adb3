"""A policy file that is read again when it changes, without a restart."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Unpack

from doorward.errors import ConfigurationError
from doorward.policy.bindings import PolicySettings
from doorward.policy.iam import InvokerPolicy

__all__ = ["WatchedPolicy"]

_log: Final = logging.getLogger("doorward.policy")

_Signature = tuple[int, int, int]


class WatchedPolicy:
    """The policy in a file, as the file has it now: a source of policies for a door.

    It is looked after on use: at most once in `check_every` seconds one caller asks the file system whether
    the file is another one, which takes microseconds, and reads it if it is. A file that cannot be read, or
    is no policy, changes nothing but the log: the last good policy stays.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        check_every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[Path], InvokerPolicy] | None = None,
        **settings: Unpack[PolicySettings],
    ) -> None:
        """Read the file for the first time.

        Args:
            path: The file.
            check_every: Seconds between two looks at it.
            clock: In seconds; one that never goes back.
            load: Makes the policy of the file's path, where more than `InvokerPolicy.from_file` is to be
                done, such as `InvokerPolicy.with_deny` or `InvokerPolicy.join`; only `path` is watched.
            **settings: For `InvokerPolicy.from_file`.

        Raises:
            PolicyError: If the file is not a policy.
            ConfigurationError: If it cannot be read, or the settings cannot be.
        """
        if check_every < 0:
            raise ConfigurationError("check_every must not be negative")
        if load is not None and settings:
            raise ConfigurationError("pass the settings of the policy to it in load, not beside it")
        self.path: Final = Path(path)
        self._load: Final = load or (lambda file: InvokerPolicy.from_file(file, **settings))
        self._check_every = check_every
        self._clock = clock
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # First the look and then the reading: what changes in between is seen by the next look.
        self._seen = self._look()
        self._policy = self._load(self.path)
        self._next = clock() + check_every

    @property
    def current(self) -> InvokerPolicy:
        """The policy that decides now; never waits for another thread that reads it."""
        if self._clock() >= self._next:
            self._check()
        return self._policy

    def _check(self) -> None:
        if self._pid != os.getpid():  # a thread of the parent process may have held the lock
            self._pid, self._lock = os.getpid(), threading.Lock()
        if not self._lock.acquire(blocking=False):
            return
        try:
            seen = self._look()
            self._next = self._clock() + self._check_every
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._policy = self._load(self.path)
            except ConfigurationError as error:
                _log.error("the policy file changed and is not used, the old policy stays: %s", error)
            except Exception:  # noqa: BLE001 - `load` is the user's own, and requests must go on
                _log.exception("the policy file changed and loading it failed, the old policy stays")
            else:
                _log.info("read the policy file again: %r", self._policy)
        finally:
            self._lock.release()

    def _look(self) -> _Signature | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def __repr__(self) -> str:
        """Show the file and the policy's size."""
        return f"WatchedPolicy({os.fspath(self.path)!r}, {self._policy!r})"
