"""Starlette's own way to the caller: ``request.user``, ``request.auth`` and ``@requires``, from the door.

::

    app = Starlette(routes=..., middleware=[Middleware(AuthenticationMiddleware, backend=PrincipalBackend())])
    Invoker(app, door)


    @requires("service_account")
    async def endpoint(request):
        return PlainTextResponse(f"Hello, {request.user.display_name}")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.requests import HTTPConnection

from doorward import ConfigurationError, Principal
from doorward_integrations.admission import principal_of

__all__ = ["PrincipalBackend", "PrincipalUser"]


class PrincipalUser(BaseUser):
    """A verified caller, as Starlette's ``request.user``.

    Attributes:
        principal: The caller.
    """

    principal: Final[Principal]

    def __init__(self, principal: Principal) -> None:
        """Wrap a caller.

        Args:
            principal: The caller.
        """
        self.principal = principal

    @property
    def is_authenticated(self) -> bool:
        """True: an anonymous caller is Starlette's ``UnauthenticatedUser``."""
        return True

    @property
    def display_name(self) -> str:
        """The address, or what else names the caller."""
        return self.principal.email or str(self.principal)

    @property
    def identity(self) -> str:
        """The member of IAM, or the unique id where there is no address."""
        return str(self.principal)


def _kind_of(principal: Principal) -> Iterable[str]:
    return (principal.kind.value,)


class PrincipalBackend(AuthenticationBackend):
    """Gives the caller whom the door has admitted; for Starlette's ``AuthenticationMiddleware``.

    It verifies nothing: without a door in front it raises `ConfigurationError`. A verified caller has the
    scope ``authenticated``, and its kind as another, such as ``service_account`` or ``user``. A caller whom a
    public policy admits unverified has none.
    """

    def __init__(self, scopes: Callable[[Principal], Iterable[str]] = _kind_of) -> None:
        """Choose the scopes, for ``@requires``.

        Args:
            scopes: Returns the scopes of a verified caller besides ``authenticated``.

        Raises:
            ConfigurationError: If it is no function.
        """
        if not callable(scopes):
            raise ConfigurationError(
                "scopes must be a function of the principal that returns names of scopes"
            )
        self._scopes: Final = scopes

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return the caller of a request.

        Args:
            conn: The request or websocket.

        Returns:
            Its credentials and its user; None if no caller was verified.

        Raises:
            ConfigurationError: If no door has decided on the request.
        """
        principal = principal_of(conn)
        if principal.anonymous:
            return None
        scopes = self._scopes(principal)
        if isinstance(scopes, str):  # which would be one scope for each of its letters
            raise ConfigurationError("scopes must return a list of names, not one string")
        return AuthCredentials(["authenticated", *scopes]), PrincipalUser(principal)
