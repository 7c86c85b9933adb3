"""How each client sends the headers of a block, and stops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import flask
import grpc
import httpx
import pytest
import requests
import werkzeug.test

from doorward import ConfigurationError, Door, Reason
from doorward_integrations import flask as for_flask
from doorward_integrations import wsgi
from doorward_integrations.testing import as_principal, assert_admitted, assert_refused
from doorward_integrations.testing.clients import kind_of, sending
from support.grpcservers import Serve, aio_server, sync_server
from support.tokens import CALLER, MEMBER

HEADER = {"x-serverless-authorization": "Bearer a.b.c"}


def flask_app(door: Door) -> flask.Flask:
    app = flask.Flask("orders")
    for_flask.Invoker(app, door)
    app.add_url_rule("/orders", "orders", lambda: str(for_flask.current_principal))
    return app


class TestFlask:
    def test_its_client(self, door: Door) -> None:
        client = flask_app(door).test_client()
        with as_principal(client, CALLER):
            assert MEMBER == client.get("/orders").text
        assert 403 == client.get("/orders").status_code
        assert "HTTP_X_SERVERLESS_AUTHORIZATION" not in client.environ_base

    def test_the_application(self, door: Door) -> None:
        app = flask_app(door)
        with as_principal(app, CALLER):
            assert_admitted(app.test_client().get("/orders"), MEMBER)

    def test_any_wsgi_application_under_werkzeugs_client(self, door: Door) -> None:
        client = werkzeug.test.Client(flask_app(door))
        with as_principal(client, CALLER):
            assert MEMBER == client.get("/orders").text
        assert 403 == client.get("/orders").status_code

    def test_any_wsgi_application_under_httpx(self, door: Door) -> None:
        transport = httpx.WSGITransport(wsgi.InvokerMiddleware(flask_app(door), door))
        with httpx.Client(transport=transport, base_url="http://orders") as client, sending(client, HEADER):
            assert HEADER.items() <= dict(client.headers).items()


class TestSessions:
    def test_a_session_of_requests_needs_the_door(self, door: Door) -> None:
        with requests.Session() as session:
            with pytest.raises(ConfigurationError, match="name it"), as_principal(session, CALLER):
                pass
            with as_principal(session, CALLER, door=door):
                assert str(session.headers["X-Serverless-Authorization"]).startswith("Bearer ")
            assert "x-serverless-authorization" not in session.headers

    def test_a_header_that_was_there_before_comes_back(self) -> None:
        with httpx.Client(headers={"x-serverless-authorization": "before"}, trust_env=False) as client:
            with sending(client, HEADER):
                assert "Bearer a.b.c" == client.headers["x-serverless-authorization"]
            assert "before" == client.headers["x-serverless-authorization"]

    def test_what_is_no_client_is_explained(self) -> None:
        with pytest.raises(ConfigurationError, match="object is no client"), sending(object(), HEADER):
            pass


def shop() -> grpc.GenericRpcHandler:
    def one(request: bytes, context: grpc.ServicerContext) -> bytes:
        found = dict(context.invocation_metadata())
        return b"%s %s" % (request, str(found.get("x-order", "")).encode())

    def several(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (request, request)

    def first(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return next(messages)

    handlers: dict[str, Any] = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(one),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(several),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(first),
        "StreamStream": grpc.stream_stream_rpc_method_handler(lambda messages, _: messages),
    }
    return grpc.method_handlers_generic_handler("shop.Orders", handlers)


@pytest.mark.parametrize("serve", [sync_server, aio_server], ids=["threads", "loop"])
class TestGrpc:
    def test_methods_of_every_kind_are_the_callers(self, door: Door, serve: Serve) -> None:
        with serve([shop()], door) as plain, as_principal(plain, CALLER, door=door) as calls:
            channel: Any = calls
            found = [
                channel.unary_unary("/shop.Orders/UnaryUnary")(b"a"),
                *channel.unary_stream("/shop.Orders/UnaryStream")(b"b"),
                channel.stream_unary("/shop.Orders/StreamUnary")(iter([b"c"])),
                *channel.stream_stream("/shop.Orders/StreamStream")(iter([b"d"])),
            ]
        assert [b"a ", b"b", b"b", b"c", b"d"] == found

    def test_every_way_of_calling_keeps_its_own_metadata(self, door: Door, serve: Serve) -> None:
        with serve([shop()], door) as plain, as_principal(plain, CALLER, door=door) as calls:
            channel: Any = calls
            method = channel.unary_unary("/shop.Orders/UnaryUnary")
            own = (("x-order", "42"),)
            assert b"a 42" == method(b"a", metadata=own)
            assert b"a 42" == method.with_call(b"a", metadata=own)[0]
            assert b"a 42" == method.future(b"a", metadata=own).result(timeout=20)
            with pytest.raises(grpc.RpcError) as refused:
                method(b"a", metadata=(("x-serverless-authorization", "Bearer a.b.c"),))
        assert_refused(refused.value, Reason.MALFORMED)

    def test_the_channel_itself_is_no_callers(self, door: Door, serve: Serve) -> None:
        with serve([shop()], door) as plain, as_principal(plain, CALLER, door=door):
            channel: Any = plain
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary("/shop.Orders/UnaryUnary")(b"a")
            assert_refused(refused.value, Reason.NO_CREDENTIAL)


def test_a_channel_needs_the_door() -> None:
    with (
        grpc.insecure_channel("127.0.0.1:9") as channel,
        pytest.raises(ConfigurationError, match="name it"),
        as_principal(channel, CALLER),
    ):
        pass


def test_an_application_of_aiohttp_is_called_over_a_socket(door: Door) -> None:
    from aiohttp import web  # noqa: PLC0415 - for this one test

    from doorward_integrations.aiohttp import Invoker  # noqa: PLC0415 - for this one test

    app = web.Application()
    Invoker(app, door)
    with (
        pytest.raises(ConfigurationError, match="give as_principal its test client"),
        as_principal(app, CALLER),
    ):
        pass


@pytest.mark.parametrize(
    "one", [object(), "text", 1, None, contextlib.ExitStack()], ids=lambda one: type(one).__name__
)
def test_nothing_else_is_a_client(one: Any) -> None:
    assert "" == kind_of(one)
