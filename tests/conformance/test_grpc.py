"""gRPC servers decide on the same credentials as the servers of HTTP, in codes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from doorward_integrations.grpc import principal_of
from support.conformance.answers import answer
from support.conformance.doors import make_door
from support.conformance.outcomes import expected, headers_of
from support.conformance.table import TABLE
from support.grpcservers import PATIENCE, aio_server, sync_server

CODES = {
    200: grpc.StatusCode.OK,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

# A call is always a POST to a plain path.
ROWS = [row for row in TABLE if row.method == "GET" and row.target in ("/orders", "/orders/1", "/nowhere")]


def handle(_request: bytes, context: Any) -> bytes:
    metadata = dict(context.invocation_metadata())
    return answer("orders", principal_of(context), "GET", metadata.get, b"")


class Orders(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        known = handler_call_details.method.startswith("/orders")
        return grpc.unary_unary_rpc_method_handler(handle) if known else None


@pytest.fixture(scope="module", params=[sync_server, aio_server], ids=["threads", "aio"])
def channel(request: pytest.FixtureRequest, keys: str) -> Iterator[grpc.Channel]:
    with request.param([Orders()], make_door(keys)) as channel:
        yield channel


def test_every_credential_is_decided_on_as_the_table_says(
    channel: grpc.Channel, tokens: dict[str, str]
) -> None:
    said, came = {}, {}
    for row in ROWS:
        status, body, _ = expected(row, tokens)
        said[row.name] = (CODES[status], body if status == 200 else None)
        call: Any = channel.unary_unary(row.target)
        answered = call.future(b"", metadata=headers_of(row, tokens), timeout=PATIENCE)
        came[row.name] = (answered.code(), None if answered.exception() else answered.result())

    assert said == came


def test_the_rows_that_a_call_can_be_are_most_of_those_on_credentials() -> None:
    assert len(ROWS) > 20
