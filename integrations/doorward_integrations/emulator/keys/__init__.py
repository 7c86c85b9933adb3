"""Signing keys: what signs, when it is replaced, and how it is kept.

`SigningKey` and `RotationSchedule` can be imported from here.
"""

from __future__ import annotations

from doorward_integrations.emulator.keys.schedule import RotationSchedule
from doorward_integrations.emulator.keys.signing_key import SigningKey

__all__ = ["RotationSchedule", "SigningKey"]
