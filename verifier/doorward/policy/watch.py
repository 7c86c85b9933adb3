"""A policy file that is read again, without a restart, when it changes."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Unpack

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward.policy.bindings import PolicySettings
from doorward.policy.iam import InvokerPolicy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WatchedPolicy"]

_log: Final = logging.getLogger("doorward.policy")

_Signature = tuple[int, int, int]


class WatchedPolicy:
    """The policy in a file, as the file is now: a source of policies for a door.

    The file is checked on use: at most once in `check_every` seconds, one caller asks the file system whether
    the file has changed, which takes microseconds, and reads it if it has. If the file cannot be read, or
    is not a policy, an error is logged and the last good policy stays.

    Args:
        path: The file.
        check_every: Seconds between two checks of the file.
        clock: A clock that never goes back, in seconds.
        load: Makes the policy from the path, if that takes more than `InvokerPolicy.from_file`, such as
            `InvokerPolicy.with_deny` or `InvokerPolicy.join`; only `path` is watched.
        **settings: For `InvokerPolicy.from_file`.

    Raises:
        PolicyError: If the file is not a policy.
        ConfigurationError: If the file cannot be read, or a setting is not usable.

    Attributes:
        path: The file.
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
        """Take the settings, which the class describes, and read the file for the first time."""
        from pathlib import Path  # noqa: PLC0415 - slow to import

        if check_every < 0:
            raise ConfigurationError(f"check_every must be 0 or more seconds, not {check_every}")
        if load is not None and settings:
            raise ConfigurationError("pass the settings of the policy inside load, not beside it")
        self.path: Final[Path] = Path(path)
        self._load: Final = load or (lambda file: InvokerPolicy.from_file(file, **settings))
        self._check_every = check_every
        self._clock = clock
        self._renew_lock()
        renew_in_children(self, WatchedPolicy._renew_lock)
        # The signature is read before the file: a change in between is noticed by the next check.
        self._signature = self._read_signature()
        self._policy = self._load(self.path)
        self._next_check = clock() + check_every

    @property
    def current(self) -> InvokerPolicy:
        """The policy that decides now. This never waits for another thread that reads the file."""
        if self._clock() >= self._next_check:
            self._check()
        return self._policy

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def _check(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            signature = self._read_signature()
            self._next_check = self._clock() + self._check_every
            if signature == self._signature:
                return
            self._signature = signature
            try:
                self._policy = self._load(self.path)
            except ConfigurationError as error:
                _log.error(
                    "the policy file changed and cannot be used, the last good policy stays: %s", error
                )
            except Exception:  # noqa: BLE001 - `load` is the user's own, and requests must be decided
                _log.exception("the policy file changed and loading it failed, the last good policy stays")
            else:
                _log.info("the policy file changed and was read again: %r", self._policy)
        finally:
            self._lock.release()

    def _read_signature(self) -> _Signature | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def __repr__(self) -> str:
        """Show the file and the size of the policy."""
        return f"WatchedPolicy({os.fspath(self.path)!r}, {self._policy!r})"
