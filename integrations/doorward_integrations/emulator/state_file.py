"""What an emulator keeps on disk on request: JSON files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from doorward.errors import ConfigurationError
from doorward.keys.caching.temporary import write_whole
from doorward.regular_file import read_with_status
from doorward.strictjson import StrictJSONError, read_object, thaw

__all__ = ["StateError", "StateFile", "StateFolder"]

_LARGEST: Final = 64 * 1024 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FORMAT: Final = 1

Write = Callable[[str, bytes], object]


class StateError(ConfigurationError):
    """State that could not be written; the file is as it was.

    Attributes:
        message: Why, as a sentence.
    """

    def __init__(self, path: Path, error: OSError) -> None:
        """Make the error of one write.

        Args:
            path: The file.
            error: Why it could not be written.
        """
        self.message: Final = f"{os.fspath(path)} could not be written: {error.strerror or error}"
        super().__init__(self.message)


class StateFile:
    """One file of state: a JSON object, mode 0600.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, write: Write = write_whole) -> None:
        """Name the file; it is not read yet.

        Args:
            path: The file.
            write: Writes a file whole, or raises `OSError` and leaves it as it was.
        """
        self.path: Final = path
        self._write: Final = write

    def read(self) -> dict[str, object]:
        """Read the state.

        Returns:
            The object; an empty one if there is no file yet.

        Raises:
            ConfigurationError: If the file cannot be read, is open to others, or holds anything else.
        """
        try:
            content, status = read_with_status(self.path, _LARGEST)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"the state {self.path} cannot be read: {error.strerror}") from error
        if os.name == "posix" and status.st_mode & _OTHERS:
            raise ConfigurationError(
                f"the state {self.path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): "
                f"chmod 600 it, or remove it"
            )
        try:
            members = dict(read_object(content))
        except StrictJSONError as error:
            raise self.unusable(str(error)) from None
        if members.pop("format", None) != _FORMAT:
            raise self.unusable(f"its 'format' is not {_FORMAT}")
        return {name: thaw(member) for name, member in members.items()}

    def unusable(self, why: str) -> ConfigurationError:
        """Make the error of a file that holds something else.

        Args:
            why: What is wrong with it.
        """
        return ConfigurationError(
            f"the state {self.path} is not what this emulator writes: {why}. Move it away to begin anew"
        )

    def write(self, members: Mapping[str, object]) -> None:
        """Replace the state in one step: after a crash there is the old one or the new one.

        Args:
            members: The object.

        Raises:
            StateError: If it cannot be written; then the file is as it was.
        """
        content = json.dumps({"format": _FORMAT, **members}, indent=1).encode()
        try:
            self._write(os.fspath(self.path), content)
        except OSError as error:
            raise StateError(self.path, error) from error


class StateFolder:
    """The folder that holds the state of one emulator, mode 0700 where it is made here."""

    def __init__(self, path: str | os.PathLike[str], write: Write = write_whole) -> None:
        """Make the folder, if it is not there yet.

        Args:
            path: The folder; its parent must be there.
            write: As for `StateFile`.

        Raises:
            ConfigurationError: If it is no folder, and none can be made.
        """
        self._path: Final = Path(path)
        self._write: Final = write
        try:
            self._path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"state={os.fspath(path)!r} must be a folder that can be written: {error.strerror}"
            ) from error

    def file(self, name: str) -> StateFile:
        """Return one of its files.

        Args:
            name: The name of the file.
        """
        return StateFile(self._path / name, self._write)
