"""The door in front of any WSGI application (PEP 3333)."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from doorward import ConfigurationError, Door, Refusal
from doorward.policy.request import host_name
from doorward_integrations.admission import ADMISSION, principal_of
from doorward_integrations.refusal import body_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["InvokerMiddleware", "principal_of"]

_HEADER: Final = "HTTP_"


class InvokerMiddleware:
    """Passes admitted requests on to an application, and answers the others itself.

    The application receives the headers as behind Cloud Run, and `principal_of` returns the caller of its
    environ. Bodies are not touched.

    Attributes:
        app: The application.
        door: The door.
    """

    app: WSGIApplication
    door: Final[Door]

    def __init__(self, app: WSGIApplication, door: Door) -> None:
        """Put a door in front of an application.

        Args:
            app: The application.
            door: The door.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`.
        """
        if not isinstance(door, Door):
            raise ConfigurationError(f"InvokerMiddleware(app, door) needs a Door, not {type(door).__name__}")
        self.app = app
        self.door = door

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide on one request (PEP 3333).

        Args:
            environ: The environ of the request; it is not changed.
            start_response: Starts the response.

        Returns:
            The body of the response.
        """
        outcome = self.door.admit(_headers(environ), _Request(environ))
        if isinstance(outcome, Refusal):
            # PEP 3333 wants text whose characters stand for single bytes. A style of the application's own
            # may use a status that is not in the table.
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in outcome.headers]
            start_response(f"{outcome.status} {responses.get(outcome.status, 'Refused')}", headers)
            body = body_of(outcome, environ["REQUEST_METHOD"])
            return [body] if body else []
        admitted = {key: value for key, value in environ.items() if not key.startswith(_HEADER)}
        admitted |= {_key(name): value.decode("latin-1") for name, value in outcome.headers}
        admitted[ADMISSION] = outcome
        return self.app(admitted, start_response)


def _headers(environ: WSGIEnvironment) -> list[tuple[bytes, bytes]]:
    """Return the headers in the form of a door; the server has joined repeated ones with a comma."""
    return [
        (key.removeprefix(_HEADER).replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in environ.items()
        if key.startswith(_HEADER)
    ]


def _key(name: bytes) -> str:
    return _HEADER + name.decode("latin-1").upper().replace("-", "_")


class _Request:
    """The facts of an environ that a policy may ask for, each computed when it is read."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    @property
    def method(self) -> str:
        method: str = self._environ["REQUEST_METHOD"]
        return method

    @property
    def _path(self) -> bytes:
        """The decoded bytes of the path, which PEP 3333 gives as latin-1 text."""
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
