"""A policy file as it is now, and whether that is what was read before."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from doorward.errors import ConfigurationError
from doorward.policy.files.encoding import LARGEST
from doorward.policy.iam import InvokerPolicy
from doorward.regular_file import read_with_status

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileVersion", "LoadPolicy", "LoadedVersion", "LookError", "PolicyFile"]

_log: Final = logging.getLogger("doorward.policy")

LoadPolicy = Callable[["Path"], InvokerPolicy]
"""Makes the policy from the path."""


class FileVersion(NamedTuple):
    """What distinguishes two versions of a file: its content, whatever its size and its times say.

    The times tell no two contents apart that the digest does not. They show that a file was touched, since
    `LoadPolicy` may read others beside it, and that it was changed and changed back while it was loaded.

    Attributes:
        digest: The SHA-256 of the content.
        modified_ns: When the content was last changed, in nanoseconds; a program can set it.
        changed_ns: When anything of the file was last changed, in nanoseconds, where the system has that.
    """

    digest: bytes
    modified_ns: int
    changed_ns: int


class LoadedVersion(NamedTuple):
    """A policy that was loaded.

    Attributes:
        policy: The policy.
        version: The version of the file that it is of; None if the file changed meanwhile.
    """

    policy: InvokerPolicy
    version: FileVersion | None


class LookError(Exception):
    """A file that could not be taken.

    Attributes:
        stage: Where that failed; see `doorward.policy.watching.events.LookFinished`.
        message: Why, as a sentence for the log.
        version: The version of the file; None if not even that could be found out.
    """

    def __init__(self, stage: str, message: str, version: FileVersion | None = None) -> None:
        """Make the error from its data."""
        super().__init__(stage, message)
        self.stage: Final[str] = stage
        self.message: Final[str] = message
        self.version: Final[FileVersion | None] = version

    def repeats(self, other: LookError | None) -> bool:
        """Return whether the look before failed in the same way, on the same version.

        Args:
            other: How that failed; None if it did not.
        """
        if other is None:
            return False
        return (self.stage, self.message, self.version) == (other.stage, other.message, other.version)


class PolicyFile:
    """A policy file, and what makes the policy from it.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, load: LoadPolicy) -> None:
        """Name the file; it is not read yet.

        Args:
            path: The file.
            load: Makes the policy from the path.
        """
        self.path: Final[Path] = path
        self._load: Final = load

    def load(self) -> LoadedVersion:
        """Load the policy for the first time.

        Raises:
            ConfigurationError: If the file cannot be read, or is not a policy.
        """
        try:
            version = self._version()
        except OSError as error:
            raise ConfigurationError(
                f"the policy file {os.fspath(self.path)!r} cannot be read: {error.strerror}"
            ) from error
        return self._loaded(version)

    def load_changed(
        self, taken: FileVersion | None, last_error: LookError | None = None
    ) -> LoadedVersion | None:
        """Load the policy, unless the file is what was taken before.

        Args:
            taken: The version that was taken; None if that is not known.
            last_error: How the last look failed; None if it did not. A traceback is logged once for each.

        Returns:
            The policy; None if nothing has changed.

        Raises:
            LookError: If the file cannot be taken, whatever the reason.
        """
        try:
            version = self._version()
        except OSError as error:
            raise LookError("read", f"it cannot be read: {error.strerror}") from None
        if version == taken:
            return None
        try:
            return self._loaded(version)
        except ConfigurationError as error:
            raise LookError("content", str(error), version) from None
        except BaseException as error:  # noqa: BLE001 - `load` is the user's, and may raise anything
            failed = LookError("load", f"loading it raised {type(error).__name__}", version)
            if not failed.repeats(last_error):
                _log.exception(
                    "loading the policy file %s raised what is not a ConfigurationError", self.path
                )
            raise failed from None

    def _loaded(self, version: FileVersion) -> LoadedVersion:
        policy = self._load(self.path)
        if not isinstance(policy, InvokerPolicy):
            raise ConfigurationError(
                f"load must return an InvokerPolicy for {os.fspath(self.path)!r}, not {type(policy).__name__}"
            )
        try:
            settled = self._version() == version
        except OSError:
            settled = False
        # A file that changed while it was loaded is loaded again by the next look.
        return LoadedVersion(policy, version if settled else None)

    def _version(self) -> FileVersion:
        content, status = read_with_status(self.path, LARGEST)
        return FileVersion(hashlib.sha256(content).digest(), status.st_mtime_ns, status.st_ctime_ns)
