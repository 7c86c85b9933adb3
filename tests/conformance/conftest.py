"""The servers that the chosen tests need, started beside each other, and the tokens for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.conformance.doors import KEYS, make_tokens, write_keys
from support.conformance.servers import Fleet, Server, running


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the file of the issuer's keys."""
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    """Give the tokens of the table, by name."""
    return make_tokens()


@pytest.fixture(scope="session")
def fleet(
    request: pytest.FixtureRequest, keys: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Run the servers that the chosen tests name."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    places = [call.params.get("place") for call in calls if call is not None]
    chosen = [getattr(place, "server", None) for place in places]
    servers = {server.name: server for server in chosen if isinstance(server, Server)}
    with running(list(servers.values()), {KEYS: keys}, tmp_path_factory.mktemp("logs")) as fleet:
        yield fleet
