"""The assertions: what they accept, and what their failures say."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, HTTPException
from starlette.testclient import TestClient

from doorward import ConfigurationError, Door, Reason
from doorward_integrations.testing import (
    MemoryIssuer,
    as_principal,
    assert_admitted,
    assert_refused,
    principal,
    watching,
)
from support.tokens import CALLER, MEMBER


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_the_reason_of_a_refusal_is_known_inside_of_a_test_alone(
    client: TestClient, doorward_issuer: MemoryIssuer
) -> None:
    doorward_issuer.stand_in_for(client)
    response = client.get("/orders", headers=bearer(doorward_issuer.expired(CALLER)))
    assert Reason.EXPIRED is assert_refused(response, Reason.EXPIRED).reason
    assert Reason.EXPIRED is assert_refused(response, "expired").reason
    assert "expired" not in response.text + str(response.headers)


def test_watching_is_enough(client: TestClient) -> None:
    with watching(client):
        assert_refused(client.get("/orders"), Reason.NO_CREDENTIAL)


def test_the_decision_belongs_to_the_request_of_the_response(app: FastAPI, client: TestClient) -> None:
    with as_principal(client, CALLER):
        admitted = client.get("/orders")
        refused = TestClient(app).get("/other")
    assert_admitted(admitted, CALLER)
    assert_refused(refused, Reason.NO_CREDENTIAL)


def test_another_reason_fails_and_says_which(client: TestClient) -> None:
    with watching(client):
        response = client.get("/orders")
    with pytest.raises(AssertionError) as failed:
        assert_refused(response, Reason.EXPIRED)
    assert (
        "expected the request to be refused because of expired\n"
        "  the door:     GET /orders: refused with 403: no_credential: the request was not authenticated: it "
        "carries no credential. "
        "Send the header 'Authorization: Bearer ID_TOKEN'.\n"
        "  the response: 403"
    ) == str(failed.value)


def test_an_admission_where_a_refusal_was_expected_fails(client: TestClient) -> None:
    with as_principal(client, CALLER):
        response = client.get("/orders")
    with pytest.raises(AssertionError, match=f"GET /orders: admitted as {MEMBER}"):
        assert_refused(response)


@pytest.mark.parametrize("status", sorted({reason.status for reason in Reason}))
def test_a_refusal_by_the_application_itself_is_not_the_doors(
    app: FastAPI, client: TestClient, status: int
) -> None:
    @app.get("/closed")
    async def closed() -> None:
        raise HTTPException(status)

    with as_principal(client, CALLER):
        response = client.get("/closed")
    with pytest.raises(AssertionError, match="the application itself answers so"):
        assert_refused(response)
    assert_admitted(response)


def test_an_answer_that_is_not_the_doors_fails(client: TestClient) -> None:
    with watching(client):
        client.get("/orders")
    with pytest.raises(AssertionError, match="Something in front of the door"):
        assert_refused(200)


@pytest.mark.parametrize("who", [CALLER, MEMBER, principal(CALLER)], ids=["address", "member", "principal"])
def test_an_admission_is_of_a_caller(client: TestClient, who: str) -> None:
    with as_principal(client, CALLER):
        response = client.get("/orders")
    assert_admitted(response, who)
    with pytest.raises(AssertionError, match=r"expected the request to be admitted as ann@example\.com"):
        assert_admitted(response, "ann@example.com")


def test_a_refusal_where_an_admission_was_expected_fails_with_advice(client: TestClient) -> None:
    with as_principal(client, "ann@example.com"):
        response = client.get("/orders")
    with pytest.raises(AssertionError, match=r"Grant roles/run\.invoker to the caller"):
        assert_admitted(response)


def test_a_caller_that_a_route_turns_away_is_refused_by_the_door(door: Door) -> None:
    from fastapi import Depends  # noqa: PLC0415 - for this one test

    from doorward_integrations.fastapi import Invoker, only  # noqa: PLC0415 - for this one test

    app = FastAPI()
    Invoker(app, door)

    @app.get("/", dependencies=[Depends(only(members=["user:ann@example.com"]))])
    async def reports() -> None: ...

    client = TestClient(app)
    with as_principal(client, CALLER):
        assert_refused(client.get("/"), Reason.ROUTE_NARROWED)


def test_without_a_watched_door_it_says_what_to_do(client: TestClient) -> None:
    with pytest.raises(ConfigurationError, match="make the request within as_principal"):
        assert_refused(client.get("/orders"))
