"""The emulator as one application of its endpoints."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from doorward import ConfigurationError
from doorward_integrations.emulator import DEFAULT_ACCOUNT, Emulator, Endpoint


class Greeting:
    """One further endpoint: all that a new route takes."""

    def __init__(self, path: str = "/greeting") -> None:
        self._path = path

    def routes(self) -> Sequence[BaseRoute]:
        return [Route(self._path, self._greet)]

    async def _greet(self, _: Request) -> Response:
        return PlainTextResponse("Hello")


def get(emulator: Emulator, path: str) -> httpx.Response:
    with emulator.serve() as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        return client.get(path)


def test_a_further_endpoint_is_served_beside_the_emulators_own(emulator: Emulator) -> None:
    further = Emulator(emulator.issuer, endpoints=[Greeting()])

    assert "Hello" == get(further, "/greeting").text
    assert emulator.issuer.jwks() == get(further, "/oauth2/v3/certs").json()
    assert 404 == get(emulator, "/greeting").status_code


def test_the_emulators_own_endpoint_answers_where_a_further_one_has_the_same_path(emulator: Emulator) -> None:
    further = Emulator(emulator.issuer, endpoints=[Greeting("/oauth2/v3/certs")])

    assert emulator.issuer.jwks() == get(further, "/oauth2/v3/certs").json()


def test_the_parts_of_an_emulator_are_endpoints_themselves(emulator: Emulator) -> None:
    greeting = Greeting()
    further = Emulator(emulator.issuer, endpoints=iter([greeting]))

    assert (further.page, further.certs, further.metadata) == further.endpoints[:3]
    assert further.services in further.endpoints
    assert greeting is further.endpoints[-1]


@pytest.mark.parametrize("endpoint", [None, Mount("/a", routes=[Route("/", get)]), Greeting, "/greeting"])
def test_an_endpoint_without_routes_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ConfigurationError, match=r"give an object with a method routes\(\)"):
        Emulator(endpoints=[endpoint])


def test_a_repr_shows_no_key_and_no_token(emulator: Emulator) -> None:
    shown = repr(emulator)

    assert shown.startswith("Emulator(EmulatedIssuer(iss='https://accounts.google.com', kids=[]), ")
    assert DEFAULT_ACCOUNT in shown
