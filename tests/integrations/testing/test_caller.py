"""`as_principal`: who is the caller in a block, and who is not."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from doorward import (
    GOOGLE,
    IAP,
    ConfigurationError,
    Door,
    InvokerPolicy,
    Issuer,
    Reason,
    Verifier,
    find_iap_assertion,
    firebase,
)
from doorward.door.credentials import RawHeaders
from doorward.policy.request import PlainRequest
from doorward_integrations.asgi import InvokerMiddleware, principal_of
from doorward_integrations.testing import as_principal, assert_admitted, assert_refused, principal, watching
from support.clock import ManualClock
from support.tokens import AUDIENCE, CALLER, MEMBER

OUTSIDER = "outsider@doorward-test.iam.gserviceaccount.com"
OURS = Issuer(name="ours", iss_values=("https://id.example",), key_url="https://id.example/keys")


def admitted(door: Door) -> str:
    outcome = door.admit([], PlainRequest("/orders"))
    return str(getattr(outcome, "principal", getattr(outcome, "reason", None)))


class TestClients:
    def test_requests_of_the_client_are_the_callers(self, client: TestClient) -> None:
        with as_principal(client, CALLER):
            assert MEMBER == client.get("/orders").json()

    def test_they_are_not_after_the_block(self, client: TestClient) -> None:
        with as_principal(client, CALLER):
            pass
        assert 403 == client.get("/orders").status_code
        assert "x-serverless-authorization" not in client.headers

    def test_they_are_not_after_a_block_that_failed(self, client: TestClient) -> None:
        with pytest.raises(ZeroDivisionError), as_principal(client, CALLER):
            raise ZeroDivisionError
        assert 403 == client.get("/orders").status_code

    def test_those_of_another_client_of_the_same_application_are_not(
        self, app: FastAPI, client: TestClient
    ) -> None:
        with as_principal(client, CALLER):
            assert 403 == TestClient(app).get("/orders").status_code

    def test_two_clients_are_two_callers_at_once(self, app: FastAPI, client: TestClient) -> None:
        other = TestClient(app)
        with as_principal(client, CALLER), as_principal(other, OUTSIDER):
            assert 200 == client.get("/orders").status_code
            assert_refused(other.get("/orders"), Reason.PERMISSION_DENIED)

    def test_the_inner_one_of_two_blocks_counts(self, client: TestClient) -> None:
        with as_principal(client, CALLER):
            with as_principal(client, OUTSIDER):
                assert 403 == client.get("/orders").status_code
            assert 200 == client.get("/orders").status_code

    def test_the_application_receives_the_token_without_its_signature(self, door: Door) -> None:
        seen: list[RawHeaders] = []

        async def app(scope: dict[str, RawHeaders], _receive: object, send: object) -> None:
            seen.append(scope["headers"])
            raise ZeroDivisionError

        guarded = TestClient(InvokerMiddleware(app, door))
        with as_principal(guarded, CALLER), pytest.raises(ZeroDivisionError):
            guarded.get("/", headers={"authorization": "Basic c2hvcDpzaG9w"})
        found = dict(seen[0])
        assert found[b"x-serverless-authorization"].endswith(b".SIGNATURE_REMOVED_BY_GOOGLE")
        assert b"Basic c2hvcDpzaG9w" == found[b"authorization"]

    def test_an_asynchronous_client_works_with_a_plain_with(self, app: FastAPI) -> None:
        async def ask() -> list[int]:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
                with as_principal(client, CALLER):
                    inside = await client.get("/orders")
                return [inside.status_code, (await client.get("/orders")).status_code]

        assert [200, 403] == asyncio.run(ask())

    def test_a_websocket_of_the_client_is_the_callers(self, app: FastAPI, client: TestClient) -> None:
        @app.websocket("/live")
        async def live(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(str(principal_of(websocket)))
            await websocket.close()

        with as_principal(client, CALLER), client.websocket_connect("/live") as socket:
            assert MEMBER == socket.receive_text()
        with watching(client), pytest.raises(WebSocketDisconnect) as refused:
            client.websocket_connect("/live").__enter__()
        assert_refused(refused.value, Reason.NO_CREDENTIAL)


class TestApplications:
    def test_requests_that_the_block_makes_are_the_callers(self, app: FastAPI, client: TestClient) -> None:
        with as_principal(app, CALLER):
            assert MEMBER == client.get("/orders").json()
        assert 403 == client.get("/orders").status_code

    def test_those_of_a_client_whose_loop_was_started_before_are_too(self, app: FastAPI) -> None:
        with TestClient(app) as client:
            with as_principal(app, CALLER):
                assert 200 == client.get("/orders").status_code
            assert 403 == client.get("/orders").status_code

    def test_the_door_itself_can_be_given(self, door: Door) -> None:
        with as_principal(door, CALLER):
            assert MEMBER == admitted(door)

    def test_a_request_that_brings_the_header_keeps_it(self, app: FastAPI, client: TestClient) -> None:
        with as_principal(app, CALLER):
            response = client.get("/orders", headers={"x-serverless-authorization": "Bearer a.b.c"})
        assert_refused(response, Reason.MALFORMED)

    def test_another_thread_is_not_the_caller(self, door: Door) -> None:
        with as_principal(door, CALLER), ThreadPoolExecutor(1) as pool:
            assert Reason.NO_CREDENTIAL == pool.submit(admitted, door).result()

    def test_another_task_that_was_there_before_is_not_the_caller(self, door: Door) -> None:
        async def ask() -> tuple[str, str]:
            go, gone = asyncio.Event(), asyncio.Event()

            async def elsewhere() -> str:
                await go.wait()
                return admitted(door)

            other = asyncio.create_task(elsewhere())
            await asyncio.sleep(0)
            with as_principal(door, CALLER):
                go.set()
                found = await other
                own = admitted(door)
            gone.set()
            return own, found

        assert (MEMBER, Reason.NO_CREDENTIAL) == asyncio.run(ask())

    def test_a_task_that_is_left_over_is_the_caller_no_longer(self, door: Door) -> None:
        async def ask() -> str:
            ended = asyncio.Event()

            async def late() -> str:
                await ended.wait()
                return admitted(door)

            with as_principal(door, CALLER):
                task = asyncio.create_task(late())
                await asyncio.sleep(0)
            # Even where the door is watched again, by the block of another caller.
            with as_principal(door, OUTSIDER):
                ended.set()
                return await task

        assert Reason.NO_CREDENTIAL == asyncio.run(ask())

    def test_blocks_of_two_threads_do_not_mix(self, door: Door) -> None:
        both = threading.Barrier(2)

        def ask(who: str) -> str:
            with as_principal(door, who):
                both.wait(10)
                found = admitted(door)
                both.wait(10)
            return found

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(ask, [CALLER, OUTSIDER]))

        assert [MEMBER, Reason.PERMISSION_DENIED] == found
        assert Reason.NO_CREDENTIAL == admitted(door)

    def test_the_door_is_afterwards_as_it_was_made(self, door: Door) -> None:
        before, sources = dict(vars(door)), [one.key_source for one in door.verifier._engine.issuers]
        with as_principal(door, CALLER):
            assert MEMBER == admitted(door)
        assert before == vars(door)
        assert sources == [one.key_source for one in door.verifier._engine.issuers]


class TestPolicies:
    def test_the_policy_decides_as_in_production(
        self, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "doorward.testing"), as_principal(client, OUTSIDER):
            assert 403 == client.get("/orders").status_code
        assert "as in production, the policy does not admit this caller" in caplog.text

    def test_a_request_from_elsewhere_is_explained_in_the_log(
        self, door: Door, caplog: pytest.LogCaptureFixture
    ) -> None:
        with as_principal(door, CALLER), ThreadPoolExecutor(1) as pool:
            pool.submit(admitted, door).result()
        assert "came from another thread or task than the block" in caplog.text

    def test_a_condition_sees_the_request(self, clock: ManualClock) -> None:
        below = {"title": "below", "expression": 'request.path.startsWith("/orders")'}
        binding = {"role": "roles/run.invoker", "members": [MEMBER], "condition": below}
        policy = InvokerPolicy.from_dict({"version": 3, "bindings": [binding]})
        door = Door(Verifier(AUDIENCE, clock=clock), policy)
        with as_principal(door, CALLER):
            assert MEMBER == admitted(door)
            assert 403 == getattr(door.admit([], PlainRequest("/other")), "status", None)


class TestTokens:
    def test_a_token_is_renewed_by_the_clock_of_the_verifier(self, door: Door, clock: ManualClock) -> None:
        with as_principal(door, CALLER):
            assert MEMBER == admitted(door)
            clock.move(7_200)
            assert MEMBER == admitted(door)
            clock.move(-80_000)
            assert MEMBER == admitted(door)

    def test_a_user_of_identity_aware_proxy(self, clock: ManualClock) -> None:
        policy = InvokerPolicy.from_members(["user:ann@example.com"])
        door = Door(Verifier(AUDIENCE, issuers=[IAP], clock=clock), policy, credential=find_iap_assertion)
        with as_principal(door, principal("ann@example.com", issuer=IAP)):
            assert "user:ann@example.com" == admitted(door)

    def test_an_address_alone_is_one_of_the_first_issuer_of_the_verifier(self, clock: ManualClock) -> None:
        verifier = Verifier(issuers=[firebase("my-project-1a2b3")], clock=clock)
        door = Door(verifier, InvokerPolicy.all_users())
        with as_principal(door, "ann@example.com"):
            assert admitted(door).startswith("subject:1")

    def test_a_caller_of_another_issuer_is_a_mistake_that_is_explained(self, door: Door) -> None:
        with (
            pytest.raises(ConfigurationError, match="accepts tokens of google, and the caller is one of"),
            as_principal(door, principal("ann@example.com", issuer=OURS)),
        ):
            pass

    def test_the_doors_of_other_issuers_are_left_alone(self, clock: ManualClock) -> None:
        policy = InvokerPolicy.all_users()
        ours = Door(Verifier(AUDIENCE, issuers=[OURS], clock=clock), policy)
        google = Door(Verifier(AUDIENCE, issuers=[GOOGLE], clock=clock), InvokerPolicy.from_members([MEMBER]))
        app = InvokerMiddleware(InvokerMiddleware(lambda *_: None, ours), google)  # type: ignore[arg-type]
        with as_principal(app, principal("ann@example.com", issuer=OURS)):
            assert admitted(ours).startswith("subject:")
            assert Reason.NO_CREDENTIAL == admitted(google)

    def test_an_audience_that_is_no_text_has_to_be_given(self, clock: ManualClock) -> None:
        class Ours:
            def accepts(self, aud: str, /) -> bool:
                return aud.endswith(".example")

        door = Door(Verifier(Ours(), clock=clock), InvokerPolicy.from_members([MEMBER]))
        with pytest.raises(ConfigurationError, match="no audience is known"), as_principal(door, CALLER):
            pass
        with as_principal(door, CALLER, audience="https://orders.example"):
            assert MEMBER == admitted(door)

    def test_a_door_with_a_credential_of_its_own_is_explained(self, clock: ManualClock) -> None:
        door = Door(
            Verifier(AUDIENCE, clock=clock), InvokerPolicy.from_members([MEMBER]), credential=lambda _: None
        )
        with pytest.raises(ConfigurationError, match="a function of your own"), as_principal(door, CALLER):
            pass


class TestEndUsers:
    def test_a_caller_calls_on_behalf_of_a_user(self, clock: ManualClock) -> None:
        users = Verifier("https://web.example", clock=clock)
        door = Door(
            Verifier(AUDIENCE, clock=clock),
            InvokerPolicy.from_members([MEMBER]),
            end_user=users,
            end_user_callers=[MEMBER],
        )
        with as_principal(door, CALLER, end_user="ann@example.com"):
            outcome = door.admit([])
        assert "user:ann@example.com" == str(getattr(outcome, "end_user", None))

    def test_a_door_that_looks_for_none_is_explained(self, door: Door) -> None:
        with (
            pytest.raises(ConfigurationError, match="looks for no end user"),
            as_principal(door, CALLER, end_user="ann@example.com"),
        ):
            pass


def test_an_admission_says_as_whom(client: TestClient) -> None:
    with as_principal(client, CALLER):
        response = client.get("/orders")
    assert MEMBER == assert_admitted(response, CALLER).caller


def test_a_target_without_a_door_is_explained() -> None:
    with (
        pytest.raises(ConfigurationError, match="no door is found in FastAPI"),
        as_principal(FastAPI(), CALLER),
    ):
        pass
