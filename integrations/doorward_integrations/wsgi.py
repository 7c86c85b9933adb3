"""The door in front of any WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.client import responses
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from doorward import Refusal
from doorward.door.base import BaseDoor
from doorward.policy.paths import check_public_prefix, readings_of
from doorward.policy.request import host_name
from doorward_integrations.admission import ADMISSION, DOOR, check_door, end_user_of, principal_of
from doorward_integrations.readiness import readiness_answer
from doorward_integrations.refusal import body_of, text_headers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "FurtherHeaders",
    "InvokerMiddleware",
    "ReadinessApp",
    "WsgiRequest",
    "end_user_of",
    "environ_of",
    "headers_of",
    "principal_of",
]

_HEADER: Final = "HTTP_"

FurtherHeaders = Callable[[Refusal, "WSGIEnvironment"], list[tuple[str, str]]]
"""Gives the headers that a refusal has besides its own, by the environ of the request."""


class InvokerMiddleware:
    """Passes admitted requests on to an application, and answers the others itself.

    The application receives the headers as behind Cloud Run, and `principal_of` returns the caller of its
    environ. Bodies are not touched.

    Attributes:
        app: The application.
        door: The door.
    """

    app: WSGIApplication
    door: Final[BaseDoor]

    def __init__(
        self,
        app: WSGIApplication,
        door: BaseDoor,
        *,
        public_prefix: str = "",
        further_headers: FurtherHeaders | None = None,
    ) -> None:
        """Put a door in front of an application.

        Args:
            app: The application.
            door: The door.
            public_prefix: The part of the path that a proxy in front cuts off, where conditions name the path
                with it, such as ``/api``; empty where conditions name the path that the application receives.
            further_headers: Gives the headers that a refusal has besides its own, such as those of CORS.

        Raises:
            ConfigurationError: If the door is not a `doorward.Door`, or the prefix is not a path.
        """
        check_door(door, "InvokerMiddleware(app, door)")
        self.app = app
        self.door = door
        self._public_prefix: Final = check_public_prefix(public_prefix)
        self._further_headers: Final = further_headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide on one request (PEP 3333).

        Args:
            environ: The environ of the request; it is not changed.
            start_response: Starts the response.

        Returns:
            The body of the response.
        """
        outcome = self.door.admit(headers_of(environ), WsgiRequest(environ, self._public_prefix))
        if isinstance(outcome, Refusal):
            body = body_of(outcome, environ["REQUEST_METHOD"])
            headers = text_headers(outcome)
            if self._further_headers is not None:
                headers += self._further_headers(outcome, environ)
            # A style of the application's own may use a status that is not in the table.
            start_response(f"{outcome.status} {responses.get(outcome.status, 'Refused')}", headers)
            return [body] if body else []
        admitted = environ_of(environ, outcome.headers)
        admitted |= {ADMISSION: outcome, DOOR: self.door}
        return self.app(admitted, start_response)


class ReadinessApp:
    """A WSGI application that answers a readiness probe: 200 if the door can decide now, else 503.

    The answer is JSON and says which part is not ready and why (`doorward_integrations.readiness`).
    """

    def __init__(self, door: BaseDoor) -> None:
        """Answer for a door.

        Args:
            door: The door.

        Raises:
            ConfigurationError: If it is not a `doorward.Door`.
        """
        check_door(door, "ReadinessApp(door)")
        self._door: Final = door

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333).

        Args:
            environ: The environ of the request.
            start_response: Starts the response.

        Returns:
            The body of the response.
        """
        status, headers, body = readiness_answer(self._door, environ["REQUEST_METHOD"])
        start_response(f"{status} {responses[status]}", headers)
        return [body] if body else []


def headers_of(environ: WSGIEnvironment) -> list[tuple[bytes, bytes]]:
    """Return the headers in the form of a door; the server has joined repeated ones with a comma.

    Args:
        environ: The environ of a request.

    Returns:
        Names in lower case, and values.
    """
    return [
        (key.removeprefix(_HEADER).replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in environ.items()
        if key.startswith(_HEADER)
    ]


def environ_of(environ: WSGIEnvironment, headers: Iterable[tuple[bytes, bytes]]) -> WSGIEnvironment:
    """Return an environ with other headers.

    Args:
        environ: The environ of a request; it is not changed.
        headers: The headers, in the form of a door.
    """
    plain = {key: value for key, value in environ.items() if not key.startswith(_HEADER)}
    return plain | {environ_key(name): value.decode("latin-1") for name, value in headers}


def environ_key(name: bytes) -> str:
    """Return the key under which an environ has a header.

    Args:
        name: Its name, in the form of a door.
    """
    return _HEADER + name.decode("latin-1").upper().replace("-", "_")


def _text(path: str) -> str:
    """Decode a path, whose bytes PEP 3333 gives as latin-1 text; what is no bytes stays unreadable."""
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return "/\udcff"


class WsgiRequest:
    """The facts of an environ that a policy may ask for, each computed when it is read."""

    __slots__ = ("_environ", "_public_prefix")

    def __init__(self, environ: WSGIEnvironment, public_prefix: str = "") -> None:
        """Make the facts of an environ.

        Args:
            environ: The environ of a request.
            public_prefix: What a proxy in front cuts off the path that conditions name.
        """
        self._environ = environ
        self._public_prefix = public_prefix

    @property
    def method(self) -> str:
        """The method."""
        method: str = self._environ["REQUEST_METHOD"]
        return method

    @property
    def _path(self) -> str:
        path: str = self._environ.get("SCRIPT_NAME", "") + self._environ.get("PATH_INFO", "")
        return path

    @property
    def _target(self) -> str:
        """The path of the request target, which some servers give besides; empty if it is not known."""
        raw = self._environ.get("RAW_URI", self._environ.get("REQUEST_URI", ""))
        return raw.partition("?")[0] if isinstance(raw, str) and raw.startswith("/") else ""

    @property
    def path(self) -> str:
        """The whole decoded path, with the script name."""
        return _text(self._path)

    @property
    def sent_path(self) -> str:
        """The path as sent where the server gives it, else encoded anew; without the query."""
        return self._target or quote(self._path.encode("latin-1", "replace"))

    @property
    def readings(self) -> tuple[str, ...]:
        """Every path by which the application could route the request."""
        # A client's header may have set the script name: the path counts with it, and without it.
        return readings_of(
            self.path, self._target, (_text(self._environ.get("SCRIPT_NAME", "")),), self._public_prefix
        )

    @property
    def websocket(self) -> bool:
        """Whether it opens a websocket, which WSGI has none of."""
        return False

    @property
    def host(self) -> str:
        """The host that the Host header names."""
        return host_name(self._environ.get("HTTP_HOST", "").encode("latin-1"))
