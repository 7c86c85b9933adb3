"""The door in front of a gRPC server, and the verified caller of the current call.

::

    server = grpc.server(ThreadPoolExecutor(), interceptors=[InvokerInterceptor(door)])
    server = grpc.aio.server(interceptors=[AioInvokerInterceptor(door)])


    def GetOrder(self, request, context):
        return Order(customer=str(current_principal()))  # or principal_of(context)

A policy sees a call as ``POST`` to the path ``/package.Service/Method``, as HTTP/2 carries it.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from doorward import ConfigurationError, PlainRequest, Principal, Refusal
from doorward.door.base import BaseDoor
from doorward.extras import needs_extra
from doorward_integrations import admission as shared
from doorward_integrations.admission import CURRENT, check_door, current_principal
from doorward_integrations.grpc_call import FACTS, Call, Context, status_of
from doorward_integrations.narrowing import Narrowing, Predicate, narrowed, service_accounts

with needs_extra("grpc"):
    import grpc

__all__ = [
    "HEALTH",
    "REFLECTION",
    "AioInvokerInterceptor",
    "InvokerInterceptor",
    "current_principal",
    "end_user_of",
    "only",
    "principal_of",
    "service_accounts",
]

HEALTH: Final = tuple(("POST", f"/grpc.health.v1.Health/{method}") for method in ("Check", "List", "Watch"))
"""The calls of the health service, for ``Door(..., exempt=HEALTH)``."""

REFLECTION: Final = tuple(
    ("POST", f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
    for version in ("v1", "v1alpha")
)
"""The calls of the reflection service, for ``Door(..., exempt=REFLECTION)``."""

_NONE: Final = object()
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Method = TypeVar("_Method", bound=Callable[..., Any])
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Behavior: TypeAlias = Callable[[Any, Any], Any]


def principal_of(context: grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any]) -> Principal:
    """Return the verified caller of a call that a door has admitted.

    Args:
        context: What the handler was given.

    Returns:
        The principal; the anonymous one where the door admits a call without a verified caller.

    Raises:
        ConfigurationError: If no door has decided on the call.
    """
    carrier: Any = context
    return shared.principal_of(carrier)


def end_user_of(context: grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any]) -> Principal | None:
    """Return the verified user on whose behalf the caller calls.

    Args:
        context: As for `principal_of`.

    Returns:
        The user, never the caller itself; None if there is none, or the door looks for none.

    Raises:
        ConfigurationError: As `principal_of`.
    """
    carrier: Any = context
    return shared.end_user_of(carrier)


class _Interceptor:
    """What both interceptors are made of.

    Attributes:
        door: The door.
    """

    door: Final[BaseDoor]

    def __init__(self, door: BaseDoor) -> None:
        """Make the interceptor.

        Args:
            door: The door.

        Raises:
            ConfigurationError: If it is not a `doorward.Door`.
        """
        check_door(door, f"{type(self).__name__}(door)")
        self.door = door


class InvokerInterceptor(_Interceptor, grpc.ServerInterceptor):
    """Passes admitted calls on to their handlers, and answers the others itself, on a server with threads.

    It must be the first interceptor. It decides in the thread of the call, before a message is read:
    interceptors run in the one thread that serves all calls, which must not wait for a key. A refused caller
    cannot tell a method that is there from one that is not.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Put the door before the handler of a call.

        Args:
            continuation: Finds the handler.
            handler_call_details: Method and metadata of the call.

        Returns:
            A handler that decides, and then does what the found one does.
        """
        handler = continuation(handler_call_details)
        door, call = self.door, Call(handler_call_details)

        def decide_first(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:  # noqa: ANN401
            outcome = call.admitted_at_once(door) or door.admit(call.headers, call.facts)
            if isinstance(outcome, Refusal):
                code, details, trailing = status_of(outcome)
                context.set_trailing_metadata(trailing)
                context.abort(code, details)
            if handler is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            return _respond(handler, messages, Context(context, outcome, door, call.facts))

        # A handler that takes a stream is called before a message has come, and answers a single one as well.
        if handler is None or handler.response_streaming:
            serializer = None if handler is None else handler.response_serializer
            return grpc.stream_stream_rpc_method_handler(decide_first, None, serializer)
        return grpc.stream_unary_rpc_method_handler(decide_first, None, handler.response_serializer)


class AioInvokerInterceptor(_Interceptor, grpc.aio.ServerInterceptor):
    """As `InvokerInterceptor`, for a server of `grpc.aio`, whose handlers may be of either kind."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[_Request, _Response] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[_Request, _Response] | None:
        """Decide on a call, in its own task, before a message is read.

        Args:
            continuation: Finds the handler.
            handler_call_details: Method and metadata of the call.

        Returns:
            The handler, or one that refuses; None for a method that is not there.
        """
        call = Call(handler_call_details)
        outcome = call.admitted_at_once(self.door) or await self.door.aadmit(call.headers, call.facts)
        if isinstance(outcome, Refusal):
            return _refusing(outcome)
        CURRENT.set(outcome.principal)  # for this call alone, whose task it is
        handler = await continuation(handler_call_details)
        return (
            None
            if handler is None
            else _in_loop(handler, lambda context: Context(context, outcome, self.door, call.facts))
        )


