"""The auth class of httpx2."""

from __future__ import annotations

from typing import Any, ClassVar

from doorward.extras import needs_extra
from doorward_integrations.calling.flow import IdTokenAuth

with needs_extra("httpx2"):
    import httpx2

__all__ = ["Httpx2Auth"]


class Httpx2Auth(IdTokenAuth[httpx2.Request, httpx2.Response], httpx2.Auth):
    """Sends an ID token with each request of an httpx2 client, blocking or asynchronous."""

    _headers_class: ClassVar[type[Any]] = httpx2.Headers
    _byte_stream_class: ClassVar[type[Any]] = httpx2.ByteStream
