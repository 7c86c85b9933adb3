"""Tokens of an issuer in the process, and of an emulator that is running."""

from __future__ import annotations

import pytest

from doorward import Verifier
from doorward.errors import ConfigurationError
from doorward_integrations.emulator import Emulator, LoopbackServer
from doorward_integrations.emulator.senders import tokens_of_emulator, tokens_of_issuer
from support.receiver import ACCOUNT, AUDIENCE


def test_an_issuer_in_the_process_mints_without_a_server(emulator: Emulator) -> None:
    token = tokens_of_issuer(emulator.issuer)(ACCOUNT, AUDIENCE)

    assert 3 == len(token.split("."))


def test_a_running_emulator_mints_for_any_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator().serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        token = tokens_of_emulator()(ACCOUNT, AUDIENCE)
        principal = Verifier(AUDIENCE).verify(token)

    assert f"serviceAccount:{ACCOUNT}" == principal.member


def test_without_the_variable_it_says_how_to_start_the_emulator() -> None:
    with pytest.raises(ConfigurationError, match="run `doorward emulator start`"):
        tokens_of_emulator()


@pytest.mark.parametrize("host", ["orders.example.com:80", "127.0.0.1", "127.0.0.1:80@evil.example:1"])
def test_only_an_emulator_on_this_machine_is_asked(host: str) -> None:
    with pytest.raises(ConfigurationError, match="of this machine"):
        tokens_of_emulator(host)


def test_an_emulator_that_is_not_running_is_said_to_be_so() -> None:
    with Emulator().serve() as running:
        host = running.host

    with pytest.raises(ConfigurationError, match="Is `doorward emulator start` running"):
        tokens_of_emulator(host)(ACCOUNT, AUDIENCE)


def test_what_is_no_emulator_gives_no_token() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]  # ASGI
        await send({"type": "http.response.body", "body": b'{"token": 7}'})  # type: ignore[operator]  # ASGI

    with LoopbackServer(app) as server, pytest.raises(ConfigurationError, match="no token from the emulator"):
        tokens_of_emulator(server.host)(ACCOUNT, AUDIENCE)


def test_what_the_emulator_refuses_is_said() -> None:
    with Emulator().serve() as running, pytest.raises(ConfigurationError, match="is no e-mail address"):
        tokens_of_emulator(running.host)("not an address", AUDIENCE)
