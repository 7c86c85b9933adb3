"""The door in front of any WSGI application (PEP 3333)."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from doorward import ConfigurationError, Door, Refusal
from doorward.policy.request import host_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ADMISSION", "InvokerMiddleware"]

ADMISSION: Final = "doorward.admission"
"""Where the environ of an admitted request carries its `doorward.Admission`. A client cannot set it: a header
would arrive as ``HTTP_…``."""

_HEADER: Final = "HTTP_"


class InvokerMiddleware:
    """Lets only admitted requests through, and hands the application the headers as behind Cloud Run."""

    def __init__(self, app: WSGIApplication, door: Door) -> None:
        """Put a door in front of an application.

        Args:
            app: The application.
            door: The door.

        Raises:
            ConfigurationError: If the door is something else.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"InvokerMiddleware(app, door) needs a Door, not {type(door).__name__}")
        self.app = app
        self.door: Final = door

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide on one request, as WSGI calls it."""
        outcome = self.door.admit(_headers(environ), _Request(environ))
        if isinstance(outcome, Refusal):
            # PEP 3333: text that stands for bytes one by one. A style of one's own may have a status of its
            # own.
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in outcome.headers]
            start_response(f"{outcome.status} {responses.get(outcome.status, 'Refused')}", headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [outcome.body]
        admitted = {key: value for key, value in environ.items() if not key.startswith(_HEADER)}
        admitted |= {_key(name): value.decode("latin-1") for name, value in outcome.headers}
        admitted[ADMISSION] = outcome
        return self.app(admitted, start_response)


def _headers(environ: WSGIEnvironment) -> list[tuple[bytes, bytes]]:
    """Give the headers as the door reads them; a server has joined repeated ones with a comma."""
    return [
        (key.removeprefix(_HEADER).replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in environ.items()
        if key.startswith(_HEADER)
    ]


def _key(name: bytes) -> str:
    return _HEADER + name.decode("latin-1").upper().replace("-", "_")


class _Request:
    """What a decision may ask about an environ, worked out when it is asked for."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    @property
    def method(self) -> str:
        method: str = self._environ["REQUEST_METHOD"]
        return method

    @property
    def _path(self) -> bytes:
        """The decoded bytes of the path, which PEP 3333 has stand there as latin-1."""
        path: str = self._environ.get("SCRIPT_NAME", "") + self._environ.get("PATH_INFO", "")
        return path.encode("latin-1")

    @property
    def path(self) -> str:
        return self._path.decode("utf-8", "replace")

    @property
    def sent_path(self) -> str:
        return quote(self._path)

    @property
    def host(self) -> str:
        return host_name(self._environ.get("HTTP_HOST", "").encode("latin-1"))
