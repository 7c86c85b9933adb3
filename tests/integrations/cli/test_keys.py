"""``doorward keys`` against a running emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from doorward_integrations.cli.main import main
from doorward_integrations.emulator import (
    EmulatedIssuer,
    Emulator,
    LoopbackServer,
    RotationSchedule,
    SigningKey,
)
from support.clock import ManualClock
from support.tokens import rsa_key

Output = pytest.CaptureFixture[str]


@pytest.fixture
def emulator() -> Emulator:
    names = iter(range(10))
    clock = ManualClock()
    rotation = RotationSchedule(overlap=60)

    def make() -> SigningKey:
        return SigningKey(rsa_key(f"emulated-{next(names)}"), clock=clock)

    return Emulator(EmulatedIssuer(clock=clock, make_key=make, rotation=rotation))


@pytest.fixture(autouse=True)
def host(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        yield running.host


def google(capsys: Output) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("google ")]


def test_the_published_keys_are_listed(emulator: Emulator, capsys: Output) -> None:
    assert 0 == main(["keys", "list"])
    kid = emulator.issuer.current.kid

    assert [f"google  {kid}  RS256  since 2026-09-21T14:13:20Z  current"] == google(capsys)


def test_a_rotation_shows_until_when_the_last_key_is_published(emulator: Emulator, capsys: Output) -> None:
    old = emulator.issuer.current.kid
    assert 0 == main(["keys", "rotate"])
    new, replaced = google(capsys)

    assert emulator.issuer.current.kid in new
    assert old in replaced
    assert replaced.endswith("published until 2026-09-21T14:14:20Z")


def test_a_key_is_withdrawn_and_revoked(emulator: Emulator, capsys: Output) -> None:
    first = emulator.issuer.current.kid
    assert 0 == main(["keys", "rotate", "--withdraw"])
    assert 1 == len(google(capsys))
    second = emulator.issuer.current.kid
    assert 0 == main(["keys", "revoke", second])

    assert not {first, second} & {key.kid for key in emulator.issuer.keys}


def test_the_keys_of_another_issuer_are_changed_as_json(
    emulator: Emulator, host: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.delenv("DOORWARD_EMULATOR_HOST")
    assert 0 == main(["keys", "rotate", "--issuer", "iap", "--json", "--url", f"http://{host}"])
    keys = json.loads(capsys.readouterr().out)["keys"]

    assert emulator.iap.current.kid == keys[0]["kid"]
    assert {"iap"} == {key["issuer"] for key in keys}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["revoke", "other"], "no key with the id 'other' is published"),
        (["rotate", "--issuer", "other"], "no issuer 'other' with keys"),
        (["list", "--url", "http://example.com:80"], "must be a port of this machine"),
        (
            ["list", "--url", "http://127.0.0.1:9"],
            "no emulator answers at http://127.0.0.1:9 (Con",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_said_in_one_line(arguments: list[str], why: str, capsys: Output) -> None:
    assert 2 == main(["keys", *arguments])
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("text", ["Hello", "{}", '{"keys": 1}'])
def test_what_is_no_emulator_is_said(text: str, capsys: Output) -> None:
    health = Route("/healthz", lambda _: JSONResponse({"emulator": "doorward"}))
    keys = Route("/doorward/v1/keys", lambda _: PlainTextResponse(text))
    with LoopbackServer(Starlette(routes=[health, keys])) as server:
        assert 2 == main(["keys", "list", "--url", server.url])

    assert "what answers at http://127.0.0.1:" in capsys.readouterr().err
