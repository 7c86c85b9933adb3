"""The one getter for the caller: whatever carries the admission of a request, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest

from doorward import ConfigurationError, Door, InvokerPolicy, Refusal
from doorward_integrations import asgi, fastapi, flask, starlette, wsgi
from doorward_integrations.admission import ADMISSION, end_user_of, principal_of
from support.tokens import MEMBER
from support.world import World


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def admission(door: Door, world: World) -> Any:
    return door.admit([(b"authorization", b"Bearer " + world.token().encode())])


async def _receive() -> Any: ...


async def _send(_: Any) -> None: ...


def scope_of(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "headers": [], **more}


def environ_of(**more: Any) -> dict[str, Any]:
    return EnvironBuilder("/orders").get_environ() | more


CARRIERS = [
    pytest.param(lambda **more: Request(scope_of("http", **more)), id="a request of Starlette"),
    pytest.param(lambda **more: WebSocket(scope_of("websocket", **more), _receive, _send), id="a websocket"),
    pytest.param(lambda **more: HTTPConnection(scope_of("http", **more)), id="a connection"),
    pytest.param(lambda **more: scope_of("http", **more), id="a scope"),
    pytest.param(
        lambda **more: SimpleNamespace(scope=scope_of("http", **more)), id="another framework's over a scope"
    ),
    pytest.param(lambda **more: WerkzeugRequest(environ_of(**more)), id="a request of Werkzeug"),
    pytest.param(environ_of, id="an environ"),
    pytest.param(
        lambda **more: SimpleNamespace(environ=environ_of(**more)), id="another framework's over an environ"
    ),
]
each_carrier = pytest.mark.parametrize("carrier", CARRIERS)


@each_carrier
def test_it_returns_the_caller(carrier: Callable[..., Any], admission: Any) -> None:
    assert MEMBER == principal_of(carrier(**{ADMISSION: admission})).member


@each_carrier
def test_it_returns_the_anonymous_caller_that_a_public_door_admits(
    carrier: Callable[..., Any], world: World
) -> None:
    door = Door(world.verifier(), InvokerPolicy.all_users())
    assert principal_of(carrier(**{ADMISSION: door.admit([])})).anonymous


@each_carrier
def test_it_returns_the_end_user_apart_from_the_caller(carrier: Callable[..., Any], world: World) -> None:
    policy = InvokerPolicy.from_members([MEMBER])
    users = world.verifier("https://web")
    door = Door(world.verifier(), policy, end_user=users, end_user_callers=[MEMBER])
    caller = (b"x-serverless-authorization", b"Bearer " + world.token().encode())
    token = world.token(aud="https://web", email="ann@example.com", sub="7")
    one, other = (
        carrier(**{ADMISSION: door.admit(headers)})
        for headers in ([caller, (b"authorization", b"Bearer " + token.encode())], [caller])
    )
    user = end_user_of(one)
    assert user is not None
    assert ("user:ann@example.com", MEMBER) == (user.member, principal_of(one).member)
    assert end_user_of(other) is None


def test_without_an_admission_there_is_no_end_user_either() -> None:
    with pytest.raises(ConfigurationError, match="no door has decided"):
        end_user_of(scope_of("http"))


@each_carrier
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="no door"),
        pytest.param({ADMISSION: None}, id="none"),
        pytest.param({ADMISSION: {"principal": MEMBER}}, id="something that looks like it"),
        pytest.param({ADMISSION: SimpleNamespace(principal=MEMBER)}, id="an object that looks like it"),
    ],
)
def test_without_an_admission_it_raises_and_names_what_to_put_in_front(
    carrier: Callable[..., Any], more: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"Invoker\(app, door\) or InvokerMiddleware\(app, door\)"):
        principal_of(carrier(**more))


@each_carrier
def test_a_refusal_is_no_admission(carrier: Callable[..., Any], door: Door) -> None:
    refusal = door.admit([])
    assert isinstance(refusal, Refusal)
    with pytest.raises(ConfigurationError):
        principal_of(carrier(**{ADMISSION: refusal}))


def test_a_header_cannot_be_the_admission() -> None:
    connection = Request(scope_of("http") | {"headers": [(ADMISSION.encode(), MEMBER.encode())]})
    for carrier in (connection, connection.headers):
        with pytest.raises(ConfigurationError, match="no door has decided"):
            principal_of(carrier)


@pytest.mark.parametrize("wrong", [None, "request", object(), SimpleNamespace(scope="http")])
def test_what_carries_no_request_is_named_by_its_type(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"not {type(wrong).__name__}$"):
        principal_of(wrong)


@pytest.mark.parametrize("adapter", [asgi, fastapi, flask, starlette, wsgi])
def test_every_adapter_exports_it_and_the_middleware_of_its_interface(adapter: Any) -> None:
    assert principal_of is adapter.principal_of
    assert end_user_of is adapter.end_user_of
    assert {"principal_of", "end_user_of", "InvokerMiddleware"} <= set(adapter.__all__)
    assert adapter.InvokerMiddleware is (wsgi if adapter in {wsgi, flask} else asgi).InvokerMiddleware
