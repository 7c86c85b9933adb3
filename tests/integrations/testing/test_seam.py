"""The place where the kit comes between an adapter and its door."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient

from doorward import Admission, Door, InvokerPolicy, Refusal
from doorward.errors import PermissionDeniedError
from doorward.services.services import Services
from doorward_integrations.fastapi import Invoker
from doorward_integrations.starlette import only
from doorward_integrations.testing import MemoryIssuer, as_principal, assert_refused
from doorward_integrations.testing.decisions import made
from doorward_integrations.testing.seam import CALLERS, Caller, watch
from support.clock import ManualClock
from support.tokens import AUDIENCE, CALLER

METHODS = {"admit", "aadmit", "admit_cached", "refuse"}


def test_a_door_is_as_it_was_made_once_it_is_watched_no_more(door: Door) -> None:
    first, second = watch(door), watch(door)
    assert METHODS <= vars(door).keys()
    first()
    first()
    assert METHODS <= vars(door).keys()
    second()
    assert not METHODS & vars(door).keys()


def test_what_a_watched_door_decides_is_kept_in_every_way_of_asking(door: Door) -> None:
    end = watch(door)
    try:
        door.admit([])
        asyncio.run(door.aadmit([]))
        door.refuse(PermissionDeniedError("no"))
        assert door.admit_cached([], "GET", "/") is None
    finally:
        end()
    door.admit([])

    assert ["no_credential", "no_credential", "permission_denied"] == [str(one.reason) for one in made()]


@pytest.mark.parametrize("is_open", [True, False], ids=["in its block", "after it"])
def test_the_headers_of_a_caller_are_added_in_its_block_alone(door: Door, is_open: bool) -> None:  # noqa: FBT001 - a parameter of the test
    who = Caller(lambda _: ((b"authorization", b"Bearer x"),))
    who.open = is_open
    end, token = watch(door), CALLERS.set((who,))
    try:
        outcome = door.admit([])
    finally:
        CALLERS.reset(token)
        end()

    assert isinstance(outcome, Refusal)
    assert ("malformed" if is_open else "no_credential") == str(outcome.reason)


def test_a_header_that_a_request_has_stays(door: Door) -> None:
    who = Caller(lambda _: ((b"authorization", b"Bearer x"), (b"x-more", b"1")))
    own = (b"authorization", b"Bearer own")

    assert [own, (b"x-more", b"1")] == list(who.add_to(door, [own]))


def test_a_door_that_is_watched_answers_as_it_would(door: Door) -> None:
    plain = door.admit([])
    end = watch(door)
    watched = door.admit([])
    end()

    assert isinstance(plain, Refusal)
    assert isinstance(watched, Refusal)
    assert not isinstance(watched, Admission)
    assert (plain.status, plain.body, plain.headers) == (watched.status, watched.body, watched.headers)


class TestServices:
    """A door of many services: each request is decided by the door of its service, or by none."""

    @pytest.fixture
    def services(self, clock: ManualClock, door: Door) -> Services:
        services = Services(clock=clock)
        services.put("orders", audience=AUDIENCE, policy=door.policy, hosts=["testserver"])
        return services

    @pytest.fixture
    def app(self, services: Services) -> FastAPI:
        app = FastAPI()
        Invoker(app, services)

        @app.get("/orders")
        @only(lambda who: who.email == "ann@example.com")
        async def orders(request: Request) -> str:
            return str(request.url)

        return app

    @pytest.mark.parametrize("named", [True, False], ids=["its service named", "found"])
    def test_each_decision_is_kept_once_with_the_door_that_made_it(
        self,
        app: FastAPI,
        services: Services,
        named: bool,  # noqa: FBT001 - a parameter of the test
    ) -> None:
        orders = services.door("orders")
        with as_principal(TestClient(app), CALLER, door=orders if named else None) as client:
            assert_refused(client.get("/orders"), "route_narrowed")
            assert_refused(client.get("/else", headers={"host": "else.example"}), "unknown_service")

        assert [(orders, None), (services, "route_narrowed"), (services, "unknown_service")] == [
            (one.door, one.reason and str(one.reason)) for one in made()
        ]

    def test_a_service_that_is_changed_meanwhile_is_watched(
        self, app: FastAPI, services: Services, doorward_issuer: MemoryIssuer
    ) -> None:
        doorward_issuer.stand_in_for(app)
        client = TestClient(app, headers={"authorization": f"Bearer {doorward_issuer.token_for(CALLER)}"})
        ann = InvokerPolicy.from_members(["user:ann@example.com"])
        changed = services.put("orders", audience=AUDIENCE, policy=ann, hosts=["testserver"])

        assert changed is assert_refused(client.get("/orders"), "permission_denied").door

    def test_all_of_them_can_be_named_as_the_door(self, services: Services) -> None:
        headers = [(b"host", b"testserver")]
        with as_principal(services, CALLER, door=services):
            assert isinstance(services.admit(headers), Admission)
            assert services.admit_cached(headers, "GET", "/") is not None
        assert ["admitted", "admitted"] == [one.outcome for one in made()]
        assert not METHODS & vars(services).keys()
