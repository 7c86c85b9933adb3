"""Every adapter on every server decides as the table says, and answers with the very bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.conformance import clients
from support.conformance.applications import ADAPTERS, Adapter
from support.conformance.outcomes import Outcome, expected, headers_of, outcome
from support.conformance.servers import SERVERS, Fleet, Server
from support.conformance.table import SOCKETS, TABLE, Row
from support.tokens import MEMBER

Client = Callable[[int, str, Row, list[tuple[str, str]]], clients.Got]


@dataclass(frozen=True)
class Place:
    """An adapter on a server."""

    server: Server
    adapter: Adapter

    def __str__(self) -> str:
        return f"{self.adapter.name} on {self.server.name}"


PLACES = [
    Place(server, adapter)
    for server in SERVERS
    for adapter in ADAPTERS
    if server.interface == adapter.interface
    if not adapter.servers or server.name in adapter.servers
]

in_every_place = pytest.mark.parametrize("place", PLACES, ids=str)
over_http2 = pytest.mark.parametrize("place", [one for one in PLACES if one.server.http2], ids=str)


def with_websockets(answer: str) -> pytest.MarkDecorator:
    """Run a test in each place with websockets whose server answers refused ones so."""
    chosen = [one for one in PLACES if one.adapter.websockets and one.server.websockets == answer]
    return pytest.mark.parametrize("place", chosen, ids=str)


class Service:
    """The service in one place, ready to be asked."""

    def __init__(self, place: Place, port: int, tokens: dict[str, str]) -> None:
        self.server = place.server
        self.adapter = place.adapter
        self.port = port
        self.tokens = tokens

    def send(self, client: Client, row: Row) -> clients.Got:
        return client(self.port, self.adapter.name, row, headers_of(row, self.tokens))

    def differences(self, client: Client, rows: Iterable[Row]) -> dict[str, tuple[Outcome, Outcome]]:
        """Send rows, and return what the table says and what came, where they are not the same."""
        gives = {**self.adapter.gives, **self.server.gives}
        decodes = self.server.decodes or self.adapter.decodes
        left_out = set(self.adapter.loses) if decodes else set()
        if client.__name__ == self.server.sends_on:
            left_out.add("HEAD, good")
        found = {}
        for row in rows:
            here = dataclasses.replace(row, **gives.get(row.name, {}))
            got = outcome(here, self.send(client, here))
            said = expected(here, self.tokens, decoded=decodes)
            if got != said and row.name not in left_out:
                found[row.name] = (said, got)
        return found


@pytest.fixture
def service(place: Place, fleet: Fleet, tokens: dict[str, str]) -> Service:
    return Service(place, fleet.port(place.server), tokens)


@in_every_place
def test_every_request_is_answered_as_the_table_says(service: Service) -> None:
    assert {} == service.differences(clients.http1, TABLE)


@over_http2
def test_every_request_over_http2_is_answered_as_the_table_says(service: Service) -> None:
    assert {} == service.differences(clients.http2, TABLE)


@with_websockets("whole")
def test_every_websocket_is_opened_or_refused_as_the_table_says(service: Service) -> None:
    assert {} == service.differences(clients.websocket, SOCKETS)


@with_websockets("bare")
def test_every_refused_websocket_is_403_where_the_server_has_no_other_answer(service: Service) -> None:
    came = {row.name: service.send(clients.websocket, row) for row in SOCKETS}

    expected = {row.name: (101 if row.status == 101 else 403) for row in SOCKETS}
    assert expected == {name: got.status for name, got in came.items()}
    assert {MEMBER.encode(), b""} == {got.body for got in came.values()}


@in_every_place
def test_the_body_of_a_refused_request_is_not_taken_for_the_next_one(service: Service) -> None:
    good = [("authorization", f"Bearer {service.tokens['good']}")]
    hidden = clients.request_of(service.adapter.name, Row("hidden", 200, target="/orders/hidden"), good)
    first = clients.request_of(
        service.adapter.name, Row("first", 403, method="POST", body=hidden.decode()), []
    )
    last = clients.request_of(
        service.adapter.name, Row("last", 404, target="/nowhere"), good, "Connection: close"
    )

    statuses = [got.status for got in clients.http1_on_one_connection(service.port, first, last)]

    # A server may close the connection after the first, and asgiref's bridge may fail on the second.
    may_fail = [[403, 500]] if service.adapter.name == "flask-under-asgi" else []
    assert statuses in ([403], [403, 404], *may_fail)


@in_every_place
def test_the_answer_to_a_refused_upload_arrives(service: Service) -> None:
    row = Row("upload", 403, method="POST", body="x" * 1_000_000)
    assert {} == service.differences(clients.http1, [row])


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_the_page_on_servers_names_each_of_them(server: Server) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "frameworks" / "servers.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]

    assert 1 == len([row for row in rows if server.name.removesuffix("-async").startswith(row.split()[1])])
