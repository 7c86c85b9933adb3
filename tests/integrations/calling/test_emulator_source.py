"""The emulator as the source, without google-auth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward import ConfigurationError, Verifier
from doorward_integrations.calling import EmulatorSource, IdTokenError, IdTokens
from doorward_integrations.calling.emulator_source import default_source
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, RunningEmulator
from support.servers import asgi_server
from support.tokens import AUDIENCE

OTHER = "other@doorward-demo.iam.gserviceaccount.com"
FLAVOR = {"metadata-flavor": "Google"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with Emulator(other_accounts=[OTHER]).serve() as running:
        yield running


@pytest.mark.parametrize(("account", "email"), [("default", DEFAULT_ACCOUNT), (OTHER, OTHER)])
def test_its_tokens_are_good_for_their_audience(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, account: str, email: str
) -> None:
    monkeypatch.setenv("DOORWARD_EMULATOR_HOST", emulator.host)
    audience = f"{AUDIENCE}/a?b=c&d#é"
    token = IdTokens(EmulatorSource(emulator.host, account=account)).get(audience)

    assert f"serviceAccount:{email}" == Verifier(audience).verify(token).member


def test_it_is_the_default_where_the_environment_names_one(emulator: RunningEmulator) -> None:
    source = default_source({"DOORWARD_EMULATOR_HOST": emulator.host})

    assert isinstance(source, EmulatorSource)
    assert emulator.host == source.host


@pytest.mark.parametrize("host", ["emulator.example:80", "127.0.0.1", "", "127.0.0.1:80@evil.example"])
def test_an_emulator_elsewhere_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="of this machine"):
        EmulatorSource(host)


def test_an_account_that_is_not_there_is_an_error(emulator: RunningEmulator) -> None:
    with pytest.raises(IdTokenError, match="answered with 404"):
        IdTokens(EmulatorSource(emulator.host, account="absent@x.iam.gserviceaccount.com")).get(AUDIENCE)


def test_an_emulator_that_is_away_is_an_error() -> None:
    with pytest.raises(IdTokenError, match="FetchError: connect"):
        IdTokens(EmulatorSource("127.0.0.1:9")).get(AUDIENCE)


class Hostile:
    """Answers on every path what a test sets."""

    def __init__(self) -> None:
        self.answer: Callable[[], Response] = Response

    async def __call__(self, _: Request) -> Response:
        return self.answer()


@pytest.fixture(scope="module")
def hostile() -> Iterator[tuple[Hostile, str]]:
    one = Hostile()

    async def answer(request: Request) -> Response:
        return await one(request)

    with asgi_server(Starlette(routes=[Route("/{path:path}", answer)])) as url:
        yield one, url.removeprefix("http://")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (lambda: Response("a.b.c"), "Metadata-Flavor is missing"),
        (lambda: Response("x" * 1_000_000, headers=FLAVOR), "FetchError: size"),
        (lambda: Response("é" * 9, headers=FLAVOR), "not ASCII"),
        (lambda: Response("garbage", headers=FLAVOR), "what is no ID token"),
        (lambda: Response("", headers=FLAVOR), "what is no ID token"),
        (lambda: Response(status_code=302, headers={"location": "/", **FLAVOR}), "answered with 302"),
    ],
    ids=["no metadata server", "huge", "not ASCII", "garbage", "empty", "redirect"],
)
def test_a_hostile_answer_is_an_error(
    hostile: tuple[Hostile, str], answer: Callable[[], Response], cause: str
) -> None:
    hostile[0].answer = answer
    with pytest.raises(IdTokenError, match=cause):
        IdTokens(EmulatorSource(hostile[1])).get(AUDIENCE)
