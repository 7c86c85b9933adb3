"""The file that keeps the keys of all issuers, so that a restarted emulator signs with the same keys."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.forks import renew_in_children
from doorward_integrations.emulator.keys.ring import RingKey, RingState
from doorward_integrations.emulator.keys.signing_key import SigningKey
from doorward_integrations.emulator.state_file import StateFile

__all__ = ["KeyFile"]

_LATEST: Final = 250_000_000_000  # before the year 10000, beyond which dates cannot be written


class KeyFile:
    """The keys of all rings of one emulator, in one file. Safe to use from threads."""

    def __init__(self, file: StateFile) -> None:
        """Read what is in the file.

        Args:
            file: The file.

        Raises:
            ConfigurationError: If it cannot be read, or holds anything else.
        """
        self._file: Final = file
        rings = file.read().get("rings", {})
        if not isinstance(rings, dict):
            raise file.unusable("'rings' is no object")
        self._rings: dict[str, Any] = rings
        self._begin()
        renew_in_children(self, KeyFile._begin)

    def _begin(self) -> None:
        # Held while the file is written, which holds the keys of every ring.
        self._lock = threading.Lock()

    def slot(self, name: str, algorithm: str) -> _Slot:
        """Return the place of one ring.

        Args:
            name: The name of the ring.
            algorithm: What its keys sign with.
        """
        return _Slot(self, name, algorithm)

    def names(self) -> list[str]:
        """Return the names of the rings that are kept."""
        return list(self._rings)

    def load(self, name: str, algorithm: str) -> RingState:
        """Return the keys of one ring.

        Args:
            name: The name of the ring.
            algorithm: What its keys must sign with.

        Returns:
            The keys; an empty state if none are kept.

        Raises:
            ConfigurationError: If they cannot be used.
        """
        written = self._rings.get(name)
        if written is None:
            return RingState()
        try:
            keys = [_read(one) for one in written]
            if not keys or any(one.key.algorithm != algorithm for one in keys):
                raise ValueError(f"its keys must sign with {algorithm}")  # noqa: TRY301
        except (KeyError, TypeError, ValueError) as error:
            raise self._file.unusable(f"the keys of {name!r}: {error}") from None
        return RingState(keys[0], tuple(keys[1:]))

    def save(self, name: str, state: RingState) -> None:
        """Keep the keys of one ring.

        Args:
            name: The name of the ring.
            state: The keys.

        Raises:
            StateError: If they cannot be written; then the file is as it was.
        """
        keys = (() if state.current is None else (state.current,)) + state.replaced
        with self._lock:
            rings = self._rings | {name: [_written(one) for one in keys]}
            self._file.write({"rings": rings})
            self._rings = rings


@dataclass(frozen=True, slots=True)
class _Slot:
    file: KeyFile
    name: str
    algorithm: str

    def load(self) -> RingState:
        return self.file.load(self.name, self.algorithm)

    def save(self, state: RingState) -> None:
        self.file.save(self.name, state)


def _written(one: RingKey) -> dict[str, object]:
    key = one.key
    return {"private": key.private_pem, "made": key.made_at, "since": one.since, "until": one.until}


def _read(written: Mapping[str, Any]) -> RingKey:
    private, until = written["private"], written["until"]
    if not isinstance(private, str):
        raise TypeError("a key must be a text")
    key = SigningKey.from_pem(private, made_at=_time(written["made"]))
    return RingKey(key, _time(written["since"]), None if until is None else _time(until))


def _time(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value < _LATEST:  # type: ignore[operator]  # it is a number
        raise ValueError("a time must be a number of seconds since the epoch")
    return value  # type: ignore[return-value]  # as above
