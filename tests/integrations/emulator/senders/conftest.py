"""Fixtures of a receiver of events, and of what delivers to it by a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doorward_integrations.emulator.senders import Dispatcher
from support.clock import ManualClock
from support.receiver import Receiver


@pytest.fixture
def receiver() -> Receiver:
    """Return an endpoint that accepts everything."""
    return Receiver()


@pytest.fixture
def dispatch(receiver: Receiver, clock: ManualClock) -> Callable[..., Dispatcher]:
    """Return what makes a dispatcher to the receiver: it waits by the clock that is moved by hand."""

    def sleep(seconds: float) -> None:
        receiver.waits.append(seconds)
        clock.move(seconds)

    def make(attempts: int = 10) -> Dispatcher:
        return Dispatcher(receiver.mint, attempts=attempts, clock=clock, sleep=sleep, transport=receiver)

    return make
