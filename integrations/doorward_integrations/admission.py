"""Where a request carries its admission, and the one getter for its verified caller.

An adapter stores the `doorward.Admission` of a request where its framework keeps what belongs to one request:
in the ASGI scope, or in the WSGI environ. `principal_of` reads it from there, for every framework. Where a
framework does not hand the request to the code that handles it, `current_principal` returns the caller.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from doorward import Admission, ConfigurationError, Principal
from doorward.door.base import BaseDoor

__all__ = [
    "ADMISSION",
    "CURRENT",
    "DOOR",
    "HasEnviron",
    "HasScope",
    "admission_of",
    "check_door",
    "current_principal",
    "end_user_of",
    "principal_of",
    "show_door",
]

ADMISSION: Final = "doorward.admission"
"""The key of the `doorward.Admission` in the scope or environ of an admitted request. A client cannot set it:
its headers arrive in the list ``headers`` of a scope, or as ``HTTP_…`` in an environ."""

DOOR: Final = "doorward.door"
"""The key of the `doorward.Door` that admitted the request, in its scope or environ."""


CURRENT: Final = contextvars.ContextVar[Principal]("doorward.principal")
"""The verified caller of what is being handled in this context, set by adapters that give no request."""


def check_door(door: object, call: str) -> BaseDoor:
    """Refuse what is not a door.

    Args:
        door: What was passed.
        call: How the call should look.

    Returns:
        The door.

    Raises:
        ConfigurationError: If it is not a door.
    """
    if not isinstance(door, BaseDoor):
        raise ConfigurationError(f"{call} needs a Door, not {type(door).__name__}")
    return door


def show_door(guard: Callable[..., Any], door: BaseDoor) -> None:
    """Let a function that asks a door show which one, as the classes do: by its attribute ``door``.

    Args:
        guard: The function.
        door: The door that it asks.
    """
    guard.__dict__["door"] = door


class HasScope(Protocol):
    """A request or websocket over an ASGI scope, as of Starlette, FastAPI or Quart."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI scope."""
        ...


class HasEnviron(Protocol):
    """A request over a WSGI environ, as of Flask or Werkzeug."""

    @property
    def environ(self) -> Mapping[str, Any]:
        """The WSGI environ."""
        ...


def principal_of(request: Mapping[Any, Any] | HasScope | HasEnviron) -> Principal:
    """Return the verified caller of a request that a door has admitted.

    Args:
        request: A request or websocket of any framework, an ASGI scope, or a WSGI environ.

    Returns:
        The principal; the anonymous one where the policy admits a request without a verified caller.

    Raises:
        ConfigurationError: If no door has decided on the request, or if it is none of the above.
    """
    return admission_of(request).principal


def end_user_of(request: Mapping[Any, Any] | HasScope | HasEnviron) -> Principal | None:
    """Return the verified user on whose behalf the caller of a request calls.

    Args:
        request: As for `principal_of`.

    Returns:
        The user, never the caller itself; None if the request has none, or the door looks for none.

    Raises:
        ConfigurationError: As `principal_of`.
    """
    return admission_of(request).end_user


def admission_of(request: Mapping[Any, Any] | HasScope | HasEnviron) -> Admission:
    """Return the admission of a request that a door has admitted.

    Args:
        request: As for `principal_of`.

    Returns:
        The admission.

    Raises:
        ConfigurationError: As `principal_of`.
    """
    carrier = request if isinstance(request, Mapping) else getattr(request, "scope", None)
    if carrier is None:
        carrier = getattr(request, "environ", None)
    if not isinstance(carrier, Mapping):
        raise ConfigurationError(
            f"principal_of(request) needs a request, a websocket, an ASGI scope or a WSGI environ, "
            f"not {type(request).__name__}"
        )
    admission = carrier.get(ADMISSION)
    if not isinstance(admission, Admission):
        raise ConfigurationError(
            "no door has decided on this request, so its caller is not verified: put Invoker(app, door) or "
            "InvokerMiddleware(app, door) in front of the application"
        )
    return admission


def current_principal() -> Principal:
    """Return the verified caller of the call or event that is being handled.

    Returns:
        The principal; the anonymous one where the door admits without a verified caller.

    Raises:
        ConfigurationError: If no door has decided on a call here.
    """
    principal = CURRENT.get(None)
    if principal is None:
        raise ConfigurationError(
            "no door has decided on a call here, so its caller is not verified: put the door in front, and "
            "ask in the code that handles the call"
        )
    return principal
