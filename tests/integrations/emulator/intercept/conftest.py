"""Fixtures of an emulator on the system's clock, which other programs use too, with its proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorward_integrations.emulator import EmulatedIssuer, Emulator, RunningEmulator, SigningKey
from doorward_integrations.emulator.intercept import Intercept
from support.tokens import rsa_key


@pytest.fixture
def running() -> Iterator[RunningEmulator]:
    """Serve an emulator."""
    names = iter(("emulated-0", "emulated-1"))
    emulator = Emulator(EmulatedIssuer(make_key=lambda: SigningKey(rsa_key(next(names)))))
    with emulator.serve() as running:
        yield running


@pytest.fixture
def intercept(running: RunningEmulator) -> Iterator[Intercept]:
    """Answer for Google's hosts."""
    with Intercept(running) as intercept:
        yield intercept
