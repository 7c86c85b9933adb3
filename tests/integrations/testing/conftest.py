"""A guarded application, its client, and its caller."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from doorward import Door, InvokerPolicy, Principal, Verifier
from doorward_integrations.fastapi import Invoker, caller
from support.clock import ManualClock
from support.tokens import AUDIENCE, MEMBER


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def door(clock: ManualClock) -> Door:
    """A door over the keys of Google, which no test fetches."""
    return Door(Verifier(AUDIENCE, clock=clock), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def app(door: Door) -> FastAPI:
    app = FastAPI()
    Invoker(app, door)

    @app.get("/orders")
    async def orders(who: Annotated[Principal, Depends(caller)]) -> str:
        return str(who)

    return app


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app)
