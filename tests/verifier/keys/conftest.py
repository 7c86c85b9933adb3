"""What the tests of the key cache share: a simulated endpoint, and every way in which a cache is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.simulator import APIS, Api, SimulatedEndpoint
from support.tokens import SigningKey

KEY = SigningKey("key-1")


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(KEY) as endpoint:
        yield endpoint


@pytest.fixture(params=APIS, ids=str)
def api(request: pytest.FixtureRequest) -> Api:
    api: Api = request.param
    return api
