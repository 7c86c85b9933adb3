"""How a client of an application sends a header for a while: with each request, and no other client does.

A client may call its application in another thread or task, or over a socket: what it sends arrives all the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

from doorward import ConfigurationError

__all__ = ["kind_of", "sending"]

_Sends = Callable[[Any, dict[str, str]], Any]

_ABSENT: Final = object()


def kind_of(target: object) -> str:
    """Return how a client takes a header; empty for what is no client.

    Args:
        target: A client, an application, a door or a channel.
    """
    package = type(target).__module__.partition(".")[0]
    if package == "django" and hasattr(target, "generic"):
        return "django"
    if package in ("flask", "quart") and hasattr(target, "open") and hasattr(target, "application"):
        return "flask" if package == "flask" else ""
    if hasattr(target, "unary_unary") and hasattr(target, "stream_stream"):
        return "grpc"
    if isinstance(getattr(_session_of(target), "headers", None), MutableMapping):
        return "headers"
    return "flask" if hasattr(target, "environ_base") and hasattr(target, "open") else ""


@contextmanager
def sending(client: Any, headers: dict[str, str]) -> Iterator[Any]:  # noqa: ANN401 - of any library
    """Have a client send headers with each request of a block; one that a request brings itself stays.

    Args:
        client: The client.
        headers: Names in lower case, and values.

    Yields:
        What calls with them: the client itself, or for gRPC a channel over it.

    Raises:
        ConfigurationError: If it is no client that is known.
    """
    kind = kind_of(client)
    if kind == "grpc":
        yield _Channel(client, tuple(headers.items()))
    elif kind == "django":
        original = client.generic

        def generic(*args: Any, headers: Any = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as Django's
            return original(*args, headers={**added, **(headers or {})}, **kwargs)

        added = headers
        with _replaced(vars(client), {"generic": generic}):
            yield client
    elif kind == "flask":
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        with _replaced(client.environ_base, environ):
            yield client
    elif kind == "headers":
        with _replaced(_session_of(client).headers, headers):
            yield client
    else:
        raise ConfigurationError(
            f"{type(client).__name__} is no client that is known: send issuer.token_for(...) as your "
            "callers do"
        )


def _session_of(client: Any) -> Any:  # noqa: ANN401 - of any library
    """Return what holds the headers of a client: the session of aiohttp's test client, else the client."""
    return getattr(client, "session", client) if type(client).__module__.startswith("aiohttp.") else client


@contextmanager
def _replaced(mapping: MutableMapping[str, Any], changes: dict[str, Any]) -> Iterator[None]:
    before = {name: mapping.get(name, _ABSENT) for name in changes}
    mapping.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is _ABSENT:
                mapping.pop(name, None)
            else:
                mapping[name] = value


class _Channel:
    """A gRPC channel, of either kind, whose calls have further metadata; stubs are made over it as usual."""

    def __init__(self, channel: Any, metadata: tuple[tuple[str, str], ...]) -> None:  # noqa: ANN401 - of two classes
        self._channel = channel
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the channel has
        found = getattr(self._channel, name)
        if name not in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            return found
        return lambda *args, **kwargs: _Method(found(*args, **kwargs), self._metadata)


class _Method:
    """A method of a channel, and its further ways of calling: ``with_call`` and ``future``."""

    def __init__(self, call: Any, metadata: tuple[tuple[str, str], ...]) -> None:  # noqa: ANN401 - of eight classes
        self._call = call
        self._metadata = metadata

    def __call__(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as gRPC's
        return self._call(*args, metadata=self._and(metadata), **kwargs)

    def with_call(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as gRPC's
        return self._call.with_call(*args, metadata=self._and(metadata), **kwargs)

    def future(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:  # noqa: ANN401 - as gRPC's
        return self._call.future(*args, metadata=self._and(metadata), **kwargs)

    def _and(self, metadata: Any) -> tuple[tuple[str, Any], ...]:  # noqa: ANN401 - pairs, in any form of gRPC
        own = tuple((key, value) for key, value in metadata or ())
        names = {key for key, _ in own}
        return (*own, *(pair for pair in self._metadata if pair[0] not in names))
