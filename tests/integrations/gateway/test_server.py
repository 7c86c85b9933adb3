"""The gateway on a port: started, stopped and forked as every server of doorward's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from doorward import ConfigurationError
from doorward_integrations.gateway import Gateway, GatewayServer, Upstream
from support.forks import forked, forking
from support.gateway import door_of
from support.world import World


@pytest.fixture
def server(world: World) -> Iterator[GatewayServer]:
    server = GatewayServer(Gateway(door_of(world), Upstream("http://127.0.0.1:1")), linger=0, grace=1)
    yield server
    server.stop()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_it_can_be_started_again_after_it_was_stopped(server: GatewayServer) -> None:
    for _ in range(2):
        with server:
            assert answers(server.port)
            with pytest.raises(RuntimeError, match="the gateway is running already"):
                server.start()
    assert "GatewayServer(stopped)" == repr(server)


def test_a_signal_while_it_starts_leaves_no_port_behind(
    server: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = threading.Event.wait
    ports: list[int] = []

    def interrupt(event: threading.Event, timeout: float | None = None) -> bool:
        wait(event, timeout)
        if event is server._ready:
            ports.append(server.port)
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(threading.Event, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert [False] == [answers(port) for port in ports]


@forking
def test_a_forked_child_does_not_stop_the_server_of_its_parent(server: GatewayServer) -> None:
    def child() -> bool:
        server.stop()
        return server._thread is None

    with server:
        assert forked(child)
        assert answers(server.port)


def test_a_port_that_is_taken_is_said_before_anything_starts(server: GatewayServer, world: World) -> None:
    with server:
        door, upstream = door_of(world), Upstream("http://127.0.0.1:1")
        other = GatewayServer(Gateway(door, upstream), port=server.port)
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            other.start()
        assert "GatewayServer(stopped)" == repr(other)


@pytest.mark.parametrize("wrong", [{"port": -1}, {"port": 65_536}, {"grace": -1}, {"linger": float("nan")}])
def test_a_number_out_of_range_is_refused(world: World, wrong: dict[str, Any]) -> None:
    gateway = Gateway(door_of(world), Upstream("http://127.0.0.1:1"))
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        GatewayServer(gateway, **wrong)
