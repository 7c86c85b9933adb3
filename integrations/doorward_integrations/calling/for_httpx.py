"""The auth class of httpx."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx

from doorward_integrations.calling.flow import IdTokenAuth

__all__ = ["HttpxAuth"]


class HttpxAuth(IdTokenAuth[httpx.Request, httpx.Response], httpx.Auth):
    """Sends an ID token with each request of an httpx client, blocking or asynchronous."""

    _headers_class: ClassVar[type[Any]] = httpx.Headers
    _byte_stream_class: ClassVar[type[Any]] = httpx.ByteStream
