"""The variables that lead clients and services to an emulator."""

from __future__ import annotations

from typing import Final

from doorward.issuers.google import EMULATOR_VARIABLE

__all__ = ["environment_of"]

_NAMES: Final = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT", EMULATOR_VARIABLE)


def environment_of(host: str) -> dict[str, str]:
    """Return the variables that make Google's clients and doorward use an emulator.

    Args:
        host: The ``HOST:PORT`` of the emulator.

    Returns:
        Variables and their values, all ``HOST:PORT``.
    """
    return dict.fromkeys(_NAMES, host)
