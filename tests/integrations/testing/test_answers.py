"""The status of a response of any library, and its request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from starlette.websockets import WebSocketDisconnect

from doorward import ConfigurationError
from doorward_integrations.testing.answers import request_of, status_of


def response(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


@pytest.mark.parametrize(
    ("status", "given"),
    [
        (401, 401),
        (401, httpx.Response(401)),
        (403, response(status="403 FORBIDDEN", status_code=403)),
        (403, response(status=403)),
        (403, WebSocketDisconnect(1008)),
        (401, response(code=lambda: grpc.StatusCode.UNAUTHENTICATED)),
        (403, response(code=lambda: grpc.StatusCode.PERMISSION_DENIED)),
        (503, response(code=lambda: grpc.StatusCode.UNAVAILABLE)),
        (200, response(code=lambda: grpc.StatusCode.OK)),
        (404, response(code=lambda: grpc.StatusCode.UNIMPLEMENTED)),
        (500, response(code=lambda: grpc.StatusCode.INTERNAL)),
    ],
    ids=[
        "number",
        "httpx",
        "flask",
        "aiohttp",
        "websocket",
        "grpc 16",
        "grpc 7",
        "grpc 14",
        "grpc 0",
        "grpc 12",
        "grpc 13",
    ],
)
def test_the_status_of_any_library_is_read(status: int, given: Any) -> None:
    assert status == status_of(given)


async def _never() -> None: ...


def test_what_is_no_response_is_explained() -> None:
    waiting = _never()
    with pytest.raises(ConfigurationError, match="an async client's has to be awaited"):
        status_of(waiting)
    waiting.close()


@pytest.mark.parametrize(
    ("request_", "given"),
    [
        (("GET", "/a b"), httpx.Response(200, request=httpx.Request("GET", "http://x/a%20b?c"))),
        (("POST", "/a"), response(request={"REQUEST_METHOD": "POST", "PATH_INFO": "/a"})),
        (("POST", "/a"), response(request={"method": "POST", "path": "/a"})),
        (("GET", "/a"), response(request=response(method="GET", url="http://x/a?b", path="/a"))),
        (("GET", "/a"), response(method="GET", url=response(path="/a"))),
        (None, httpx.Response(200)),
        (None, 403),
    ],
    ids=["httpx", "django", "django, async", "flask", "aiohttp", "by hand", "number"],
)
def test_the_request_of_any_library_is_read(request_: tuple[str, str] | None, given: Any) -> None:
    assert request_ == request_of(given)
