"""What a response says, whichever library it is of: its status, and the request that it answers."""

from __future__ import annotations

from typing import Any, Final

from doorward import ConfigurationError

__all__ = ["request_of", "status_of"]

_GRPC: Final = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "UNIMPLEMENTED": 404,
    "UNAVAILABLE": 503,
    "OK": 200,
}
_POLICY_VIOLATION: Final = 1008
"""What a websocket is closed with where the server cannot answer with a status (RFC 6455, section 7.4.1)."""


def status_of(response: Any) -> int:  # noqa: ANN401 - of any library
    """Return the HTTP status of a response; for gRPC and websockets the one that their code stands for.

    Args:
        response: A response of Starlette's, httpx's, Flask's, Django's, aiohttp's or requests' client; an
            error or a call of gRPC; the exception of a websocket that was refused; or a number.

    Returns:
        The status; of another code of gRPC, 500.

    Raises:
        ConfigurationError: If it is none of these.
    """
    if isinstance(response, int):
        return response
    for name in ("status_code", "status"):
        if isinstance(found := getattr(response, name, None), int):
            return found
    code = getattr(response, "code", None)
    code = code() if callable(code) else code
    if code == _POLICY_VIOLATION:
        return 403
    named = getattr(code, "name", None)
    if isinstance(named, str):
        return _GRPC.get(named, 500)
    raise ConfigurationError(
        f"a response is needed, and not {type(response).__name__}; an async client's has to be awaited"
    )


def request_of(response: Any) -> tuple[str, str] | None:  # noqa: ANN401 - of any library
    """Return method and decoded path of the request that a response answers; None if it does not say.

    Args:
        response: As for `status_of`.
    """
    request = _read(response, "request")
    if isinstance(request, dict):  # Django's: an environ, or a scope
        method = request.get("REQUEST_METHOD", request.get("method"))
        path = request.get("PATH_INFO", request.get("path"))
    else:
        url = _read(request, "url") or _read(response, "url")
        method = getattr(request, "method", None) or getattr(response, "method", None)
        path = getattr(request, "path", None) if isinstance(url, str) else getattr(url, "path", None)
    return (method, path) if isinstance(method, str) and isinstance(path, str) else None


def _read(response: Any, name: str) -> Any:  # noqa: ANN401 - of any library
    try:
        return getattr(response, name, None)
    except RuntimeError:  # httpx has none in a response that was made by hand
        return None
