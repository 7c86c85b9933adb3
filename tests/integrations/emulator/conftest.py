"""Fixtures of an emulator on a clock moved by hand, and of a server on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest

from doorward_integrations.emulator import (
    EmulatedIssuer,
    Emulator,
    Instance,
    LoopbackServer,
    SigningKey,
    create_app,
)
from support.clock import ManualClock
from support.stage import Stage
from support.tokens import rsa_key


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Return a server that waits for an application."""
    stage = Stage()
    with LoopbackServer(stage) as server:
        stage.url = server.url
        yield stage


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that is moved by hand."""
    return ManualClock()


@pytest.fixture
def emulator(clock: ManualClock) -> Emulator:
    """Return a new emulator for each test; the RSA keys are shared between tests."""
    names = (f"emulated-{number}" for number in itertools.count())
    issuer = EmulatedIssuer(clock=clock, make_key=lambda: SigningKey(rsa_key(next(names)), clock=clock))
    return Emulator(issuer, instance=Instance(licenses=("1000", "1001")), max_age=600)


@pytest.fixture
def client(emulator: Emulator, stage: Stage) -> Iterator[httpx.Client]:
    """Serve the emulator, and return a client of it."""
    stage.app = create_app(emulator)
    # Of plain HTTP: certificates take most of the time that a client takes to make.
    transport = httpx.HTTPTransport(verify=False)
    with httpx.Client(base_url=stage.url, transport=transport, trust_env=False) as client:
        yield client
    stage.app = None