def only(
    predicate: Predicate | None = None, /, *, members: Iterable[str] | None = None
) -> Callable[[_Method], _Method]:
    """Let only some of the callers that the door admits into a method; the others get its 7.

    It decorates what handles a call of any arity, on a server of either kind: functions, generators,
    coroutine functions and asynchronous generators, and the methods of a servicer::

        class Orders(OrdersServicer):
            @only(service_accounts)
            def GetOrder(self, request, context): ...

    Args:
        predicate: Returns True for a caller that may use the method.
        members: In place of it, the members of IAM that may.

    Returns:
        The decorator.

    Raises:
        ConfigurationError: If neither or both are given, one cannot decide, or it decorates no function.
    """
    callers = Narrowing(predicate, members)
    needs = "what handles a call: of a servicer decorate the methods"

    def narrow(method: _Method) -> _Method:
        return narrowed(method, callers, _find, _abort, needs=needs)

    return narrow


def _find(*args: object, **kwargs: object) -> tuple[object, Mapping[str, Any], PlainRequest]:
    """Find the context of a call, which is the last argument of what handles it."""
    context = kwargs.get("context", args[-1] if args else None)
    scope = getattr(context, "scope", None)
    if not isinstance(scope, Mapping) or FACTS not in scope:
        raise ConfigurationError(
            "no door has decided on this call: put the interceptor of the door in front of the server, and "
            "decorate with only(...) what takes a request and a context"
        )
    return context, scope, scope[FACTS]


def _abort(refusal: Refusal, context: Any) -> Awaitable[NoReturn]:  # noqa: ANN401 - one of three classes
    code, details, trailing = status_of(refusal)
    context.set_trailing_metadata(trailing)
    aborting: Awaitable[NoReturn] = context.abort(code, details)  # which raises, or does when it is awaited
    return aborting


def _refusing(refusal: Refusal) -> _Handler:
    """Return a handler that answers a call of any kind."""
    status = status_of(refusal)

    async def refuse(_messages: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(*status)

    behavior: Any = refuse
    return grpc.stream_stream_rpc_method_handler(behavior)


def _kind(handler: _Handler) -> str:
    requests, responses = handler.request_streaming, handler.response_streaming
    return f"{'stream' if requests else 'unary'}_{'stream' if responses else 'unary'}"


def _respond(handler: _Handler, messages: Iterator[bytes], context: Context) -> object:
    """Do what a handler of any kind does, over messages as they were sent."""
    requests = _decoded(handler.request_deserializer, messages, context)
    request: Any = requests if handler.request_streaming else next(requests, _NONE)
    if request is _NONE:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the method requires exactly one request message")
    behavior = _in_thread(getattr(handler, _kind(handler)), streaming=handler.response_streaming)
    responses: object = behavior(request, context)
    return responses


def _decoded(
    decode: Callable[[bytes], Any] | None, messages: Iterator[bytes], context: Context
) -> Iterator[Any]:
    for message in messages:
        request: Any = message
        if decode is not None:
            try:
                request = decode(message)
            except Exception:  # noqa: BLE001 - as gRPC answers whatever a deserializer raises
                context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
        yield request


def _in_thread(behavior: _Behavior, *, streaming: bool) -> _Behavior:
    """Wrap a function that runs in a thread of a pool: the principal is set in it and nowhere else."""

    def responses(here: contextvars.Context, request: object, context: Context) -> Iterator[object]:
        # A server of grpc.aio calls what streams in its loop, and asks for each response in a thread, where
        # the function may wait and abort. A generator goes on only when the next response is asked for.
        found = here.run(behavior, request, context)
        yield from iter(lambda: here.run(next, found, _NONE), _NONE)

    def run(request: object, context: Context) -> object:
        here = contextvars.copy_context()
        here.run(CURRENT.set, shared.principal_of(context))
        return responses(here, request, context) if streaming else here.run(behavior, request, context)

    return run


def _in_loop(handler: _Handler, admitted: Callable[[Any], Context]) -> _Handler:
    """Wrap the handler of an admitted call of `grpc.aio`; each kind of function stays one of its kind."""
    behavior = getattr(handler, _kind(handler))
    in_thread = _in_thread(behavior, streaming=handler.response_streaming)

    async def generate(request: object, context: object) -> AsyncIterator[object]:
        async with aclosing(behavior(request, admitted(context))) as responses:
            async for response in responses:
                yield response

    async def respond(request: object, context: object) -> object:
        response: object = await behavior(request, admitted(context))
        return response

    def respond_in_thread(request: object, context: object) -> object:
        response: object = in_thread(request, admitted(context))
        return response

    wrapped: _Behavior = respond_in_thread
    if inspect.isasyncgenfunction(behavior):
        wrapped = generate
    elif inspect.iscoroutinefunction(behavior):
        wrapped = respond
    make = getattr(grpc, f"{_kind(handler)}_rpc_method_handler")
    made: _Handler = make(wrapped, handler.request_deserializer, handler.response_serializer)
    return made
