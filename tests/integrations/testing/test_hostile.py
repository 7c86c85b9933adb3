"""Hostile requests against good applications, and against those that are bad on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import httpx
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from doorward import ConfigurationError, Door, InvokerPolicy, Verifier, find_iap_assertion
from doorward.issuers.iap import IAP
from doorward_integrations import aiohttp as for_aiohttp
from doorward_integrations import flask as for_flask
from doorward_integrations.testing import Attack, MemoryIssuer, attack_all, hostile_requests, principal
from doorward_integrations.testing.attacks import ATTACKS
from doorward_integrations.testing.decisions import made
from doorward_integrations.testing.hostile import aattack_all
from support.clock import ManualClock
from support.tokens import AUDIENCE, CALLER

Who = Callable[[Request, MemoryIssuer], str | None]
ALL = [attack.id for attack in hostile_requests()]


@pytest.mark.parametrize("attack", hostile_requests())
def test_a_door_refuses_a_hostile_request(
    attack: Attack, client: TestClient, app: FastAPI, doorward_issuer: MemoryIssuer
) -> None:
    attack.check(client, doorward_issuer.stand_in_for(app), CALLER, path="/orders")


EXPECTED = {
    "no-credential": "no_credential",
    "empty-credential": "empty_credential",
    "access-token": "access_token",
    "alg-none": "malformed",
    "hs256-public-key": "algorithm_not_allowed",
    "wrong-key": "bad_signature",
    "unknown-key": "unknown_key",
    "removed-signature": "signature_removed",
    "changed-payload": "bad_signature",
    "embedded-jwk": "header_not_allowed",
    "wrong-issuer": "wrong_issuer",
    "wrong-audience": "wrong_audience",
    "expired": "expired",
    "not-yet-valid": "not_yet_valid",
    "too-long": "token_too_large",
    "two-tokens": "multiple_credentials",
    "doubled-header": "multiple_headers",
    "longer-email": "permission_denied",
    "iap-identity": "no_credential",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_it_is_refused_for_what_it_is(
    name: str, client: TestClient, app: FastAPI, doorward_issuer: MemoryIssuer
) -> None:
    (attack,) = [one for one in hostile_requests() if one.id == name]
    attack.check(client, doorward_issuer.stand_in_for(app), CALLER, path="/orders")
    assert EXPECTED[name] == made()[-1].reason


def test_the_ids_are_unique_and_each_says_what_it_is_and_what_to_mend() -> None:
    assert len(ATTACKS) == len({one.id for one in ATTACKS})
    assert all(one.what.endswith(".") and one.mend.endswith(".") for one in ATTACKS)


class TestClientsOfEveryKind:
    def test_flask(self, door: Door, doorward_issuer: MemoryIssuer) -> None:
        app = flask.Flask("orders")
        for_flask.Invoker(app, door)
        app.add_url_rule("/", "orders", lambda: "")
        report = attack_all(app.test_client(), doorward_issuer.stand_in_for(app), CALLER)
        report.check()
        assert ALL == report.refused

    def test_httpx_and_wsgi(self, door: Door, doorward_issuer: MemoryIssuer) -> None:
        app = flask.Flask("orders")
        for_flask.Invoker(app, door)
        app.add_url_rule("/", "orders", lambda: "")
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://orders") as client:
            attack_all(client, doorward_issuer.stand_in_for(app), CALLER).check()

    def test_aiohttp_over_a_socket(self, door: Door, doorward_issuer: MemoryIssuer) -> None:
        app = web.Application()
        for_aiohttp.Invoker(app, door)

        async def orders(_: web.Request) -> web.Response:
            return web.Response()

        async def ask() -> None:
            app.router.add_get("/", orders)
            async with AiohttpClient(TestServer(app)) as client:
                issuer = doorward_issuer.stand_in_for(app)
                report = await aattack_all(
                    client, issuer, CALLER, attacks=hostile_requests(without=["too-long"])
                )
                report.check()
                await hostile_requests()[0].acheck(client, issuer, CALLER)

        asyncio.run(ask())

    def test_a_function_that_sends(self, door: Door, doorward_issuer: MemoryIssuer) -> None:
        def send(headers: list[tuple[str, str]]) -> int:
            outcome = door.admit([(name.encode(), value.encode()) for name, value in headers])
            return int(getattr(outcome, "status", 200))

        attack_all(send, doorward_issuer.stand_in_for(door), CALLER).check()

    def test_a_door_behind_identity_aware_proxy(
        self, clock: ManualClock, doorward_issuer: MemoryIssuer
    ) -> None:
        policy = InvokerPolicy.from_members(["user:ann@example.com"])
        door = Door(Verifier(AUDIENCE, issuers=[IAP], clock=clock), policy, credential=find_iap_assertion)

        def send(headers: list[tuple[str, str]]) -> int:
            outcome = door.admit([(name.encode(), value.encode()) for name, value in headers])
            return int(getattr(outcome, "status", 200))

        who = principal("ann@example.com", issuer=IAP)
        # The proxy has verified the address, and its assertion does not say so.
        attacks = hostile_requests(without=["email-verified-missing"])
        attack_all(send, doorward_issuer.stand_in_for(door), who, attacks=attacks).check()

    def test_an_awaited_client_is_explained(self, app: FastAPI, doorward_issuer: MemoryIssuer) -> None:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders")
        with pytest.raises(ConfigurationError, match="acheck"):
            attack_all(client, doorward_issuer.stand_in_for(app), CALLER)

    def test_an_unknown_client_is_explained(self, app: FastAPI, doorward_issuer: MemoryIssuer) -> None:
        with pytest.raises(ConfigurationError, match="object is no client that is known"):
            attack_all(object(), doorward_issuer.stand_in_for(app), CALLER)


def service(who: Who, issuer: MemoryIssuer) -> TestClient:
    """Make an application that is guarded by something else than doorward."""

    async def orders(request: Request) -> PlainTextResponse:
        try:
            found = who(request, issuer)
        except (jwt.InvalidTokenError, ValueError, KeyError, IndexError):
            return PlainTextResponse("bad token", 401)
        return PlainTextResponse(found, 200) if found == CALLER else PlainTextResponse("no", 403)

    return TestClient(Starlette(routes=[Route("/", orders)]))


def token_of(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if len(values) != 1 or not values[0].startswith("Bearer ") or len(values[0]) > 16_000:
        raise ValueError
    return values[0].removeprefix("Bearer ")


def checked(request: Request, issuer: MemoryIssuer, **settings: Any) -> str | None:
    """Verify a token by PyJWT, with care."""
    token = token_of(request)
    keys = jwt.PyJWKSet.from_dict(issuer.jwks())
    known = {key.key_id: key for key in keys.keys}
    settings = {"audience": AUDIENCE, "issuer": "https://accounts.google.com", **settings}
    settings["options"] = {"require": ["exp", "iat", "aud"], **settings.pop("options", {})}
    claims = jwt.decode(
        token, known[jwt.get_unverified_header(token)["kid"]], algorithms=["RS256"], **settings
    )
    return str(claims["email"]) if claims.get("email_verified") is True else None


def unverified(request: Request, _: MemoryIssuer) -> str | None:
    """Decode without verifying."""
    claims = jwt.decode(token_of(request), options={"verify_signature": False})
    return str(claims["email"])


def any_audience(request: Request, issuer: MemoryIssuer) -> str | None:
    """Accept any audience."""
    options = {"verify_aud": False, "require": ["exp", "iat"]}
    return checked(request, issuer, audience=None, options=options)


def forwarded(request: Request, issuer: MemoryIssuer) -> str | None:
    """Believe a header that a proxy in front would set."""
    return request.headers.get("x-forwarded-email") or checked(request, issuer)


def platform(request: Request, issuer: MemoryIssuer) -> str | None:
    """Believe the header of Identity-Aware Proxy."""
    said = request.headers.get("x-goog-authenticated-user-email")
    return said.rpartition(":")[2] if said else checked(request, issuer)


def own_key(request: Request, issuer: MemoryIssuer) -> str | None:
    """Believe the key that a token brings."""
    token = token_of(request)
    jwk = jwt.get_unverified_header(token).get("jwk")
    if jwk is None:
        return checked(request, issuer)
    return str(jwt.decode(token, jwt.PyJWK(jwk), algorithms=["RS256"], audience=AUDIENCE)["email"])


def unverified_email(request: Request, issuer: MemoryIssuer) -> str | None:
    """Believe an address for which the issuer does not vouch."""
    checked(request, issuer)
    return unverified(request, issuer)


BAD: dict[str, tuple[Who, set[str], str]] = {
    "decodes without verifying": (
        unverified,
        {
            "alg-none",
            "wrong-key",
            "unknown-key",
            "no-signature",
            "changed-payload",
            "expired",
            "wrong-audience",
        },
        "Verify the signature with a key that the issuer publishes",
    ),
    "accepts any audience": (
        any_audience,
        {"wrong-audience", "no-audience"},
        "Compare the audience with the URL of this service",
    ),
    "trusts a forwarded header": (
        forwarded,
        {"forwarded-identity"},
        "Believe an identity from a verified token",
    ),
    "trusts the platform's header": (platform, {"iap-identity"}, "unless a proxy that removes it"),
    "takes the key from the token": (own_key, {"embedded-jwk"}, "Take keys from the issuer's own key URL"),
    "believes any address": (
        unverified_email,
        {"email-not-verified", "email-verified-missing", "email-verified-text"},
        "Believe an e-mail only if email_verified is true itself",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_application_is_caught_and_the_report_says_what_to_mend(
    name: str, doorward_issuer: MemoryIssuer
) -> None:
    who, caught, mend = BAD[name]
    report = attack_all(service(who, doorward_issuer), doorward_issuer, CALLER, audience=AUDIENCE)

    assert caught <= {one.attack.id for one in report.let_through}
    assert mend in str(report)
    with pytest.raises(AssertionError, match="hostile requests were refused"):
        report.check()


def test_a_good_application_of_another_library_is_not(doorward_issuer: MemoryIssuer) -> None:
    report = attack_all(service(checked, doorward_issuer), doorward_issuer, CALLER, audience=AUDIENCE)

    assert [] == report.let_through
    assert ALL == report.refused


@pytest.mark.parametrize("name", ["accepts any audience", "trusts a forwarded header"])
def test_only_the_fault_of_a_bad_application_is_reported(name: str, doorward_issuer: MemoryIssuer) -> None:
    who, caught, _ = BAD[name]
    report = attack_all(service(who, doorward_issuer), doorward_issuer, CALLER, audience=AUDIENCE)
    assert caught == {one.attack.id for one in report.let_through}


class TestWhatProvesNothing:
    def test_an_application_that_refuses_good_requests(
        self, client: TestClient, app: FastAPI, doorward_issuer: MemoryIssuer
    ) -> None:
        report = attack_all(client, doorward_issuer.stand_in_for(app), "ann@example.com", path="/orders")
        assert "the good request was answered with 403" in report.problem
        with pytest.raises(AssertionError, match="no refusal would prove anything"):
            report.check()

    def test_a_path_that_is_open(self, doorward_issuer: MemoryIssuer) -> None:
        report = attack_all(lambda _: 200, doorward_issuer, CALLER, audience=AUDIENCE)
        assert "does not guard this path" in str(report)

    def test_who_calls_where_every_caller_is_admitted(
        self, clock: ManualClock, doorward_issuer: MemoryIssuer
    ) -> None:
        door = Door(Verifier(AUDIENCE, clock=clock), InvokerPolicy.all_authenticated_users())

        def send(headers: list[tuple[str, str]]) -> int:
            outcome = door.admit([(name.encode(), value.encode()) for name, value in headers])
            return int(getattr(outcome, "status", 200))

        report = attack_all(send, doorward_issuer.stand_in_for(door), CALLER)
        report.check()
        assert {one.id for one in ATTACKS if one.identity} == {*report.left_out}
        assert "every caller is admitted" in str(report)

    def test_a_crash_is_no_refusal(self, doorward_issuer: MemoryIssuer) -> None:
        def who(request: Request, issuer: MemoryIssuer) -> str | None:
            if request.headers.get("authorization", "").startswith("Basic"):
                raise ZeroDivisionError
            return checked(request, issuer)

        client = service(who, doorward_issuer)
        client = TestClient(client.app, raise_server_exceptions=False)
        report = attack_all(client, doorward_issuer, CALLER, audience=AUDIENCE)
        assert ["basic"] == [one.attack.id for one in report.let_through]
        assert "crashed with 500: basic" in str(report)

    def test_an_id_that_is_not_there(self) -> None:
        with pytest.raises(ConfigurationError, match="no hostile request with the id nothing"):
            hostile_requests(without=["nothing"])


def test_the_headers_can_be_sent_in_ones_own_way(door: Door, doorward_issuer: MemoryIssuer) -> None:
    doorward_issuer.stand_in_for(door)
    for attack in hostile_requests():
        headers = attack.headers(doorward_issuer, CALLER)
        outcome = door.admit([(name.encode(), value.encode()) for name, value in headers])
        assert getattr(outcome, "status", None) in (401, 403), attack
