"""The paths of the emulator's own interface, and the header that every request there needs."""

from __future__ import annotations

from typing import Final

__all__ = ["DECISIONS_PATH", "INTERFACE", "MARK_HEADER", "MINT_PATH"]

INTERFACE: Final = "/doorward/api"
"""What the paths begin with."""

MARK_HEADER: Final = "X-Doorward-Emulator"
"""The header without which nothing is answered: no web page of another site can add it without being asked
first."""

MINT_PATH: Final = f"{INTERFACE}/mint"
"""Where a token of any account is minted."""

DECISIONS_PATH: Final = f"{INTERFACE}/decisions"
"""Where decisions of doors are taken, and listed."""
