"""The gRPC interceptors: over real servers of both kinds, with real clients."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import (
    reflection,
    reflection_pb2,
    reflection_pb2_grpc,
)

from doorward import ConfigurationError, Door, InvokerPolicy, Principal, Reason, Refusal
from doorward.door.refusal import RefusalStyle, cloud_run
from doorward.services.services import Services
from doorward_integrations.grpc import (
    HEALTH,
    REFLECTION,
    AioInvokerInterceptor,
    InvokerInterceptor,
    current_principal,
    end_user_of,
    only,
    principal_of,
    service_accounts,
)
from support.endusers import ANN, door_with_end_users, with_and_without_user
from support.grpcservers import PATIENCE, Serve, aio_server, sync_server
from support.tokens import MEMBER
from support.world import World

SERVICE = "orders.Orders"
ARITIES = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


def caller(context: Any) -> bytes:
    assert current_principal() == principal_of(context)
    return str(current_principal()).encode()


def decoded(message: bytes) -> bytes:
    if message == b"malformed":
        raise ValueError(message)
    return message


class Blocking:
    """Handlers that are functions and generators; each response is the caller, and the requests."""

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        return caller(context) + request

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield caller(context)
        yield caller(context) + request

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        return caller(context) + b"".join(requests)

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield caller(context) + request


class InLoop:
    """The same, as coroutines and asynchronous generators."""

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return caller(context) + request

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield caller(context)
        yield caller(context) + request

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return caller(context) + b"".join([one async for one in requests])

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield caller(context) + request


class Writing(InLoop):
    """The same, where the streaming ones read and write by the methods of the context."""

    async def unary_stream(self, request: bytes, context: Any) -> None:  # type: ignore[override]
        await context.write(caller(context))
        await context.write(caller(context) + request)

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:  # type: ignore[override]
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(caller(context) + request)


def handlers_of(service: Any) -> list[grpc.GenericRpcHandler]:
    made = {
        name: getattr(grpc, f"{name}_rpc_method_handler")(getattr(service, name), decoded) for name in ARITIES
    }
    return [grpc.method_handlers_generic_handler(SERVICE, made)]


def call(
    channel: grpc.Channel, arity: str, metadata: Any = (), *messages: bytes, method: str = ""
) -> list[bytes]:
    """Call a method, and return its responses."""
    kind = getattr(channel, arity)(method or f"/{SERVICE}/{arity}")
    streaming = arity.startswith("stream")
    answer = kind(iter(messages) if streaming else messages[0], metadata=metadata, timeout=PATIENCE)
    return list(answer) if arity.endswith("stream") else [answer]


def refused(
    channel: grpc.Channel, arity: str = "unary_unary", metadata: Any = (), **more: Any
) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, arity, metadata, b"order", **more)
    return raised.value


KINDS = [
    pytest.param((sync_server, Blocking), id="threads"),
    pytest.param((aio_server, InLoop), id="aio"),
    pytest.param((aio_server, Blocking), id="aio with functions"),
    pytest.param((aio_server, Writing), id="aio with reads and writes"),
]


@pytest.fixture
def door(world: World) -> Door:
    return Door(world.verifier(), InvokerPolicy.from_members([MEMBER]))


@pytest.fixture
def bearer(world: World) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {world.token()}")]


@pytest.fixture(params=KINDS)
def channel(request: pytest.FixtureRequest, door: Door) -> Iterator[grpc.Channel]:
    """A channel to a guarded server of each kind."""
    serve, service = request.param
    with serve(handlers_of(service()), door) as channel:
        yield channel


both = pytest.mark.parametrize("serve", [sync_server, aio_server])


class TestAdmitted:
    @pytest.mark.parametrize(
        ("arity", "messages", "responses"),
        [
            ("unary_unary", [b" one"], [f"{MEMBER} one"]),
            ("unary_stream", [b" one"], [MEMBER, f"{MEMBER} one"]),
            ("stream_unary", [b" one", b" two"], [f"{MEMBER} one two"]),
            ("stream_stream", [b" one", b" two"], [f"{MEMBER} one", f"{MEMBER} two"]),
            ("stream_unary", [], [MEMBER]),
            ("stream_stream", [], []),
        ],
    )
    def test_a_handler_of_each_arity_gets_its_messages_and_the_caller(
        self, channel: grpc.Channel, bearer: Any, arity: str, messages: list[bytes], responses: list[str]
    ) -> None:
        assert [one.encode() for one in responses] == call(channel, arity, bearer, *messages)

    def test_the_whole_token_does_not_reach_a_handler(self, world: World, door: Door) -> None:
        seen: list[Any] = []

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            seen.extend(context.invocation_metadata())
            assert isinstance(context, grpc.ServicerContext)
            return request

        handler = grpc.method_handlers_generic_handler(
            SERVICE, {"unary_unary": grpc.unary_unary_rpc_method_handler(handle)}
        )
        token = world.token()
        sent = [("authorization", f"Bearer {token}"), ("x-trace-bin", b"\xff\x00")]
        with sync_server([handler], door) as channel:
            call(channel, "unary_unary", sent, b"order")

        found = {one.key: one.value for one in seen}
        assert f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE" == found["authorization"]
        assert b"\xff\x00" == found["x-trace-bin"]

    def test_a_handler_answers_with_its_own_status_and_metadata(self, bearer: Any, door: Door) -> None:
        def handle(_request: bytes, context: grpc.ServicerContext) -> bytes:
            context.set_trailing_metadata((("x-shop", "open"),))
            context.abort(grpc.StatusCode.NOT_FOUND, "no such order")

        handler = grpc.method_handlers_generic_handler(
            SERVICE, {"unary_unary": grpc.unary_unary_rpc_method_handler(handle)}
        )
        with sync_server([handler], door) as channel:
            error: Any = refused(channel, metadata=bearer)
        assert (grpc.StatusCode.NOT_FOUND, "no such order") == (error.code(), error.details())
        assert ("x-shop", "open") in error.trailing_metadata()

    def test_a_malformed_message_is_an_internal_error(self, channel: grpc.Channel, bearer: Any) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            call(channel, "unary_unary", bearer, b"malformed")
        error: Any = raised.value
        assert error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)  # as each server has it

    def test_a_method_that_is_not_there_is_unimplemented(self, channel: grpc.Channel, bearer: Any) -> None:
        error: Any = refused(channel, metadata=bearer, method=f"/{SERVICE}/Nothing")
        assert (grpc.StatusCode.UNIMPLEMENTED, "Method not found!") == (error.code(), error.details())

    def test_a_unary_call_without_a_message_is_unimplemented(self, bearer: Any, door: Door) -> None:
        with sync_server(handlers_of(Blocking()), door) as channel:
            empty: Any = channel.stream_unary(f"/{SERVICE}/unary_unary")
            with pytest.raises(grpc.RpcError) as raised:
                empty(iter(()), metadata=bearer, timeout=PATIENCE)
        error: Any = raised.value
        assert grpc.StatusCode.UNIMPLEMENTED == error.code()


class TestRefused:
    @pytest.mark.parametrize("arity", ARITIES)
    def test_a_call_of_each_arity_without_a_token_is_denied(self, channel: grpc.Channel, arity: str) -> None:
        error: Any = refused(channel, arity)
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    def test_a_method_that_is_not_there_is_denied_like_any_other(self, channel: grpc.Channel) -> None:
        error: Any = refused(channel, method=f"/{SERVICE}/Nothing")
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    def test_a_malformed_message_is_not_looked_at(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            call(channel, "unary_unary", (), b"malformed")
        error: Any = raised.value
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    @both
    def test_no_message_has_to_come_for_a_refusal(self, serve: Serve, door: Door) -> None:
        """Else callers without a token could hold every thread of the server, by sending nothing."""
        with serve(handlers_of(Blocking()), door) as channel:
            waiting = Waiting()
            method: Any = channel.stream_unary(f"/{SERVICE}/unary_unary")
            answer = method.future(waiting, timeout=PATIENCE)
            error: Any = answer.exception(PATIENCE)
            waiting.end()
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    def test_a_bad_token_is_unauthenticated_and_challenged(self, channel: grpc.Channel, world: World) -> None:
        bad = [("authorization", f"Bearer {world.token()[:-8]}AAAAAAAA")]
        error: Any = refused(channel, metadata=bad)
        challenge = 'Bearer error="invalid_token" error_description="The access token could not be verified"'
        assert grpc.StatusCode.UNAUTHENTICATED == error.code()
        assert [("www-authenticate", challenge)] == list(error.trailing_metadata())

    def test_keys_that_are_away_are_unavailable(
        self, channel: grpc.Channel, world: World, bearer: Any
    ) -> None:
        world.endpoint.down()
        error: Any = refused(channel, metadata=bearer)
        assert grpc.StatusCode.UNAVAILABLE == error.code()
        (pair,) = error.trailing_metadata()
        assert ("retry-after", True) == (pair.key, pair.value.isdigit())

    def test_a_doubled_credential_is_unauthenticated(self, channel: grpc.Channel, bearer: Any) -> None:
        error: Any = refused(channel, metadata=bearer * 2)
        assert grpc.StatusCode.UNAUTHENTICATED == error.code()

    @both
    def test_a_call_for_none_of_several_services_is_unimplemented(self, serve: Serve) -> None:
        with serve(handlers_of(Blocking()), Services()) as channel:
            error: Any = refused(channel)
        assert grpc.StatusCode.UNIMPLEMENTED == error.code()
        assert "there is no such service here" == error.details()

    @both
    def test_a_status_of_an_own_style_is_a_refusal_all_the_same(self, serve: Serve, world: World) -> None:
        def teapot(error: Any, path: str) -> Refusal:
            made = cloud_run(error, path)
            return Refusal(418, made.headers, made.body, made.reason, made.error)

        style: RefusalStyle = teapot
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=style)
        with serve(handlers_of(Blocking()), door) as channel:
            error: Any = refused(channel)
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()


def is_ann(principal: Principal) -> bool:
    return principal.email == "ann@example.com"


def narrowed_by(service: Any, decorate: Callable[[Any], Any]) -> Any:
    """Return the class of a service, with each of its methods decorated."""
    return type(service.__name__, (service,), {name: decorate(getattr(service, name)) for name in ARITIES})


class TestOnly:
    @pytest.fixture
    def door(self, world: World) -> Door:
        return Door(world.verifier(), InvokerPolicy.from_members([MEMBER, ANN]))

    @pytest.fixture
    def ann(self, world: World) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {world.token(email='ann@example.com', sub='7')}")]

    @pytest.fixture(params=KINDS)
    def channel(self, request: pytest.FixtureRequest, door: Door) -> Iterator[grpc.Channel]:
        serve, service = request.param
        with serve(handlers_of(narrowed_by(service, only(is_ann))()), door) as channel:
            yield channel

    @pytest.mark.parametrize("arity", ARITIES)
    def test_a_method_of_each_arity_lets_in_whom_it_names(
        self, channel: grpc.Channel, bearer: Any, ann: Any, arity: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert f"{ANN} one".encode() == call(channel, arity, ann, b" one")[-1]

        trace = ("traceparent", f"00-{'7' * 32}-{'8' * 16}-01")
        error: Any = refused(channel, arity, [*bearer, trace])
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()
        assert "the client does not have permission to call this method" == error.details()
        (logged,) = [vars(one)["doorward_refusal"] for one in caplog.records if one.name == "doorward.door"]
        assert (Reason.ROUTE_NARROWED, "7" * 32) == (logged["reason"], logged["trace"]["trace"])

    @pytest.mark.parametrize("arity", ARITIES)
    def test_the_method_does_not_run_for_others(
        self, channel: grpc.Channel, bearer: Any, arity: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran: list[Any] = []
        monkeypatch.setattr(f"{__name__}.caller", ran.append)
        refused(channel, arity, bearer)
        assert [] == ran

    @both
    def test_members_are_let_in_too(self, serve: Serve, door: Door, bearer: Any, ann: Any) -> None:
        service = narrowed_by(Blocking, only(members=[MEMBER]))
        with serve(handlers_of(service()), door) as channel:
            assert [MEMBER.encode()] == call(channel, "unary_unary", bearer, b"")
            error: Any = refused(channel, metadata=ann)
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    @both
    def test_the_answer_has_the_headers_of_the_doors_own_style(
        self, serve: Serve, world: World, bearer: Any
    ) -> None:
        def style(error: Any, path: str) -> Refusal:
            made = cloud_run(error, path)
            headers = ((b"x-path", path.encode()), *made.headers)
            return Refusal(made.status, headers, made.body, made.reason, made.error)

        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), style=style)
        with serve(handlers_of(narrowed_by(Blocking, only(is_ann))()), door) as channel:
            error: Any = refused(channel, metadata=bearer)
        assert [("x-path", f"/{SERVICE}/unary_unary")] == list(error.trailing_metadata())

    @both
    def test_a_function_that_returns_an_iterator_is_narrowed_too(
        self, serve: Serve, door: Door, bearer: Any, ann: Any
    ) -> None:
        narrowed = only(is_ann)(lambda request, context: iter([caller(context), request]))
        made: Any = {"unary_stream": grpc.unary_stream_rpc_method_handler(narrowed)}
        with serve([grpc.method_handlers_generic_handler(SERVICE, made)], door) as channel:
            assert [ANN.encode(), b"one"] == call(channel, "unary_stream", ann, b"one")
            error: Any = refused(channel, "unary_stream", bearer)
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    def test_what_handles_no_call_raises(self) -> None:
        @only(service_accounts)
        def handle(request: object) -> None: ...

        with pytest.raises(ConfigurationError, match="no door has decided on this call"):
            handle("request")

    @pytest.mark.parametrize("wrong", [Blocking, None, "method"])
    def test_what_is_no_function_is_refused_when_it_is_decorated(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="decorates what handles a call"):
            only(service_accounts)(wrong)


class TestEndUser:
    @both
    def test_a_handler_gets_the_end_user_apart_from_the_caller(self, serve: Serve, world: World) -> None:
        def whose(_request: bytes, context: Any) -> bytes:
            return f"{end_user_of(context)} by {principal_of(context)}".encode()

        made: Any = {"unary_unary": grpc.unary_unary_rpc_method_handler(whose)}
        handlers: list[grpc.GenericRpcHandler] = [grpc.method_handlers_generic_handler(SERVICE, made)]
        with serve(handlers, door_with_end_users(world)) as channel:
            found = [
                call(channel, "unary_unary", list(sent.items()), b"")[0].decode()
                for sent in with_and_without_user(world)
            ]
        assert [f"{ANN} by {MEMBER}", f"None by {MEMBER}"] == found

    def test_without_a_door_there_is_none(self) -> None:
        context: Any = object()
        with pytest.raises(ConfigurationError):
            end_user_of(context)


class TestOnItsOwn:
    def test_a_key_that_is_waited_for_does_not_stall_other_calls(self, world: World, bearer: Any) -> None:
        exempt = [("POST", f"/{SERVICE}/unary_stream")]
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=exempt)
        world.endpoint.gate.clear()
        with sync_server(handlers_of(Blocking()), door) as channel:
            method: Any = channel.unary_unary(f"/{SERVICE}/unary_unary")
            slow = method.future(b"", metadata=bearer, timeout=PATIENCE)
            assert world.endpoint.asked.wait(PATIENCE)

            assert [b"anonymous", b"anonymous order"] == call(channel, "unary_stream", (), b" order")
            assert not slow.done()
            world.endpoint.gate.set()
            assert MEMBER.encode() == slow.result(PATIENCE)

    @both
    def test_a_call_does_not_see_the_caller_of_the_one_before_it(
        self, serve: Serve, world: World, bearer: Any
    ) -> None:
        exempt = [("POST", f"/{SERVICE}/{arity}") for arity in ("unary_stream", "stream_unary")]
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=exempt)
        with serve(handlers_of(Blocking()), door) as channel:
            for _ in range(8):  # more than there are threads
                assert [MEMBER.encode()] == call(channel, "unary_unary", bearer, b"")
                assert [b"anonymous"] == call(channel, "stream_unary", (), b"")

    def test_outside_of_a_call_there_is_no_caller(self) -> None:
        with pytest.raises(ConfigurationError, match="no door has decided on a call"):
            current_principal()

    @both
    def test_health_and_reflection_answer_everyone_on_request(self, serve: Serve, world: World) -> None:
        door = Door(world.verifier(), InvokerPolicy.from_members([MEMBER]), exempt=[*HEALTH, *REFLECTION])
        with serve(handlers_of(Blocking()), door, add_health_and_reflection) as channel:
            checking: Any = health_pb2_grpc.HealthStub(channel)
            status = checking.Check(health_pb2.HealthCheckRequest())
            listing = reflection_pb2.ServerReflectionRequest(list_services="*")
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            (answer,) = stub.ServerReflectionInfo(iter([listing]))
            error: Any = refused(channel)

        assert health_pb2.HealthCheckResponse.SERVING == status.status
        assert [SERVICE] == [one.name for one in answer.list_services_response.service]
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    @both
    def test_without_a_request_they_are_guarded(self, serve: Serve, door: Door) -> None:
        with serve([], door, add_health_and_reflection) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.Check(health_pb2.HealthCheckRequest())
        error: Any = raised.value
        assert grpc.StatusCode.PERMISSION_DENIED == error.code()

    @pytest.mark.parametrize("interceptor", [InvokerInterceptor, AioInvokerInterceptor])
    def test_a_door_must_be_given(self, interceptor: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"Interceptor\(door\) needs a Door, not Verifier"):
            interceptor(World().verifier())


def add_health_and_reflection(server: Any) -> None:
    """Add both services as their packages do: as generic handlers, and as registered methods."""
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    reflection.enable_server_reflection([SERVICE], server)


class Waiting:
    """Requests of which none comes until the end."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        assert self._ended.wait(PATIENCE)
        raise StopIteration

    def end(self) -> None:
        self._ended.set()
