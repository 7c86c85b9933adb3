"""The emulator of a project with several accounts."""

from __future__ import annotations

import pytest

from doorward_integrations.emulator import Emulator
from support.accounts import orders_emulator
from support.clock import ManualClock


@pytest.fixture
def emulator(clock: ManualClock) -> Emulator:
    """Return a new emulator for each test."""
    return orders_emulator(clock)
