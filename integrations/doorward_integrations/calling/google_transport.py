"""The requests of google-auth, within bounds on time and size.

google-auth reads an answer of any size. A token has some kilobytes, and so has every other answer on the way
to one.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

from doorward.extras import needs_extra

with needs_extra("calling"):
    import requests
    from google.auth.transport.requests import Request
    from requests.adapters import HTTPAdapter

__all__ = ["bounded_request"]

_LIMIT: Final = 256 * 1024  # bytes of an answer, as decoded


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(  # noqa: PLR0917 - as its original
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002, FBT001, FBT002
        timeout: Any = None,  # noqa: ANN401
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,  # noqa: ANN401
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, and read its answer up to the limit."""
        seconds = min(timeout, self._seconds) if isinstance(timeout, int | float) else self._seconds
        response = super().send(request, True, seconds, verify, cert, proxies)  # noqa: FBT003
        content = b""
        while len(content) <= _LIMIT and (part := response.raw.read(_LIMIT + 1, decode_content=True)):
            content += part
        response.close()
        if len(content) > _LIMIT:
            raise requests.exceptions.ContentDecodingError(f"the answer has over {_LIMIT} bytes")
        response.raw = io.BytesIO(content)
        return response


@contextlib.contextmanager
def bounded_request(seconds: float) -> Iterator[Request]:
    """Make a transport for google-auth, which is closed afterwards.

    Args:
        seconds: For how long it is waited for a connection, and for each part of an answer, at most.

    Yields:
        The transport.
    """
    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, _BoundedAdapter(seconds))
        # Not every version of google-auth says which types it takes.
        yield Request(session)  # type: ignore[no-untyped-call, unused-ignore]
