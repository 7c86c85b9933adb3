"""Issuers that are made when they are first named, each with keys of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from doorward.errors import ConfigurationError
from doorward.forks import renew_in_children
from doorward_integrations.emulator.issuers.core import SigningIssuer

__all__ = ["NamedIssuers"]

_MOST: Final = 100

I = TypeVar("I", bound=SigningIssuer)  # noqa: E741 - the issuer


class NamedIssuers(Generic[I]):
    """Makes one issuer for each name, and returns the same one from then on. Safe to use from threads."""

    def __init__(self, make: Callable[[str], I]) -> None:
        """Begin without any.

        Args:
            make: Makes the issuer of a name, or raises ConfigurationError if that is no name.
        """
        self._make: Final = make
        self._made: dict[str, I] = {}
        self._begin()
        renew_in_children(self, NamedIssuers._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[I]:
        """Iterate over the issuers that were named so far."""
        return iter(tuple(self._made.values()))

    def get(self, name: str) -> I:
        """Return the issuer of a name.

        Args:
            name: The name.

        Returns:
            The issuer; its first key is made when it is needed.

        Raises:
            ConfigurationError: If it is no name of such an issuer, or 100 have been named already.
        """
        with self._lock:
            if name not in self._made:
                made = self._make(name)
                if len(self._made) >= _MOST:
                    raise ConfigurationError(f"an emulator has at most {_MOST} issuers of one kind")
                self._made[name] = made
            return self._made[name]
