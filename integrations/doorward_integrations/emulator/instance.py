"""The Compute Engine machine that emulated tokens may describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from doorward_integrations.emulator.accounts import numeric_id

__all__ = ["Instance"]

_INSTANCE_ID_DIGITS: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A Compute Engine machine, which the tokens of ``format=full`` describe.

    Attributes:
        name: Its name.
        zone: Its zone.
        created: The time when it was made, in whole seconds since the epoch.
        licenses: The ids of its image's licences, in a token only if it was asked for with ``licenses=TRUE``.
    """

    name: str = "doorward-emulator"
    zone: str = "europe-west1-b"
    created: int = 1_700_000_000
    licenses: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its id: 19 digits that follow from zone and name."""
        return numeric_id(f"{self.zone}/{self.name}", _INSTANCE_ID_DIGITS)
