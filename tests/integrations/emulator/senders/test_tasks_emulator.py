"""A Cloud Tasks emulator with an issuer of its own, accepted beside Google's: as docs/emulator.md shows it.

The issuer is simulated after aertje/cloud-tasks-emulator: discovery, a JWK Set whose ``alg`` is no registered
name, certificates at ``/certs``, tokens of five minutes whose ``sub`` is the address.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from doorward import GOOGLE, Door, InvokerPolicy, Issuer, KeysUnavailableError, Verifier
from doorward_integrations.emulator import EmulatedIssuer, Emulator, LoopbackServer
from support.receiver import ACCOUNT, AUDIENCE

MEMBER = f"serviceAccount:{ACCOUNT}"


class TasksEmulator:
    """The issuer of a Cloud Tasks emulator."""

    def __init__(self) -> None:
        self._issuer = EmulatedIssuer()
        self.url = ""

    async def answer(self, request: Request) -> JSONResponse:
        if request.url.path == "/certs":
            return JSONResponse(self._issuer.certificates())
        if request.url.path == "/jwks":
            return JSONResponse({"keys": [{**key, "alg": "RSA256"} for key in self._issuer.jwks()["keys"]]})
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"})

    def token(self, email: str = ACCOUNT, audience: str = AUDIENCE) -> str:
        return self._issuer.mint(
            audience, email=email, subject=email, lifetime=300, claims={"iss": self.url, "azp": None}
        )


@pytest.fixture(scope="module")
def tasks() -> Iterator[TasksEmulator]:
    """Serve the issuer."""
    tasks = TasksEmulator()
    with LoopbackServer(Starlette(routes=[Route("/{path:path}", tasks.answer)])) as server:
        tasks.url = server.url
        yield tasks


@pytest.fixture
def issuer(tasks: TasksEmulator) -> Issuer:
    """Describe it, as the page does."""
    return Issuer(
        name="cloud-tasks-emulator",
        iss_values=(tasks.url,),
        key_url=f"{tasks.url}/certs",
        max_lifetime=300,
        google_accounts=True,
    )


def status(door: Door, token: str) -> int:
    outcome = door.admit([(b"authorization", b"Bearer " + token.encode())])
    return getattr(outcome, "status", 200)


def test_its_tokens_are_accepted_beside_those_of_the_emulator(
    tasks: TasksEmulator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = Emulator()
    with emulator.serve() as running:
        monkeypatch.setenv("DOORWARD_EMULATOR_HOST", running.host)
        door = Door(Verifier(AUDIENCE, issuers=[GOOGLE, issuer]), InvokerPolicy.from_members([MEMBER]))

        assert [200, 200] == [
            status(door, token) for token in (tasks.token(), emulator.issuer.mint(AUDIENCE, email=ACCOUNT))
        ]
        assert [403, 401] == [
            status(door, token)
            for token in (
                tasks.token("other@orders.iam.gserviceaccount.com"),
                tasks.token(audience="another"),
            )
        ]


def test_without_that_issuer_its_tokens_are_refused(tasks: TasksEmulator, issuer: Issuer) -> None:
    door = Door(Verifier(AUDIENCE, issuers=[issuer]), InvokerPolicy.from_members([MEMBER]))
    other = dataclasses.replace(issuer, iss_values=("http://another.example",))
    elsewhere = Door(Verifier(AUDIENCE, issuers=[other]), InvokerPolicy.from_members([MEMBER]))

    assert [200, 401] == [status(door, tasks.token()), status(elsewhere, tasks.token())]


def test_its_jwk_set_cannot_be_used_which_is_why_its_certificates_are_named(
    tasks: TasksEmulator, issuer: Issuer
) -> None:
    verifier = Verifier(AUDIENCE, issuers=[dataclasses.replace(issuer, key_url=f"{tasks.url}/jwks")])

    with pytest.raises(KeysUnavailableError):
        verifier.verify(tasks.token())
