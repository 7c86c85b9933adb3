"""What a WSGI server runs, as `support.conformance.serve_asgi`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from support.conformance.applications import make_all

__all__ = ["app"]

_APPS = make_all("wsgi")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Call the application that the host names."""
    answer: Iterable[bytes] = _APPS[environ["HTTP_HOST"]](environ, start_response)
    return answer
